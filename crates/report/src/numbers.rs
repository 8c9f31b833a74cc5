//! Numbers for people, the same everywhere on the page and in the pictures.

/// Shown in place of an unknown number.
pub(crate) const UNKNOWN: &str = "–";

/// Most digits after the point.
const MOST_DECIMALS: usize = 9;

/// A count with its thousands apart: `1,234,567`.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count and the noun for it: `1 unit`, `2 units`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A share in per cent: `20.1 %`, not to be broken over lines.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if !percent.is_finite() => UNKNOWN.to_owned(),
        _ if percent == 0.0 => "0\u{a0}%".to_owned(),
        _ if percent.abs() < 0.005 => "under 0.01\u{a0}%".to_owned(),
        _ if percent.abs() < 1.0 => format!("{percent:.2}\u{a0}%"),
        _ => format!("{percent:.1}\u{a0}%"),
    }
}

/// What part `part` is of `whole`, in per cent.
pub(crate) fn share(part: u64, whole: u64) -> String {
    percent(part as f64 / whole as f64)
}

/// A measured number to four significant digits: `0.1234`, `12.34`, `1,234`.
pub(crate) fn value(number: f64) -> String {
    let size = number.abs();
    match size {
        _ if !number.is_finite() => UNKNOWN.to_owned(),
        _ if size == 0.0 => "0".to_owned(),
        _ if !(1e-5..1e12).contains(&size) => scientific(number),
        _ if size >= 999.95 => format!("{}{}", sign(number), thousands(size)),
        _ => format!("{}{size:.*}", sign(number), decimals(size, 4)),
    }
}

/// A difference to four decimals, with its sign: `+0.0123`, `−0.0045`.
pub(crate) fn signed(difference: f64) -> String {
    format!("{difference:+.4}").replace('-', "−")
}

/// A correlation, or a share of variance: `−0.830`.
pub(crate) fn correlation(number: f64) -> String {
    if !number.is_finite() {
        return UNKNOWN.to_owned();
    }
    let digits = format!("{:.3}", number.abs());
    format!("{}{digits}", if digits == "0.000" { "" } else { sign(number) })
}

/// A number and its standard error, to two significant digits of the error: `0.1234 ± 0.0012`.
pub(crate) fn measured(number: f64, stderr: Option<f64>) -> String {
    let known = stderr.filter(|stderr| stderr.is_finite() && *stderr > 0.0 && number.is_finite());
    let Some(stderr) = known else { return value(number) };
    let digits = decimals(stderr, 2);
    format!("{}{:.digits$} ± {stderr:.digits$}", sign(number), number.abs())
}

/// A cut and its standard error, which is never left out: `0.1234 ± 0.0012`, `0.1234 ± ?`.
pub(crate) fn cut(value_of_last: f64, stderr: Option<f64>) -> String {
    let known = stderr.filter(|stderr| stderr.is_finite() && *stderr > 0.0);
    known.map_or_else(|| format!("{} ± ?", value(value_of_last)), |stderr| measured(value_of_last, Some(stderr)))
}

/// How often something is read: `0.42`, `12.5`, `1,234`.
pub(crate) fn times_read(times: f64) -> String {
    match times {
        _ if !times.is_finite() => UNKNOWN.to_owned(),
        _ if times >= 100.0 => thousands(times),
        _ if times >= 10.0 => format!("{times:.1}"),
        _ => format!("{times:.2}"),
    }
}

/// A large number in short: `1.2M`, `750.0B`.
pub(crate) fn short(number: f64) -> String {
    let units = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")];
    match units.into_iter().find(|(unit, _)| number >= 0.9995 * *unit) {
        Some((unit, name)) => format!("{:.1}{name}", number / unit),
        None => format!("{number:.0}"),
    }
}

/// A learning rate: `4e-4`, and a plain `0`.
pub(crate) fn rate(lr: f64) -> String {
    if lr == 0.0 {
        "0".to_owned()
    } else if (0.01..1000.0).contains(&lr) {
        format!("{}", (lr * 1e4).round() / 1e4)
    } else {
        format!("{:e}", (lr * 1e9).round() / 1e9)
    }
}

