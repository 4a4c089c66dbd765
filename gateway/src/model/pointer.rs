//! Reads one value out of JSON text without building a tree.
//!
//! The functions here skip over what they are not asked for and do not check it: give them text that [`problem`] has
//! found nothing wrong with, or take what they say of a broken text for a guess. They never panic and never recurse.

use serde::de::IgnoredAny;
use std::borrow::Cow;

/// Arrays and objects may stand in each other this deep: the limit of `serde_json`.
pub const DEPTH_MAX: usize = 128;

/// A JSON value that holds no other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number as it is written: it need not fit any of ours.
    Number(String),
    /// A string without its quotes and escapes.
    Text(String),
}

/// The JSON text of the value at an RFC 6901 pointer, a slice of `json`; the last one where a key stands twice.
pub fn find<'a>(json: &'a str, pointer: &str) -> Option<&'a str> {
    let mut value = json.trim_matches(is_space);
    if pointer.is_empty() {
        return Some(value);
    }
    for (depth, token) in pointer.strip_prefix('/')?.split('/').enumerate() {
        let token = unescape(token);
        let mut children = Children::of(value, DEPTH_MAX.checked_sub(depth)?)?;
        value = if children.is_object {
            children.filter(|child| child.is_called(&token)).last()?.value
        } else {
            children.nth(index(&token)?)?.value
        };
    }
    Some(value)
}

/// The JSON texts of all values that a pointer may be taken to mean, slices of `json` in its order: along its path every
/// member of a key that stands twice, and in an array, where a step is no index, that step of every element. The text may
/// be as deep as it likes.
pub fn find_all<'a>(json: &'a str, pointer: &str) -> Vec<&'a str> {
    let mut found = vec![json.trim_matches(is_space)];
    if pointer.is_empty() {
        return found;
    }
    let Some(path) = pointer.strip_prefix('/') else { return Vec::new() };
    for token in path.split('/') {
        let token = unescape(token);
        found = found.into_iter().flat_map(|value| step(value, &token)).collect();
    }
    found
}

/// What a step leads to from `value`.
fn step<'a>(value: &'a str, token: &str) -> Vec<&'a str> {
    let Some(mut children) = Children::of(value, usize::MAX) else { return Vec::new() };
    if children.is_object {
        return members(value, token).collect();
    }
    match index(token) {
        Some(at) => children.nth(at).into_iter().map(|child| child.value).collect(),
        None => children.flat_map(|child| members(child.value, token)).collect(),
    }
}

/// The members of an object that are called `name`.
fn members<'a>(object: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let children = Children::of(object, usize::MAX).filter(|children| children.is_object);
    let called = children.into_iter().flatten().filter(move |child| child.is_called(name));
    called.map(|child| child.value)
}

/// The scalar at an RFC 6901 pointer; `None` if there is nothing, an array or an object.
pub fn scalar(json: &str, pointer: &str) -> Option<Scalar> {
    let text = find(json, pointer)?;
    match text.as_bytes().first()? {
        b'"' => Some(Scalar::Text(serde_json::from_str(text).ok()?)),
        b'{' | b'[' => None,
        _ => match text {
            "null" => Some(Scalar::Null),
            "true" => Some(Scalar::Bool(true)),
            "false" => Some(Scalar::Bool(false)),
            number => {
                serde_json::from_str::<IgnoredAny>(number).ok().map(|_| Scalar::Number(number.to_owned()))
            }
        },
    }
}

/// How many elements the array or members the object at a pointer has; a key that stands twice counts twice.
pub fn count(json: &str, pointer: &str) -> Option<u32> {
    let depth = pointer.matches('/').count();
    let children = Children::of(find(json, pointer)?, DEPTH_MAX.checked_sub(depth)?)?;
    u32::try_from(children.count()).ok()
}

