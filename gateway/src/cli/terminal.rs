//! What goes to the terminal: text that came from outside is made harmless, colours only where they are wanted.

use crate::model::text::is_harmful;
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// Whether output is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text alone.
    Plain,
    /// With ANSI colours.
    Colour,
}

impl Style {
    /// Colours if standard output is a terminal that knows them, and `NO_COLOR` (no-color.org) is not set.
    pub fn detect() -> Style {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !unwanted && !dumb { Style::Colour } else { Style::Plain }
    }

    /// A line that stands above others, without its end.
    pub fn heading(self, text: &str) -> String {
        let mut out = String::new();
        strong(text).draw(self, &mut out);
        out
    }
}

/// How many columns a terminal has if nobody changed it.
pub const WIDTH_USUAL: usize = 80;

/// How many columns the terminal has that standard output is, if it is one.
pub fn width() -> Option<usize> {
    let columns = tcgetwinsize(io::stdout()).ok()?.ws_col;
    (columns > 0).then_some(columns.into())
}

/// What a piece of text is, which decides its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// What a line is about.
    Strong,
    /// What is only looked at when needed.
    Faint,
    /// It went well.
    Good,
    /// It is not decided yet, or looks odd.
    Care,
    /// It went wrong.
    Bad,
}

/// A piece of text with a tone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    tone: Tone,
    text: String,
}

impl Span {
    /// `text` may come from outside: it is made harmless when it is drawn.
    pub fn new(tone: Tone, text: impl Into<String>) -> Span {
        Span { tone, text: text.into() }
    }

    /// Appends the text to `out`.
    pub fn draw(&self, style: Style, out: &mut String) {
        let text = harmless(&self.text);
        let code = match self.tone {
            Tone::Plain => "",
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Good => "32",
            Tone::Care => "33",
            Tone::Bad => "31",
        };
        if style == Style::Plain || code.is_empty() {
            out.push_str(&text);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "\x1b[{code}m{text}\x1b[0m");
        }
    }

    /// How many characters it takes when it is drawn.
    pub fn width(&self) -> usize {
        harmless(&self.text).chars().count()
    }
}

/// A piece of nothing special.
pub fn plain(text: impl Into<String>) -> Span {
    Span::new(Tone::Plain, text)
}

/// What a line is about.
pub fn strong(text: impl Into<String>) -> Span {
    Span::new(Tone::Strong, text)
}

/// What is only looked at when needed.
pub fn faint(text: impl Into<String>) -> Span {
    Span::new(Tone::Faint, text)
}

/// What went well.
pub fn good(text: impl Into<String>) -> Span {
    Span::new(Tone::Good, text)
}

/// What is not decided yet, or looks odd.
pub fn care(text: impl Into<String>) -> Span {
    Span::new(Tone::Care, text)
}

/// What went wrong.
pub fn bad(text: impl Into<String>) -> Span {
    Span::new(Tone::Bad, text)
}

/// `text` with every character that [`is_harmful`] written as an escape.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// [`harmless`], line by line: for texts of our own that have lines, with words of others in them.
pub fn harmless_lines(text: &str) -> String {
    text.split('\n').map(harmless).collect::<Vec<_>>().join("\n")
}

/// Writes text that is ready for the terminal. That nobody reads any more (`| head`) is not an error.
pub fn print(text: &str) -> io::Result<()> {
    printed(text).map(drop)
}

/// As [`print()`]; whether somebody still reads.
pub fn printed(text: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => result.map(|()| true),
    }
}

/// Prints a value as one line of JSON, or as `render` draws it.
pub fn show<T: Serialize>(
    value: &T,
    json: bool,
    render: impl FnOnce(&T, Style) -> String,
) -> anyhow::Result<()> {
    match json {
        true => print_json(value),
        false => Ok(print(&render(value, Style::detect()))?),
    }
}

/// Prints a value as one line of JSON.
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(print(&json_line(value)?)?)
}

/// A value as one line of JSON, with what [`harmless`] escapes escaped as JSON does.
pub(crate) fn json_line(value: &impl Serialize) -> serde_json::Result<String> {
    let json = serde_json::to_string(value)?;
    let mut out = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        match c {
            // Raw JSON from a plugin may be laid out over lines: outside of texts these are only space.
            '\n' | '\r' | '\t' => out.push(' '),
            // All of them stand inside of texts only.
            c if is_harmful(c) => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('\n');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_controls_the_terminal() {
        let cases = [
            ("zu teuer, €9", "zu teuer, €9"),
            ("\x1b[2Jx\x07", r"\u{1b}[2Jx\u{7}"),
            ("a\r\nb\tc", r"a\r\nb\tc"),
            ("\u{9b}31m", r"\u{9b}31m"),
            ("evil\u{202e}txt.exe", r"evil\u{202e}txt.exe"),
            ("zero\u{200b}width", r"zero\u{200b}width"),
        ];
        for (text, expected) in cases {
            assert_eq!(harmless(text), expected);
            for style in [Style::Plain, Style::Colour] {
                let mut drawn = String::new();
                plain(text).draw(style, &mut drawn);
                assert_eq!(drawn, expected);
            }
        }
    }

    #[test]
    fn lines_stay_lines_and_nothing_else_that_controls() {
        assert_eq!(harmless_lines("not all:\n  \x1b[31mx\r\ny"), "not all:\n  \\u{1b}[31mx\\r\ny");
    }

    #[test]
    fn json_stays_json_and_harmless() {
        let raw =
            serde_json::value::RawValue::from_string("{\n \"a\": \"\u{9b}\u{202e}\"}".to_owned()).unwrap();
        let line = json_line(&raw).unwrap();
        assert_eq!(line, "{  \"a\": \"\\u009b\\u202e\"}\n");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap()["a"], "\u{9b}\u{202e}");
    }
}
