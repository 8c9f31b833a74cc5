//! Numbers as people write them: `1000`, `1_000`, `1e3`, `20k`, `1.5M`, `300B`, `1T`.
//!
//! Digits with an optional fraction and exponent, then an optional suffix: `k` or `K` for 10³, `M` for 10⁶, `B` or `G` for 10⁹, `T` for
//! 10¹². Underscores may separate digits.

use crate::Error;

/// Suffixes, each with its power of ten.
const SUFFIXES: [(char, i32); 6] = [('k', 3), ('K', 3), ('M', 6), ('B', 9), ('G', 9), ('T', 12)];

/// The largest power of ten, either way, that a number is read with.
const MOST_EXPONENT: i32 = 400;

/// Reads a whole number that is not negative, exactly.
///
/// # Errors
/// [`Error::WholeNumber`] for anything else, and above 2^64.
pub fn whole(text: &str) -> Result<u64, Error> {
    Decimal::read(text).and_then(Decimal::whole).ok_or_else(|| Error::WholeNumber { text: text.to_owned() })
}

/// Reads a number, to the nearest 64-bit float.
///
/// # Errors
/// [`Error::Number`] for anything else, infinities included.
pub fn real(text: &str) -> Result<f64, Error> {
    Decimal::read(text).and_then(Decimal::real).ok_or_else(|| Error::Number { text: text.to_owned() })
}

/// `± digits · 10^exponent`.
#[derive(Clone, Copy, Debug)]
struct Decimal {
    is_negative: bool,
    digits: u128,
    exponent: i32,
}

impl Decimal {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let suffix = SUFFIXES.iter().find_map(|(suffix, power)| Some((text.strip_suffix(*suffix)?.trim_end(), *power)));
        let (text, power) = suffix.unwrap_or((text, 0));
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
        if ![whole, fraction].into_iter().all(is_digits) {
            return None;
        }
        let fraction = fraction.replace('_', "");
        let fraction = fraction.trim_end_matches('0');
        let digits = format!("{}{fraction}", whole.replace('_', "")).parse().ok()?;
        let exponent = exponent.checked_add(power)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        (exponent.abs() <= MOST_EXPONENT).then_some(Self { is_negative, digits, exponent })
    }

    fn whole(self) -> Option<u64> {
        if self.digits == 0 {
            return Some(0);
        }
        let scale = 10_u128.checked_pow(self.exponent.unsigned_abs())?;
        let value = if self.exponent >= 0 {
            self.digits.checked_mul(scale)?
        } else if self.digits.is_multiple_of(scale) {
            self.digits / scale
        } else {
            return None;
        };
        if self.is_negative { None } else { u64::try_from(value).ok() }
    }

    fn real(self) -> Option<f64> {
        let sign = if self.is_negative { "-" } else { "" };
        let value: f64 = format!("{sign}{}e{}", self.digits, self.exponent).parse().ok()?;
        value.is_finite().then_some(value)
    }
}

/// Whether `text` is digits, with single underscores between some.
fn is_digits(text: &str) -> bool {
    text.split('_').all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_as_people_write_them() {
        let cases = [
            ("0", 0),
            ("1000", 1000),
            ("1_000", 1000),
            ("1e3", 1000),
            ("1.0e3", 1000),
            ("20k", 20_000),
            ("20 K", 20_000),
            ("1.5M", 1_500_000),
            ("300B", 300_000_000_000),
            ("1G", 1_000_000_000),
            ("1T", 1_000_000_000_000),
            ("2.50e1", 25),
            ("10e-1", 1),
            ("18446744073709551615", u64::MAX),
            ("9007199254740993", (1 << 53) + 1),
        ];
        for (text, value) in cases {
            assert_eq!(whole(text).ok(), Some(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_number_is_refused() {
        let wrong = [
            "",
            "-1",
            "1.5",
            "1e-1",
            "k",
            "1kk",
            "1 000",
            "1,000",
            "_1",
            "1_",
            "1__0",
            ".5",
            "1.",
            "0x10",
            "inf",
            "nan",
            "1e20",
            "1e999999999999",
            "18446744073709551616",
            "1e400",
            "1m",
        ];
        for text in wrong {
            let error = whole(text).expect_err(text).to_string();
            assert!(error.contains("20k") && error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn real_numbers_are_the_nearest_floats() {
        let cases = [("0.2", 0.2), ("-1.5", -1.5), ("4e-4", 4e-4), ("1T", 1e12), ("0.1k", 100.0), ("73.1B", 73.1e9)];
        for (text, value) in cases {
            assert_eq!(real(text).ok(), Some(value), "{text}");
        }
        for text in ["inf", "nan", "1e309", "one", "0,2"] {
            assert!(real(text).is_err(), "{text}");
        }
    }
}
