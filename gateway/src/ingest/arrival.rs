//! A request as it was read: what authentication, dedupe and redaction look at.

use crate::model::pointer::{self, Scalar};
use crate::model::refused::Presented;
use crate::model::signature::Refusal;
use crate::model::source::Place;
use bytes::Bytes;
use http::HeaderMap;
use std::borrow::Cow;
use std::sync::OnceLock;
use url::form_urlencoded;

/// A request that was read whole.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The public key that the path held, if it came that way.
    pub(super) key: Option<String>,
    /// What followed `/in/{source}/`, decoded.
    pub(super) tail: String,
    /// The query, as sent.
    pub(super) query: String,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The body, byte for byte.
    pub(super) body: Bytes,
    /// What was left out of a request that came earlier and is judged again.
    pub(super) presented: Vec<Presented>,
    /// Whether the body is JSON: found out at most once, and only if somebody asks.
    is_json: OnceLock<bool>,
}

impl Arrival {
    /// A request with these parts.
    pub(super) fn new(
        key: Option<String>,
        tail: String,
        query: String,
        headers: HeaderMap,
        body: Bytes,
    ) -> Arrival {
        Arrival { key, tail, query, headers, body, presented: Vec::new(), is_json: OnceLock::new() }
    }

    /// The body, if it is JSON that plugins can read too. Nothing is looked up in what is not: a guess could make two
    /// webhooks one.
    pub(super) fn json(&self) -> Option<&str> {
        let is_json = *self.is_json.get_or_init(|| pointer::problem(&self.body).is_none());
        if is_json { std::str::from_utf8(&self.body).ok() } else { None }
    }

    /// The only value of a header, as text; for what a decision rests on.
    pub(super) fn only_header(&self, name: &str) -> Result<&str, Refusal> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().ok_or_else(|| Refusal::MissingHeader(name.to_owned()))?;
        if values.next().is_some() {
            return Err(Refusal::RepeatedHeader(name.to_owned()));
        }
        let malformed = |_| Refusal::Malformed { header: name.to_owned(), why: "it is not ASCII text" };
        value.to_str().map_err(malformed)
    }

    /// The only value of a query parameter, decoded.
    pub(super) fn only_query(&self, name: &str) -> Result<Cow<'_, str>, Refusal> {
        let mut values = form_urlencoded::parse(self.query.as_bytes()).filter(|(key, _)| key == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Ok(value),
            _ => Err(Refusal::MissingQuery(name.to_owned())),
        }
    }

    /// The value at the first of `places` that has one.
    pub(super) fn first(&self, places: &[Place]) -> Option<String> {
        places.iter().find_map(|place| self.text(place))
    }

    /// The value at `place`, if there is one and it is not empty. [`Place::Body`] has none: it is no name.
    pub(super) fn text(&self, place: &Place) -> Option<String> {
        let text = match place {
            Place::Header(name) => self.headers.get(name)?.to_str().ok()?.to_owned(),
            Place::Query(name) => self.only_query(name).ok()?.into_owned(),
            Place::Pointer(path) => match pointer::scalar(self.json()?, path)? {
                Scalar::Null => return None,
                Scalar::Bool(value) => value.to_string(),
                Scalar::Number(text) | Scalar::Text(text) => text,
            },
            Place::Path => self.tail.clone(),
            Place::Const(value) => value.clone(),
            Place::Body => return None,
        };
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An arrival with these headers and this body.
    pub(crate) fn arrival(headers: &[(&'static str, &str)], body: &str) -> Arrival {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let body = Bytes::copy_from_slice(body.as_bytes());
        Arrival::new(None, String::new(), String::new(), map, body)
    }

    #[test]
    fn a_place_gives_its_value_or_none() {
        let mut arrival =
            arrival(&[("x-event", "paid"), ("x-empty", "")], r#"{"a":{"b":"c"},"n":1.50,"z":null}"#);
        arrival.tail = "tail".to_owned();
        arrival.query = "e=1%202&twice=1&twice=2&none=".to_owned();
        let cases = [
            ("header:x-event", Some("paid")),
            ("header:X-Event", Some("paid")),
            ("header:x-empty", None),
            ("header:x-none", None),
            ("query:e", Some("1 2")),
            ("query:twice", None),
            ("query:none", None),
            ("pointer:/a/b", Some("c")),
            ("pointer:/a", None),
            ("pointer:/n", Some("1.50")),
            ("pointer:/z", None),
            ("path", Some("tail")),
            ("const:x", Some("x")),
            ("body", None),
        ];
        for (place, expected) in cases {
            let place = Place::try_from(place.to_owned()).unwrap();
            assert_eq!(arrival.text(&place).as_deref(), expected, "{place:?}");
        }
    }

    #[test]
    fn nothing_is_looked_up_in_what_is_not_json() {
        let place = Place::Pointer("/a".to_owned());
        for body in [r#"{"a":"b""#, r#"{"a":"b"}}"#, "a=b", ""] {
            assert_eq!(arrival(&[], body).text(&place), None, "{body:?}");
        }
        let deep = format!(r#"{{"a":"b","c":{}{}}}"#, "[".repeat(1000), "]".repeat(1000));
        assert_eq!(arrival(&[], &deep).text(&place), None);
        assert_eq!(arrival(&[], r#"{"a":1,"a":2}"#).text(&place).as_deref(), Some("2"));
    }

    #[test]
    fn a_header_that_decides_must_be_there_once() {
        let arrival = arrival(&[("one", "1"), ("two", "1"), ("two", "1")], "");
        assert_eq!(arrival.only_header("one"), Ok("1"));
        assert_eq!(arrival.only_header("two"), Err(Refusal::RepeatedHeader("two".to_owned())));
        assert_eq!(arrival.only_header("three"), Err(Refusal::MissingHeader("three".to_owned())));
    }
}
