//! JSON read in place: no tree, exact numbers, and lenient with what is missing.
//!
//! A normalizer should take what it can read and leave out the rest: a field of an odd type must not lose the
//! event. So every getter answers `None` for what is absent, `null` or of another type.

use crate::document::{Document, Place};
use crate::{Failure, Number};
use billhook_event::{Money, Time};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// How many entries of a provider's metadata [`Fields::to_metadata`] keeps.
pub const METADATA_ENTRIES_MAX: usize = 50;

/// How much of the name and of the text of each, in characters.
pub const METADATA_CHARS_MAX: usize = 1000;

/// The room that is made for the members of an object at first: few have more.
const MEMBERS: usize = 24;

/// A JSON scalar; a number is the document's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The text of a number.
    Number(String),
    /// A string, unescaped.
    Text(String),
}

impl Scalar {
    /// The text of a string or number.
    pub fn into_text(self) -> Option<String> {
        match self {
            Scalar::Number(text) | Scalar::Text(text) => Some(text),
            Scalar::Null | Scalar::Bool(_) => None,
        }
    }
}

/// A JSON value in the text of its document.
#[derive(Clone, Copy)]
pub struct Json<'a> {
    document: &'a Document,
    at: usize,
}

impl fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Json").field(&self.raw()).finish()
    }
}

impl<'a> Json<'a> {
    pub(crate) fn at(document: &'a Document, at: usize) -> Json<'a> {
        Json { document, at }
    }

    /// The text as it stands in the document.
    pub fn raw(self) -> &'a str {
        self.document.text(self.document.place(self.at))
    }

    fn first(self) -> u8 {
        self.document.first(self.document.place(self.at))
    }

    fn is_null(self) -> bool {
        self.first() == b'n'
    }

    /// The values that stand in it; of an object, each name before its value.
    fn inside(self) -> impl Iterator<Item = Json<'a>> {
        let Json { document, at } = self;
        let Place { next: end, .. } = document.place(at);
        let mut at = at + 1;
        std::iter::from_fn(move || {
            let value = (at < end).then_some(Json { document, at })?;
            at = document.place(at).next;
            Some(value)
        })
    }

    /// The value as one that can stand in a draft's `previous`.
    pub fn to_raw(self) -> Box<RawValue> {
        // The text was cut out of a parsed document, so that it is JSON; null would be a defect, not a panic.
        RawValue::from_string(self.raw().to_owned()).unwrap_or_default()
    }

    /// What kind of value it is, for messages: `an object`, `a string`, ...
    pub fn kind(self) -> &'static str {
        match self.first() {
            b'{' => "an object",
            b'[' => "an array",
            b'"' => "a string",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            _ => "a number",
        }
    }

    /// A scalar; `None` for an object or array.
    pub fn scalar(self) -> Option<Scalar> {
        Some(match self.first() {
            b'{' | b'[' => return None,
            b'"' => Scalar::Text(self.string()?.into_owned()),
            b'n' => Scalar::Null,
            b't' => Scalar::Bool(true),
            b'f' => Scalar::Bool(false),
            _ => Scalar::Number(self.raw().to_owned()),
        })
    }

    /// A string, unescaped, or the text of a number; `None` if it is blank.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let text = match self.first() {
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => Cow::Borrowed(self.raw()),
            _ => return None,
        };
        (!text.chars().all(char::is_whitespace)).then_some(text)
    }

    /// A boolean, also where it is written as a string.
    pub fn flag(self) -> Option<bool> {
        match self.raw() {
            "true" | "\"true\"" => Some(true),
            "false" | "\"false\"" => Some(false),
            _ => None,
        }
    }

    /// A decimal number, also where it is written as a string.
    pub fn number(self) -> Option<Number> {
        Number::parse(&self.text()?)
    }

    /// A time as [`Time::parse`] reads it.
    pub fn time(self) -> Option<Time> {
        Time::parse(&self.text()?)
    }

    /// The members of an object.
    pub fn fields(self) -> Option<Fields<'a>> {
        (self.first() == b'{').then(|| Fields::of(self))
    }

    /// The elements of an array.
    pub fn items(self) -> Option<Vec<Json<'a>>> {
        (self.first() == b'[').then(|| self.inside().collect())
    }

    /// The value at a JSON pointer (RFC 6901) below this one.
    pub fn pointer(self, pointer: &str) -> Option<Json<'a>> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut value = self;
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = unescaped(token);
            value = match value.first() {
                b'{' => value.member(&token)?,
                b'[' if token == "0" || !token.starts_with(['0', '+']) => {
                    value.inside().nth(token.parse().ok()?)?
                }
                _ => return None,
            };
        }
        Some(value)
    }

    /// The last member `name` of an object, `null` too.
    fn member(self, name: &str) -> Option<Json<'a>> {
        let mut inside = self.inside();
        let mut found = None;
        while let (Some(known), Some(value)) = (inside.next(), inside.next()) {
            if known.name() == name {
                found = Some(value);
            }
        }
        found
    }

    /// As the name of a member: one that is no text, as with half a surrogate pair, stays as it was written.
    fn name(self) -> Cow<'a, str> {
        self.string().unwrap_or(Cow::Borrowed(self.raw()))
    }

    /// How many elements or members it has; `None` for a scalar.
    pub fn count(self) -> Option<u32> {
        let inside = self.inside().count();
        let count = match self.first() {
            b'{' => inside / 2,
            b'[' => inside,
            _ => return None,
        };
        u32::try_from(count).ok()
    }

    fn string(self) -> Option<Cow<'a, str>> {
        let place = self.document.place(self.at);
        match self.first() {
            b'"' if place.is_escaped => serde_json::from_str(self.document.text(place)).ok().map(Cow::Owned),
            b'"' => Some(Cow::Borrowed(self.document.between_quotes(place))),
            _ => None,
        }
    }
}

