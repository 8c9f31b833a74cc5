//! Shares of kinds of bytes in a text.

/// Counts of bytes.
pub(super) struct Characters {
    counts: [u64; 256],
}

impl Characters {
    /// The names of [`Self::shares`].
    pub(super) const NAMES: [&str; 7] = ["letters", "capitals", "digits", "spaces", "newlines", "symbols", "wide"];

    pub(super) fn of(text: &str) -> Self {
        let mut counts = [0; 256];
        text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
        Self { counts }
    }

    /// Shares of all bytes: lower-case letters, capitals, digits, blanks and tabs, ends of lines, other ASCII, and beyond ASCII.
    pub(super) fn shares(&self) -> [f64; Self::NAMES.len()] {
        let mut sums = [0_u64; Self::NAMES.len()];
        for (byte, count) in (0_u8..=u8::MAX).zip(self.counts) {
            let kind = match byte {
                b'a'..=b'z' => 0,
                b'A'..=b'Z' => 1,
                b'0'..=b'9' => 2,
                b' ' | b'\t' => 3,
                b'\n' | b'\r' => 4,
                0x80.. => 6,
                _ => 5,
            };
            sums[kind] += count;
        }
        let bytes = self.counts.iter().sum::<u64>().max(1) as f64;
        sums.map(|sum| sum as f64 / bytes)
    }
}
