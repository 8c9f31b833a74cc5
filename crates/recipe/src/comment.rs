//! Escapes text for comments of configs.

/// The line with control characters and what else ends a comment of YAML, TOML or a shell escaped.
pub(crate) fn printable(line: &str) -> String {
    let spoils =
        |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    line.chars().map(|c| if spoils(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Lines as comments that begin with `#`.
pub(crate) fn commented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("# {}", printable(line)).trim_end().to_owned() + "\n").collect()
}
