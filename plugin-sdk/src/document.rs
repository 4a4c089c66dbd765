//! A JSON document that was read once: its text, and where each value in it begins and ends.

use crate::{Failure, Fields, Json};
use serde_json::value::RawValue;

/// The room that is made for values at first: few documents have more.
const PLACES: usize = 128;

/// The most values that a document may have, of an object each name too: its places then take 8 MiB of a call's memory, and
/// thrice as much while it is found that there are more. A usual body of three megabytes has half as many.
const PLACES_MAX: usize = 1 << 19;

/// A JSON document.
///
/// ```
/// use billhook_plugin::Document;
///
/// let document = Document::parse(br#"{"price":1.10}"#)?;
/// assert_eq!(document.fields()?.text("price").as_deref(), Some("1.10"));
/// # Ok::<(), billhook_plugin::Failure>(())
/// ```
#[derive(Clone, Debug)]
pub struct Document {
    text: String,
    /// Every value in the order of the text, the document itself first; of an object, each name before its value.
    places: Vec<Place>,
}

/// Where a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The first of its bytes.
    begin: usize,
    /// The first byte after it.
    end: usize,
    /// The place of the next value that is not in this one.
    pub(crate) next: usize,
    /// Whether it is a string with a backslash in it.
    pub(crate) is_escaped: bool,
}

impl Document {
    /// Reads a document. [`Failure::Invalid`] says where it is not JSON, or that it has more values than a call's memory
    /// is for.
    pub fn parse(document: &[u8]) -> Result<Document, Failure> {
        let raw: &RawValue = serde_json::from_slice(document)
            .map_err(|error| Failure::Invalid(format!("the body is not JSON: {error}")))?;
        let text = raw.get().to_owned();
        // A value takes two bytes at least, with what stands before the next.
        let places = match text.len() <= 2 * PLACES_MAX {
            true => places::<false>(text.as_bytes()),
            false => places::<true>(text.as_bytes()),
        };
        if places.len() > PLACES_MAX {
            let why = format!("the body has more than {PLACES_MAX} names and values: send fewer");
            return Err(Failure::Invalid(why));
        }
        Ok(Document { text, places })
    }

    /// Of JSON that the gateway or this crate wrote, which is not checked again.
    pub(crate) fn written(json: Vec<u8>) -> Document {
        let text = String::from_utf8(json).unwrap_or_default();
        let places = places::<false>(text.as_bytes());
        if places.is_empty() {
            return Document::written(b"null".to_vec());
        }
        Document { text, places }
    }

    /// The value that it is.
    pub fn json(&self) -> Json<'_> {
        Json::at(self, 0)
    }

    /// The members of the object that it is; [`Failure::Invalid`] if it is none.
    pub fn fields(&self) -> Result<Fields<'_>, Failure> {
        let json = self.json();
        json.fields()
            .ok_or_else(|| Failure::Invalid(format!("the body is {}, not a JSON object", json.kind())))
    }

    /// Its text with at most `chars` characters of each string and name in it. What is no text, as half a surrogate pair,
    /// stays as it is.
    #[cfg(any(test, target_family = "wasm", feature = "testing"))]
    pub(crate) fn with_texts_cut(&self, chars: usize) -> Vec<u8> {
        let mut text = String::new();
        let mut from = 0;
        for place in &self.places {
            let is_long = self.first(*place) == b'"' && place.end - place.begin > chars;
            if is_long && let Ok(string) = serde_json::from_str::<String>(self.text(*place)) {
                let cut: String = string.chars().take(chars).collect();
                text.push_str(&self.text[from..place.begin]);
                text.push_str(&serde_json::Value::String(cut).to_string());
                from = place.end;
            }
        }
        text.push_str(&self.text[from..]);
        text.into_bytes()
    }

    /// `at` is 0, or stands in a [`Place`] before it.
    pub(crate) fn place(&self, at: usize) -> Place {
        self.places[at]
    }

    pub(crate) fn text(&self, place: Place) -> &str {
        &self.text[place.begin..place.end]
    }

    pub(crate) fn between_quotes(&self, place: Place) -> &str {
        &self.text[place.begin + 1..place.end - 1]
    }

    /// The byte that tells what kind of value it is.
    pub(crate) fn first(&self, place: Place) -> u8 {
        self.text.as_bytes()[place.begin]
    }
}

/// The places of the values in a text that is JSON: nothing is checked. Where they are bounded it ends behind the first that
/// is too many; few bodies are long enough to pay for being counted.
fn places<const BOUNDED: bool>(text: &[u8]) -> Vec<Place> {
    let mut places = Vec::with_capacity(PLACES);
    let mut open = Vec::new();
    let mut begin = 0;
    while let Some(byte) = text.get(begin) {
        let (end, is_escaped) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {
                begin += 1;
                continue;
            }
            b'}' | b']' => {
                begin += 1;
                let next = places.len();
                if let Some(closed) = open.pop().and_then(|closed: usize| places.get_mut(closed)) {
                    *closed = Place { end: begin, next, ..*closed };
                }
                continue;
            }
            b'{' | b'[' => {
                open.push(places.len());
                (begin + 1, false)
            }
            b'"' => end_of_string(text, begin + 1),
            _ => (end_of_word(text, begin), false),
        };
        places.push(Place { begin, end, next: places.len() + 1, is_escaped });
        if BOUNDED && places.len() > PLACES_MAX {
            break;
        }
        begin = end;
    }
    places
}

