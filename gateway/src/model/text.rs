//! Text that came from outside.

/// Whether a character could move the cursor, start a control sequence, hide or reorder text where it is shown: controls
/// (C0, DEL, C1), line and paragraph separators, and Unicode's bidirectional and invisible format characters. All of
/// them are in the basic plane.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}