/// A time: `2 h 14 min`, `3 min 12 s`, `1.25 s`, `15 ms`.
pub(crate) fn seconds(secs: f64) -> String {
    match secs {
        _ if !secs.is_finite() || secs < 0.0 => UNKNOWN.to_owned(),
        _ if secs == 0.0 => "0 s".to_owned(),
        _ if secs < 0.9995 => format!("{:.0} ms", secs * 1e3),
        _ if secs < 59.95 => format!("{secs:.*} s", decimals(secs, 3)),
        _ if secs < 3599.5 => {
            let whole = secs.round();
            format!("{:.0} min {:.0} s", (whole / 60.0).floor(), whole % 60.0)
        }
        _ => {
            let minutes = (secs / 60.0).round();
            format!("{} h {:.0} min", thousands((minutes / 60.0).floor()), minutes % 60.0)
        }
    }
}

/// The value at a tick of an axis whose ticks are about `step` apart: `0.05`, `20k`.
pub(crate) fn tick(number: f64, step: f64) -> String {
    let size = number.abs();
    if size < step * 1e-6 {
        return "0".to_owned();
    }
    if !(1e-4..1e15).contains(&size) {
        return scientific(number);
    }
    let units = [(1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")];
    let (unit, name) = units.into_iter().find(|(unit, _)| size >= *unit * 0.9999).unwrap_or((1.0, ""));
    format!("{}{:.*}{name}", sign(number), decimals(step / unit, 1), size / unit)
}

/// Digits after the point that show `significant` digits of `size`.
fn decimals(size: f64, significant: usize) -> usize {
    let (mut digits, mut rest) = (significant.saturating_sub(1), size.abs());
    while rest < 0.999_95 && digits < MOST_DECIMALS {
        rest *= 10.0;
        digits += 1;
    }
    while rest >= 9.999_5 && digits > 0 {
        rest /= 10.0;
        digits -= 1;
    }
    digits
}

/// The nearest whole number with its thousands apart.
pub(crate) fn whole(number: f64) -> String {
    format!("{}{}", sign(number), thousands(number.abs()))
}

/// A whole number of up to 15 digits with its thousands apart.
fn thousands(size: f64) -> String {
    format!("{size:.0}").parse().map_or_else(|_| format!("{size:.0}"), grouped)
}

fn scientific(number: f64) -> String {
    format!("{number:.2e}")
}

const fn sign(number: f64) -> &'static str {
    if number < 0.0 { "−" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_show_what_matters() {
        let cases = [(0.12345, "0.1235"), (-12.345, "−12.35"), (1234.4, "1,234"), (0.0, "0"), (f64::NAN, UNKNOWN)];
        for (number, shown) in cases.into_iter().chain([(9.99996, "10.00"), (3e-7, "3.00e-7"), (999.96, "1,000")]) {
            assert_eq!(value(number), shown);
        }
        assert_eq!(measured(0.123_456, Some(0.001_23)), "0.1235 ± 0.0012");
        assert_eq!(measured(0.5, None), "0.5000");
        assert_eq!(measured(-2.0, Some(0.5)), "−2.00 ± 0.50");
        assert_eq!([cut(0.5, Some(0.01)), cut(0.5, None)], ["0.500 ± 0.010", "0.5000 ± ?"]);
    }

    #[test]
    fn counts_and_shares_read_easily() {
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
        assert_eq!([counted(1, "unit"), counted(2, "unit")], ["1 unit", "2 units"]);
        assert_eq!(
            [share(1, 5), share(0, 0), share(1, 300), share(1, 1_000_000)],
            ["20.0\u{a0}%", UNKNOWN, "0.33\u{a0}%", "under 0.01\u{a0}%"]
        );
        assert_eq!([short(1e12), short(1_234.0), short(12.0)], ["1.0T", "1.2k", "12"]);
    }

    #[test]
    fn passes_read_easily() {
        assert_eq!([0.421, 12.54, 1_234.4, f64::NAN].map(times_read), ["0.42", "12.5", "1,234", UNKNOWN]);
    }

    #[test]
    fn correlations_have_three_digits() {
        assert_eq!([-0.83, 0.0004, -0.0004, f64::NAN].map(correlation), ["−0.830", "0.000", "0.000", UNKNOWN]);
    }

    #[test]
    fn times_have_two_units_at_most() {
        let shown = [0.015, 1.25, 192.0, 8040.0, 59.96].map(seconds);
        assert_eq!(shown, ["15 ms", "1.25 s", "3 min 12 s", "2 h 14 min", "1 min 0 s"]);
    }

    #[test]
    fn ticks_agree_with_their_step() {
        assert_eq!(tick(0.05, 0.05), "0.05");
        assert_eq!(tick(-1.0, 0.5), "−1.0");
        assert_eq!(tick(20_000.0, 5_000.0), "20k");
        assert_eq!(tick(1500.0, 500.0), "1.5k");
        assert_eq!(tick(1e-17, 0.1), "0");
    }
}