/// Where a string ends of which the first character is at `at`, and whether it has a backslash.
fn end_of_string(text: &[u8], mut at: usize) -> (usize, bool) {
    /// A one in every byte.
    const ONES: u64 = u64::MAX / 255;
    /// Has its highest bit where a byte is zero, and perhaps above that.
    const fn zeros(word: u64) -> u64 {
        word.wrapping_sub(ONES) & !word & (ONES << 7)
    }
    let mut is_escaped = false;
    loop {
        if let Some(some) = text.get(at..).and_then(|rest| rest.first_chunk()) {
            let word = u64::from_le_bytes(*some);
            let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
            if found == 0 {
                at += size_of_val(some);
                continue;
            }
            at += found.trailing_zeros() as usize / 8;
        }
        match text.get(at) {
            Some(b'"') => return (at + 1, is_escaped),
            Some(b'\\') => {
                is_escaped = true;
                at += 2;
            }
            Some(_) => at += 1,
            None => return (text.len(), is_escaped),
        }
    }
}

/// Where a number, `true`, `false` or `null` ends.
fn end_of_word(text: &[u8], begin: usize) -> usize {
    let is_after = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r');
    text.iter().skip(begin).position(is_after).map_or(text.len(), |len| begin + len)
}

#[cfg(test)]
mod tests {
    use super::{Document, PLACES_MAX};
    use crate::Failure;

    #[test]
    fn values_are_cut_where_they_begin_and_end() {
        let cases: [(&str, &[&str]); 9] = [
            ("{}", &["{}"]),
            (" [ \n] ", &["[ \n]"]),
            ("-7", &["-7"]),
            (r#"{"a":1,"b":-2.5e3}"#, &[r#"{"a":1,"b":-2.5e3}"#, r#""a""#, "1", r#""b""#, "-2.5e3"]),
            ("[1 ,\ttrue,\nnull ]", &["[1 ,\ttrue,\nnull ]", "1", "true", "null"]),
            (r#"["}","]",",",":"]"#, &[r#"["}","]",",",":"]"#, r#""}""#, r#""]""#, r#"",""#, r#"":""#]),
            (
                r#"["\"","\\","123456\\\"b"]"#,
                &[r#"["\"","\\","123456\\\"b"]"#, r#""\"""#, r#""\\""#, r#""123456\\\"b""#],
            ),
            (
                r#"[{"b":[{},"}"]},[[]]]"#,
                &[
                    r#"[{"b":[{},"}"]},[[]]]"#,
                    r#"{"b":[{},"}"]}"#,
                    r#""b""#,
                    r#"[{},"}"]"#,
                    "{}",
                    r#""}""#,
                    "[[]]",
                    "[]",
                ],
            ),
            (r#"["€","ü\u00e9"]"#, &[r#"["€","ü\u00e9"]"#, r#""€""#, r#""ü\u00e9""#]),
        ];
        for (text, values) in cases {
            let document = Document::parse(text.as_bytes()).unwrap();
            let cut: Vec<&str> = document.places.iter().map(|place| document.text(*place)).collect();
            assert_eq!(cut, values, "{text}");
        }
    }

    #[test]
    fn what_follows_a_value_is_not_in_it() {
        let document = Document::parse(br#"[{"b":[{},"}"]},[[]],"\n"]"#).unwrap();
        let next: Vec<usize> = document.places.iter().map(|place| place.next).collect();
        assert_eq!(next, [9, 6, 3, 6, 5, 6, 8, 8, 9]);
        assert!(document.places[8].is_escaped && !document.places[5].is_escaped);
    }

    #[test]
    fn what_is_no_object_is_named() {
        for (body, message) in [
            ("[1]", "the body is an array, not a JSON object"),
            ("\"x\"", "the body is a string, not a JSON object"),
            ("7", "the body is a number, not a JSON object"),
            ("", "the body is not JSON: EOF while parsing a value at line 1 column 0"),
            ("{\"a\":}", "the body is not JSON: expected value at line 1 column 6"),
        ] {
            let fields = Document::parse(body.as_bytes()).and_then(|document| document.fields().map(drop));
            assert_eq!(fields.unwrap_err(), Failure::invalid(message), "{body}");
        }
        assert_eq!(Document::written(Vec::new()).json().raw(), "null");
        assert!(Document::parse(b"\xff").is_err() && Document::parse(b"\"\xff\"").is_err());
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let body = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(Document::parse(body.as_bytes()).unwrap().places.len(), 200_000);
    }

    #[test]
    fn a_body_has_no_more_values_than_a_call_has_memory_for() {
        let wide = |values: usize| format!("[1{}]", ",1".repeat(values - 2));
        let deep = |values: usize| "[".repeat(values) + &"]".repeat(values);
        for body in [wide, deep] {
            assert_eq!(Document::parse(body(PLACES_MAX).as_bytes()).unwrap().places.len(), PLACES_MAX);
            let why = Document::parse(body(PLACES_MAX + 1).as_bytes()).unwrap_err();
            assert_eq!(why, Failure::invalid("the body has more than 524288 names and values: send fewer"));
            // What the gateway wrote is read all the same.
            assert_eq!(Document::written(body(PLACES_MAX + 1).into()).places.len(), PLACES_MAX + 1);
        }
    }
}
