//! JSON read in place: no tree, exact numbers, and lenient with what is missing.
//!
//! A normalizer should take what it can read and leave out the rest: a field of an odd type must not lose the
//! event. So every getter answers `None` for what is absent, `null` or of another type.

use crate::{Failure, Number};
use billhook_event::{Money, Time};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

/// How many entries of a provider's metadata [`Fields::to_metadata`] keeps.
pub const METADATA_ENTRIES_MAX: usize = 50;

/// How much of the name and of the text of each, in characters.
pub const METADATA_CHARS_MAX: usize = 1000;

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
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The whole document. [`Failure::Invalid`] says where it is not JSON.
    pub fn parse(document: &'a [u8]) -> Result<Json<'a>, Failure> {
        match serde_json::from_slice::<&RawValue>(document) {
            Ok(raw) => Ok(Json(raw.get())),
            Err(error) => Err(Failure::Invalid(format!("the body is not JSON: {error}"))),
        }
    }

    /// The text as it stands in the document.
    pub fn raw(self) -> &'a str {
        self.0
    }

    /// The value as one that can stand in a draft's `previous`.
    pub fn to_raw(self) -> Box<RawValue> {
        // The text was cut out of a parsed document, so that it is JSON; null would be a defect, not a panic.
        RawValue::from_string(self.0.to_owned()).unwrap_or_default()
    }

    /// What kind of value it is, for messages: `an object`, `a string`, ...
    pub fn kind(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// A scalar; `None` for an object or array.
    pub fn scalar(self) -> Option<Scalar> {
        Some(match self.0.as_bytes().first()? {
            b'{' | b'[' => return None,
            b'"' => Scalar::Text(self.string()?.into_owned()),
            b'n' => Scalar::Null,
            b't' => Scalar::Bool(true),
            b'f' => Scalar::Bool(false),
            _ => Scalar::Number(self.0.to_owned()),
        })
    }

    /// A string, unescaped, or the text of a number; `None` if it is blank.
    pub fn text(self) -> Option<Cow<'a, str>> {
        let text = match self.0.as_bytes().first()? {
            b'"' => self.string()?,
            b'-' | b'0'..=b'9' => Cow::Borrowed(self.0),
            _ => return None,
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// A boolean, also where it is written as a string.
    pub fn flag(self) -> Option<bool> {
        match self.0 {
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
        self.0.starts_with('{').then(|| serde_json::from_str(self.0).ok())?
    }

    /// The elements of an array.
    pub fn items(self) -> Option<Vec<Json<'a>>> {
        struct Items<'a>(Vec<Json<'a>>);
        impl<'de> Deserialize<'de> for Items<'de> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Collect;
                impl<'de> Visitor<'de> for Collect {
                    type Value = Items<'de>;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an array")
                    }
                    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                        let mut items = Vec::new();
                        while let Some(item) = seq.next_element::<&RawValue>()? {
                            items.push(Json(item.get()));
                        }
                        Ok(Items(items))
                    }
                }
                deserializer.deserialize_seq(Collect)
            }
        }
        self.0.starts_with('[').then(|| serde_json::from_str::<Items<'a>>(self.0).ok())?.map(|items| items.0)
    }

    /// The value at a JSON pointer (RFC 6901) below this one.
    pub fn pointer(self, pointer: &str) -> Option<Json<'a>> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut value = self;
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = token.replace("~1", "/").replace("~0", "~");
            value = match value.0.as_bytes().first()? {
                b'{' => value.fields()?.any(&token)?,
                b'[' if token == "0" || !token.starts_with(['0', '+']) => {
                    value.items()?.get(token.parse::<usize>().ok()?).copied()?
                }
                _ => return None,
            };
        }
        Some(value)
    }

    /// How many elements or members it has; `None` for a scalar.
    pub fn count(self) -> Option<u32> {
        let count = self.fields().map(|f| f.0.len()).or_else(|| self.items().map(|i| i.len()))?;
        u32::try_from(count).ok()
    }

    fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        serde_json::from_str(self.0).ok().map(Cow::Owned)
    }
}

/// A body as `T`; [`Failure::Invalid`] says where it is not JSON, or what of it does not fit.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| match Json::parse(body) {
        Ok(_) => Failure::Invalid(format!("the body is not as expected: {error}")),
        Err(not_json) => not_json,
    })
}