/// Why `json` is not JSON (RFC 8259), or is deeper than [`DEPTH_MAX`]; `None` if all is well.
pub fn problem(json: &[u8]) -> Option<String> {
    let text = match std::str::from_utf8(json) {
        Ok(text) => text,
        Err(error) => return Some(format!("not UTF-8 from byte {} on", error.valid_up_to())),
    };
    if let Err(error) = json_however_deep(text) {
        return Some(error.to_string());
    }
    let value = text.trim_matches(is_space);
    value_end(value.as_bytes(), 0, DEPTH_MAX).is_none().then(|| format!("nested deeper than {DEPTH_MAX}"))
}

/// Whether `text` is JSON, however deep; else why not.
pub fn json_however_deep(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str(text).map(|IgnoredAny| ())
}

/// A member of an object or an element of an array.
struct Child<'a> {
    /// The key with its quotes; empty in an array.
    key: &'a str,
    value: &'a str,
}

impl Child<'_> {
    fn is_called(&self, name: &str) -> bool {
        if self.key.contains('\\') {
            return serde_json::from_str::<String>(self.key).is_ok_and(|key| key == name);
        }
        self.key.len() == name.len() + 2 && &self.key[1..self.key.len() - 1] == name
    }
}

/// Goes over the children of an array or object, from first to last; ends early where the text is broken.
struct Children<'a> {
    text: &'a str,
    at: usize,
    is_object: bool,
    /// How deep the children may be.
    depth: usize,
}

impl<'a> Children<'a> {
    /// The children of `text`, which begins with the array or object; `depth` counts the array or object itself.
    fn of(text: &'a str, depth: usize) -> Option<Children<'a>> {
        let is_object = match text.as_bytes().first()? {
            b'{' => true,
            b'[' => false,
            _ => return None,
        };
        Some(Children { text, at: 0, is_object, depth: depth.checked_sub(1)? })
    }

    /// The next byte that is not space, which stays unread.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while is_space(char::from(*bytes.get(self.at)?)) {
            self.at += 1;
        }
        Some(bytes[self.at])
    }
}

impl<'a> Iterator for Children<'a> {
    type Item = Child<'a>;

    fn next(&mut self) -> Option<Child<'a>> {
        let bytes = self.text.as_bytes();
        // The bracket before the first child, the comma before the others.
        let is_first = self.at == 0;
        if !is_first && self.peek()? != b',' {
            return None;
        }
        self.at += 1;
        let mut key = "";
        if self.is_object {
            if self.peek()? != b'"' {
                return None;
            }
            let end = string_end(bytes, self.at)?;
            key = &self.text[self.at..end];
            self.at = end;
            if self.peek()? != b':' {
                return None;
            }
            self.at += 1;
        }
        let first = self.peek()?;
        if first == b']' || first == b'}' {
            return None;
        }
        let end = value_end(bytes, self.at, self.depth)?;
        let value = &self.text[self.at..end];
        self.at = end;
        Some(Child { key, value })
    }
}

/// RFC 8259 section 2.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// RFC 6901 section 4: `~1` is `/`, and then `~0` is `~`.
fn unescape(token: &str) -> Cow<'_, str> {
    if !token.contains('~') {
        return Cow::Borrowed(token);
    }
    Cow::Owned(token.replace("~1", "/").replace("~0", "~"))
}

/// RFC 6901 section 4: digits without leading zeros.
fn index(token: &str) -> Option<usize> {
    let is_plain = token == "0" || !token.starts_with('0') && token.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| token.parse().ok()).flatten()
}

