//! How figures are written for people.

use std::time::Duration;

/// A time to three digits: `850 ns`, `12.3 µs`, `1.05 ms`, `2.00 s`.
pub(super) fn time(time: Duration) -> String {
    let nanos = time.as_nanos() as f64;
    let (value, unit) = match nanos {
        n if n < 1e3 => return format!("{n:.0} ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

/// Bytes: `512 B`, `84.1 KiB`, `1.3 MiB`.
pub(super) fn bytes(bytes: usize) -> String {
    match bytes as f64 {
        _ if bytes < 1024 => format!("{bytes} B"),
        b if bytes < 1 << 20 => format!("{:.1} KiB", b / 1024.0),
        b => format!("{:.1} MiB", b / 1024.0 / 1024.0),
    }
}

/// A count with its thousands apart: `1,234,567`.
pub(super) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_have_units() {
        let times = [(850, "850 ns"), (12_340, "12.3 µs"), (1_050_000, "1.05 ms"), (250_000_000, "250 ms")];
        for (nanos, expected) in times {
            assert_eq!(time(Duration::from_nanos(nanos)), expected);
        }
        assert_eq!([bytes(512), bytes(86_118), bytes(1 << 20)], ["512 B", "84.1 KiB", "1.0 MiB"]);
        assert_eq!([count(0), count(999), count(1_234_567)], ["0", "999", "1,234,567"]);
    }
}