/// A token of a JSON pointer as the name that it means.
fn unescaped(token: &str) -> Cow<'_, str> {
    match token.contains('~') {
        true => Cow::Owned(token.replace("~1", "/").replace("~0", "~")),
        false => Cow::Borrowed(token),
    }
}

/// A body as `T`; [`Failure::Invalid`] says where it is not JSON, or what of it does not fit.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| match Document::parse(body) {
        Ok(_) => Failure::Invalid(format!("the body is not as expected: {error}")),
        Err(not_json) => not_json,
    })
}

/// The members of a JSON object, in the order of the document. Of duplicate names the last counts.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a> {
    members: Vec<Member<'a>>,
    /// A bit for the [`tag`] of each name: most names that a normalizer asks for are absent, and need not be looked for.
    marks: u64,
}

#[derive(Clone, Debug)]
struct Member<'a> {
    tag: usize,
    name: Cow<'a, str>,
    value: Json<'a>,
}

/// A number for a name, which few others have.
fn tag(name: &str) -> usize {
    let bytes = name.as_bytes();
    let ends = bytes
        .first()
        .zip(bytes.last())
        .map_or(0, |(first, last)| usize::from(*first) * 5 + usize::from(*last));
    ends + bytes.len() * 11
}

/// One of 64 bits for a tag.
const fn mark(tag: usize) -> u64 {
    1 << (tag % 64)
}

impl<'a> Fields<'a> {
    fn of(object: Json<'a>) -> Fields<'a> {
        let mut fields = Fields { members: Vec::with_capacity(MEMBERS), marks: 0 };
        let mut inside = object.inside();
        while let (Some(name), Some(value)) = (inside.next(), inside.next()) {
            let name = name.name();
            let tag = tag(&name);
            fields.marks |= mark(tag);
            fields.members.push(Member { tag, name, value });
        }
        fields
    }

    /// The member `name`; `None` if it is absent or `null`.
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        self.any(name).filter(|value| !value.is_null())
    }

    /// As [`Json::text`], owned.
    pub fn text(&self, name: &str) -> Option<String> {
        self.any(name)?.text().map(Cow::into_owned)
    }

    /// As [`Json::flag`].
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.any(name)?.flag()
    }

    /// As [`Json::number`].
    pub fn number(&self, name: &str) -> Option<Number> {
        self.any(name)?.number()
    }

    /// A whole number that fits `T`.
    pub fn whole<T: TryFrom<i128>>(&self, name: &str) -> Option<T> {
        self.number(name)?.whole()
    }

    /// As [`Json::time`].
    pub fn time(&self, name: &str) -> Option<Time> {
        self.any(name)?.time()
    }

    /// An amount in major units; see [`Money::from_major`].
    pub fn major(&self, name: &str, currency: &str) -> Option<Money> {
        Money::from_major(&self.any(name)?.text()?, currency)
    }

    /// The members of the object `name`.
    pub fn fields(&self, name: &str) -> Option<Fields<'a>> {
        self.any(name)?.fields()
    }

    /// The value at a JSON pointer (RFC 6901) below the object; `None` if it is absent or `null`.
    pub fn pointer(&self, pointer: &str) -> Option<Json<'a>> {
        let path = pointer.strip_prefix('/')?;
        let (name, rest) = path.find('/').map_or((path, ""), |at| path.split_at(at));
        self.any(&unescaped(name))?.pointer(rest).filter(|value| !value.is_null())
    }

    /// As [`Json::text`] of the value at a pointer, owned.
    pub fn text_at(&self, pointer: &str) -> Option<String> {
        self.pointer(pointer)?.text().map(Cow::into_owned)
    }

    /// The members as text, for [`Draft::metadata`](billhook_event::Draft::metadata): strings and numbers as they are,
    /// all else as its JSON, `null` left out. At most [`METADATA_ENTRIES_MAX`], each cut to
    /// [`METADATA_CHARS_MAX`].
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let cut = |text: &str| match text.char_indices().nth(METADATA_CHARS_MAX) {
            Some((end, _)) => text[..end].to_owned(),
            None => text.to_owned(),
        };
        let text = |value: Json<'_>| value.text().map_or_else(|| cut(value.raw()), |text| cut(&text));
        let entries = self.iter().filter(|(_, value)| !value.is_null());
        entries.take(METADATA_ENTRIES_MAX).map(|(name, value)| (cut(name), text(value))).collect()
    }

    /// Every member, as it stands.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Json<'a>)> {
        self.members.iter().map(|member| (member.name.as_ref(), member.value))
    }

    fn any(&self, name: &str) -> Option<Json<'a>> {
        let tag = tag(name);
        if self.marks & mark(tag) == 0 {
            return None;
        }
        let member = self.members.iter().rev().find(|member| member.tag == tag && member.name == name)?;
        Some(member.value)
    }
}