/// Where the value that begins at `at` ends; `None` if it does not, or holds arrays and objects deeper than `depth`.
fn value_end(bytes: &[u8], at: usize, depth: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => container_end(bytes, at, depth),
        _ => {
            let rest = &bytes[at..];
            let len =
                rest.iter().position(|b| matches!(b, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r'));
            let len = len.unwrap_or(rest.len());
            (len > 0).then_some(at + len)
        }
    }
}

fn container_end(bytes: &[u8], mut at: usize, depth: usize) -> Option<usize> {
    let mut open = 0;
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' if open == depth => return None,
            b'{' | b'[' => open += 1,
            b'}' | b']' if open == 1 => return Some(at + 1),
            b'}' | b']' => open -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// Where the string whose quote is at `at` ends.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at + 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn all_that_a_pointer_may_mean_is_found_through_arrays_and_repeated_keys() {
        let json = r#"[{"a": {"b": 1}, "a": [{"b": 2}, 7, {"b": [3], "b": 4}]}, {"c": 0}, [{"a": 5}], {"a": {"b": "x"}}]"#;
        let cases: [(&str, &[&str]); 8] = [
            ("/a/b", &["1", "2", "[3]", "4", "\"x\""]),
            ("/0/a/b", &["1", "2", "[3]", "4"]),
            ("/a/0/b", &["2"]),
            ("/2/0/a", &["5"]),
            ("/a/9", &[]),
            ("/none", &[]),
            ("a", &[]),
            ("/c", &["0"]),
        ];
        for (pointer, expected) in cases {
            assert_eq!(find_all(json, pointer), expected, "{pointer}");
        }
        assert_eq!(find_all(" 1 ", ""), ["1"]);
        assert!(find_all("[{\"a\":", "/a").is_empty());
    }

    #[test]
    fn values_are_found_as_they_are_written() {
        let json = r#" {"a": {"b": [1.50, "x\"}", {"c": null}], "": 0}, "a/b": 1, "m~n": 2, "k\u0065y": true,
            "twice": 1, "twice": {"z": 1e400}, "é": "ü", "empty": [], "none": {}} "#;
        let cases = [
            ("/a/b/0", Some("1.50")),
            ("/a/b/1", Some(r#""x\"}""#)),
            ("/a/b/2/c", Some("null")),
            ("/a/", Some("0")),
            ("/a~1b", Some("1")),
            ("/m~0n", Some("2")),
            ("/key", Some("true")),
            ("/twice", Some(r#"{"z": 1e400}"#)),
            ("/twice/z", Some("1e400")),
            ("/é", Some(r#""ü""#)),
            ("/empty", Some("[]")),
            ("/empty/0", None),
            ("/none/x", None),
            ("/a/b/3", None),
            ("/a/b/-", None),
            ("/a/b/00", None),
            ("/a/b/+1", None),
            ("/a/b/", None),
            ("/a/b/0/0", None),
            ("a", None),
            ("/", None),
        ];
        for (pointer, expected) in cases {
            assert_eq!(find(json, pointer), expected, "{pointer:?}");
        }
        assert_eq!(find(" [1] ", ""), Some("[1]"));
    }

    #[test]
    fn scalars_keep_the_text_of_numbers_and_lose_the_escapes_of_strings() {
        let json = r#"{"n": null, "t": true, "f": false, "x": 12345678901234567890.10, "s": "a\u00e9\n", "o": {}, "w": 01}"#;
        let cases = [
            ("/n", Some(Scalar::Null)),
            ("/t", Some(Scalar::Bool(true))),
            ("/f", Some(Scalar::Bool(false))),
            ("/x", Some(Scalar::Number("12345678901234567890.10".to_owned()))),
            ("/s", Some(Scalar::Text("aé\n".to_owned()))),
            ("/o", None),
            ("/w", None),
            ("/q", None),
        ];
        for (pointer, expected) in cases {
            assert_eq!(scalar(json, pointer), expected, "{pointer:?}");
        }
    }

    #[test]
    fn children_are_counted() {
        let json =
            r#"{"list": [1, [2, 3], {"x": 4}], "object": {"a": 1, "b": 2}, "empty": [ ], "text": "abc"}"#;
        let cases = [
            ("", Some(4)),
            ("/list", Some(3)),
            ("/list/1", Some(2)),
            ("/object", Some(2)),
            ("/empty", Some(0)),
            ("/text", None),
        ];
        for (pointer, expected) in cases {
            assert_eq!(count(json, pointer), expected, "{pointer:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_text_is_said_with_its_place() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n)).into_bytes();
        assert_eq!(problem(br#" {"a": [1, "x"]} "#), None);
        assert_eq!(problem(&deep(DEPTH_MAX)), None);
        assert_eq!(problem(&deep(DEPTH_MAX + 1)).unwrap(), "nested deeper than 128");
        assert_eq!(problem(b"\"ab\xff\"").unwrap(), "not UTF-8 from byte 3 on");
        assert_eq!(problem(b"{\"a\" 1}").unwrap(), "expected `:` at line 1 column 6");
        assert_eq!(problem(b"").unwrap(), "EOF while parsing a value at line 1 column 0");
        assert_eq!(problem(b"{} x").unwrap(), "trailing characters at line 1 column 4");
    }

    #[test]
    fn a_value_is_found_at_every_depth_up_to_the_bound_and_not_below() {
        let deep = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(find(&deep(DEPTH_MAX), &"/0".repeat(DEPTH_MAX)), Some("1"));
        assert_eq!(find(&deep(DEPTH_MAX + 1), &"/0".repeat(DEPTH_MAX + 1)), None);
        assert_eq!(find(&format!("[{}, 2]", deep(DEPTH_MAX)), "/1"), None);
    }

    /// A small xorshift, so that the property needs no crate and its failures repeat.
    struct Random(u64);

    impl Random {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 16) as usize % n
        }

        fn key(&mut self) -> &'static str {
            ["a", "b", "", "a/b", "m~n", "0", "1", "é\u{1f600}", "q\"uote", "back\\slash", "line\n", "~1"]
                [self.below(12)]
        }

        fn value(&mut self, depth: usize) -> Value {
            match self.below(if depth == 0 { 4 } else { 7 }) {
                0 => Value::Null,
                1 => Value::from(self.below(2) == 0),
                2 => Value::from(self.below(100_000) as i64 - 50_000),
                3 => Value::from(self.key()),
                4 | 5 => (0..self.below(5)).map(|_| (self.key().to_owned(), self.value(depth - 1))).collect(),
                _ => (0..self.below(5)).map(|_| self.value(depth - 1)).collect::<Vec<_>>().into(),
            }
        }

        fn pointer(&mut self) -> String {
            let tokens = self.below(4);
            (0..tokens).map(|_| format!("/{}", self.key().replace('~', "~0").replace('/', "~1"))).collect()
        }
    }

    #[test]
    fn it_finds_what_a_tree_would_find() {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut found = 0;
        for round in 0..4_000 {
            let value = random.value(4);
            let text = if round % 2 == 0 {
                value.to_string()
            } else {
                serde_json::to_string_pretty(&value).unwrap()
            };
            for _ in 0..8 {
                let pointer = random.pointer();
                let ours = find(&text, &pointer).map(|slice| serde_json::from_str::<Value>(slice).unwrap());
                assert_eq!(ours.as_ref(), value.pointer(&pointer), "{pointer:?} in {text}");
                found += usize::from(ours.is_some() && !pointer.is_empty());
            }
        }
        assert!(found > 400, "the pointers found something only {found} times");
    }

    #[test]
    fn a_broken_text_is_no_reason_to_panic() {
        let mut random = Random(42);
        for _ in 0..4_000 {
            let mut text = random.value(4).to_string();
            for _ in 0..3 {
                let at =
                    (0..=random.below(text.len() + 1)).rev().find(|at| text.is_char_boundary(*at)).unwrap();
                match random.below(3) {
                    0 => text.truncate(at),
                    1 => text.insert(at, ['"', '\\', '{', ']', ',', ':'][random.below(6)]),
                    _ => text.insert_str(at, "\\u00"),
                }
            }
            let pointer = random.pointer();
            find(&text, &pointer);
            scalar(&text, &pointer);
            count(&text, &pointer);
            problem(text.as_bytes());
        }
    }
}
