//! What arms are called.

/// What the rule of an arm is called that draws anew for every seed.
pub(super) fn drawn_name(arm: &str, seed: u64) -> String {
    format!("{arm}@{seed}")
}

/// An arm's name as a part of a path.
pub(super) fn path_name(arm: &str) -> String {
    arm.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' })
        .collect()
}