/// The members of a JSON object, in the order of the document. Of duplicate names the last counts.
#[derive(Clone, Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Fields<'a> {
    /// The members of the object that a document is. [`Failure::Invalid`] if it is not JSON or no object.
    pub fn parse(document: &'a [u8]) -> Result<Fields<'a>, Failure> {
        // One pass over the document; a second one only to say what is wrong.
        serde_json::from_slice(document).map_err(|error| match Json::parse(document) {
            Ok(json) if json.kind() != "an object" => {
                Failure::Invalid(format!("the body is {}, not a JSON object", json.kind()))
            }
            Ok(_) => Failure::Invalid(format!("the body is not JSON: {error}")),
            Err(not_json) => not_json,
        })
    }

    /// The member `name`; `None` if it is absent or `null`.
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        self.any(name).filter(|value| value.0 != "null")
    }

    /// As [`Json::text`], owned.
    pub fn text(&self, name: &str) -> Option<String> {
        self.get(name)?.text().map(Cow::into_owned)
    }

    /// As [`Json::flag`].
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.get(name)?.flag()
    }

    /// As [`Json::number`].
    pub fn number(&self, name: &str) -> Option<Number> {
        self.get(name)?.number()
    }

    /// A whole number that fits `T`.
    pub fn whole<T: TryFrom<i128>>(&self, name: &str) -> Option<T> {
        self.number(name)?.whole()
    }

    /// As [`Json::time`].
    pub fn time(&self, name: &str) -> Option<Time> {
        self.get(name)?.time()
    }

    /// An amount in major units; see [`Money::from_major`].
    pub fn major(&self, name: &str, currency: &str) -> Option<Money> {
        Money::from_major(&self.get(name)?.text()?, currency)
    }

    /// The members of the object `name`.
    pub fn fields(&self, name: &str) -> Option<Fields<'a>> {
        self.get(name)?.fields()
    }

    /// The value at a JSON pointer (RFC 6901) below the object; `None` if it is absent or `null`.
    pub fn pointer(&self, pointer: &str) -> Option<Json<'a>> {
        let path = pointer.strip_prefix('/')?;
        let (name, rest) = path.find('/').map_or((path, ""), |at| path.split_at(at));
        let name = name.replace("~1", "/").replace("~0", "~");
        self.any(&name)?.pointer(rest).filter(|value| value.0 != "null")
    }

    /// As [`Json::text`] of the value at a pointer, owned.
    pub fn text_at(&self, pointer: &str) -> Option<String> {
        self.pointer(pointer)?.text().map(Cow::into_owned)
    }

    /// The members as text, for [`Draft::metadata`](billhook_event::Draft::metadata): strings and numbers as they are,
    /// all else as its JSON, `null` left out. At most [`METADATA_ENTRIES_MAX`], each cut to
    /// [`METADATA_CHARS_MAX`].
    pub fn to_metadata(&self) -> BTreeMap<String, String> {
        let cut = |text: &str| text.chars().take(METADATA_CHARS_MAX).collect::<String>();
        let text = |value: Json<'_>| value.text().map_or_else(|| cut(value.raw()), |text| cut(&text));
        let entries = self.iter().filter(|(_, value)| value.raw() != "null");
        entries.take(METADATA_ENTRIES_MAX).map(|(name, value)| (cut(name), text(value))).collect()
    }

    /// Every member, as it stands.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Json<'a>)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    fn any(&self, name: &str) -> Option<Json<'a>> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::with_capacity(24);
                while let Some(Name(name)) = map.next_key()? {
                    fields.push((name, Json(map.next_value::<&RawValue>()?.get())));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// A name that borrows from the document where it can (serde's own `Cow` never does).
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::{Fields, Json, METADATA_CHARS_MAX, METADATA_ENTRIES_MAX};
    use crate::Failure;

    const BODY: &str =
        r#" {"a":{"b/c":[10,{"~":"x\u0041"}],"n":null},"price":1.10,"paid":"true","a2":"","k":1,"k":2} "#;

    #[test]
    fn pointers_find_the_exact_text() {
        let json = Json::parse(BODY.as_bytes()).unwrap();
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
        let fields = Fields::parse(BODY.as_bytes()).unwrap();
        assert_eq!(fields.text_at("/a/b~1c/1/~0").as_deref(), Some("xA"));
        assert_eq!(fields.text_at("/price").as_deref(), Some("1.10"));
        assert_eq!(fields.pointer("/k").map(Json::raw), Some("2"));
        for absent in ["", "/", "price", "/a/n", "/a/x", "/price/x", "/€"] {
            assert!(fields.pointer(absent).is_none(), "{absent}");
        }
    }

    #[test]
    fn metadata_is_text_without_null_and_bounded() {
        let fields = Fields::parse(BODY.as_bytes()).unwrap();
        let metadata = fields.to_metadata();
        assert_eq!((metadata["price"].as_str(), metadata["paid"].as_str()), ("1.10", "true"));
        assert_eq!(metadata["a"], r#"{"b/c":[10,{"~":"x\u0041"}],"n":null}"#);
        let many: String = (0..200).map(|n| format!(r#","k{n}":"{}""#, "é".repeat(2000))).collect();
        let many = format!(r#"{{"none":null{many}}}"#);
        let metadata = Fields::parse(many.as_bytes()).unwrap().to_metadata();
        assert_eq!(metadata.len(), METADATA_ENTRIES_MAX);
        assert!(metadata.values().all(|text| text.chars().count() == METADATA_CHARS_MAX));
    }

    #[test]
    fn odd_fields_are_absent_and_not_an_error() {
        let fields = Fields::parse(BODY.as_bytes()).unwrap();
        assert_eq!(fields.text("a"), None);
        assert_eq!(fields.text("a2"), None);
        assert_eq!(fields.text("price").as_deref(), Some("1.10"));
        assert_eq!(fields.major("price", "usd").unwrap().amount_minor, 110);
        assert_eq!(fields.flag("paid"), Some(true));
        assert_eq!(fields.time("price"), None);
        assert_eq!(fields.whole::<u8>("k"), Some(2));
        let inner = fields.fields("a").unwrap();
        assert!(inner.get("n").is_none());
        assert_eq!(
            Json::parse(BODY.as_bytes()).unwrap().pointer("/a/b~1c/1/~0").unwrap().text().unwrap(),
            "xA"
        );
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
            assert_eq!(Fields::parse(body.as_bytes()).unwrap_err(), Failure::invalid(message), "{body}");
        }
        assert!(Fields::parse(b"\xff").is_err());
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let body = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(Json::parse(body.as_bytes()).is_ok());
    }
}