#[cfg(test)]
mod tests {
    use super::{Json, METADATA_CHARS_MAX, METADATA_ENTRIES_MAX};
    use crate::Document;

    const BODY: &str =
        r#" {"a":{"b/c":[10,{"~":"x\u0041"}],"n":null},"price":1.10,"paid":"true","a2":"","k":1,"k":2} "#;

    #[test]
    fn pointers_find_the_exact_text() {
        let document = Document::parse(BODY.as_bytes()).unwrap();
        let json = document.json();
        let cases = [
            ("/a/b~1c/0", Some("10")),
            ("/a/b~1c/1/~0", Some(r#""x\u0041""#)),
            ("/a/n", Some("null")),
            ("/price", Some("1.10")),
            ("/k", Some("2")),
            ("/a/b~1c/2", None),
            ("/a/b~1c/01", None),
            ("/a/b~1c/-", None),
            ("/price/x", None),
            ("price", None),
        ];
        for (pointer, expected) in cases {
            assert_eq!(json.pointer(pointer).map(Json::raw), expected, "{pointer}");
        }
        assert_eq!(json.pointer("/a/b~1c").and_then(Json::count), Some(2));
        assert_eq!(json.pointer("/a").and_then(Json::count), Some(2));
        assert_eq!(json.pointer("/price").and_then(Json::count), None);
    }

    #[test]
    fn an_object_answers_pointers_as_its_document_does() {
        let document = Document::parse(BODY.as_bytes()).unwrap();
        let fields = document.fields().unwrap();
        assert_eq!(fields.text_at("/a/b~1c/1/~0").as_deref(), Some("xA"));
        assert_eq!(fields.text_at("/price").as_deref(), Some("1.10"));
        assert_eq!(fields.pointer("/k").map(Json::raw), Some("2"));
        for absent in ["", "/", "price", "/a/n", "/a/x", "/price/x", "/€"] {
            assert!(fields.pointer(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn metadata_is_text_without_null_and_bounded() {
        let document = Document::parse(BODY.as_bytes()).unwrap();
        let fields = document.fields().unwrap();
        let metadata = fields.to_metadata();
        assert_eq!((metadata["price"].as_str(), metadata["paid"].as_str()), ("1.10", "true"));
        assert_eq!(metadata["a"], r#"{"b/c":[10,{"~":"x\u0041"}],"n":null}"#);
        let many: String = (0..200).map(|n| format!(r#","k{n}":"{}""#, "é".repeat(2000))).collect();
        let many = format!(r#"{{"none":null{many}}}"#);
        let metadata = Document::parse(many.as_bytes()).unwrap().fields().unwrap().to_metadata();
        assert_eq!(metadata.len(), METADATA_ENTRIES_MAX);
        assert!(metadata.values().all(|text| text.chars().count() == METADATA_CHARS_MAX));
    }

    #[test]
    fn odd_fields_are_absent_and_not_an_error() {
        let document = Document::parse(BODY.as_bytes()).unwrap();
        let fields = document.fields().unwrap();
        assert_eq!(fields.text("a"), None);
        assert_eq!(fields.text("a2"), None);
        assert_eq!(fields.text("price").as_deref(), Some("1.10"));
        assert_eq!(fields.major("price", "usd").unwrap().amount_minor, 110);
        assert_eq!(fields.flag("paid"), Some(true));
        assert_eq!(fields.time("price"), None);
        assert_eq!(fields.whole::<u8>("k"), Some(2));
        let inner = fields.fields("a").unwrap();
        assert!(inner.get("n").is_none());
        assert_eq!(document.json().pointer("/a/b~1c/1/~0").unwrap().text().unwrap(), "xA");
    }
}
