//! Makes what a plugin said fit to be shown: one line, bounded, without control characters.

use crate::model::text::is_harmful;

/// The most of a plugin's words that is shown in an error, in bytes.
pub(super) const SHOWN_MAX: usize = 8 << 10;

/// `text` with control characters (also those of Unicode that break lines or turn the direction of writing) escaped,
/// cut after at most `max` bytes, at a character, with a `…` where something is missing.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max));
    for c in text.chars() {
        let at = line.len();
        if is_harmful(c) {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
        if line.len() > max {
            line.truncate(at);
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_line_stays_one_line_and_short() {
        let cases = [
            ("plain, ü and \"quoted\"", 100, "plain, ü and \"quoted\""),
            (
                "a\nb\r\u{1b}[31mc\u{2028}d\u{202e}e\0\t",
                100,
                "a\\nb\\r\\u{1b}[31mc\\u{2028}d\\u{202e}e\\u{0}\\t",
            ),
            ("soft\u{ad}hyphen\u{2060}", 100, "soft\\u{ad}hyphen\\u{2060}"),
            ("abcdef", 3, "abc…"),
            ("äöü", 3, "ä…"),
            ("ab\n", 3, "ab…"),
            ("", 0, ""),
        ];
        for (text, max, expected) in cases {
            assert_eq!(one_line(text, max), expected, "{text:?}");
        }
    }
}
