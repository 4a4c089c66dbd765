//! Takes the secrets out of what is stored. Everything else stays as it came, byte for byte.

use crate::ingest::Inlet;
use crate::ingest::arrival::Arrival;
use crate::model::pointer;
use crate::model::refused::Presented;
use crate::model::secret::Secret;
use crate::model::source::{Auth, Place};
use crate::model::webhook::Header;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use std::collections::BTreeSet;
use subtle::{Choice, ConstantTimeEq};
use url::form_urlencoded;

/// Headers that carry secrets whatever the source says.
const SECRET_HEADERS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// What a secret in a body is replaced by: still a JSON value.
const REDACTED: &[u8] = br#""***""#;

/// The headers that are stored. A signature is no secret and stays.
pub(super) fn headers(inlet: &Inlet, headers: &HeaderMap) -> Vec<Header> {
    let own = match &inlet.source.auth {
        Auth::Header { name, .. } => Some(name.as_str()),
        // The one header of basic authentication is a secret whatever the source says.
        Auth::StandardWebhooks { .. } | Auth::Hmac(_) | Auth::Basic { .. } => None,
        Auth::Query { .. } | Auth::PathKey | Auth::Plugin { .. } | Auth::None => None,
    };
    let secret = |name: &str| {
        SECRET_HEADERS.contains(&name)
            || own == Some(name)
            || inlet.secret_headers.iter().any(|secret| secret == name)
    };
    let kept = headers.iter().filter(|(name, _)| !secret(name.as_str()));
    kept.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// The query that is stored: without its secret pairs.
pub(super) fn query(inlet: &Inlet, query: &str) -> String {
    let own = match &inlet.source.auth {
        Auth::Query { name, .. } => Some(name.as_str()),
        Auth::StandardWebhooks { .. } | Auth::Hmac(_) | Auth::Basic { .. } => None,
        Auth::Header { .. } | Auth::PathKey | Auth::Plugin { .. } | Auth::None => None,
    };
    let secret = |pair: &&str| {
        let names = form_urlencoded::parse(pair.as_bytes()).map(|(name, _)| name);
        names
            .into_iter()
            .any(|name| own == Some(&*name) || inlet.secret_query.iter().any(|secret| *secret == name))
    };
    query.split('&').filter(|pair| !secret(pair)).collect::<Vec<_>>().join("&")
}

/// The headers and the query that are kept of a refused request, and what is left out of them. Its secret may stand where
/// the source does not look for it, which may be what is wrong: so a value that is one of the source's is left out too.
pub(super) fn refused(inlet: &Inlet, arrival: &Arrival) -> (Vec<Header>, String, Vec<Presented>) {
    let is_secret = |value: &[u8]| {
        // Alone, or behind the word for its kind, as in `Bearer`.
        let found = inlet.source.auth.secrets().iter().fold(Choice::from(0), |found, secret| {
            let (before, last) = value.split_at(value.len().saturating_sub(secret.reveal().len()));
            let begins = before.is_empty() || before.ends_with(b" ");
            found | (last.ct_eq(secret.reveal().as_bytes()) & Choice::from(u8::from(begins)))
        });
        bool::from(found)
    };
    let mut headers = headers(inlet, &arrival.headers);
    headers.retain(|(_, value)| !is_secret(value));
    let harmless =
        |pair: &&str| !form_urlencoded::parse(pair.as_bytes()).any(|(_, value)| is_secret(value.as_bytes()));
    let query = query(inlet, &arrival.query).split('&').filter(harmless).collect::<Vec<_>>().join("&");

    let names = |query: &str| -> BTreeSet<String> {
        form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned()).collect()
    };
    let hidden = arrival.headers.keys().map(HeaderName::as_str);
    let hidden = hidden.filter(|name| !headers.iter().any(|(kept, _)| kept == name));
    let hidden = hidden.map(|name| Place::Header(name.to_owned()));
    let cut = names(&arrival.query);
    let cut = cut.difference(&names(&query)).cloned().map(Place::Query).collect::<Vec<_>>();
    // What stands twice proves nothing wherever it stands.
    let value = |place: &Place| match place {
        Place::Header(name) => arrival.only_header(name).map(str::to_owned).ok(),
        _ => arrival.text(place),
    };
    let presented = |place: Place| Some(Presented::new(place.clone(), &value(&place)?, rand::random()));
    let hidden = hidden.chain(cut).filter_map(presented).collect();
    (headers, query, hidden)
}

/// The body that is stored: with its secret values replaced in place. Where it cannot be read as JSON these are the
/// secrets of the source that it may repeat.
pub(super) fn body(inlet: &Inlet, arrival: &Arrival) -> Bytes {
    if inlet.secret_pointers.is_empty() {
        return arrival.body.clone();
    }
    if arrival.json().is_none() && !is_deep_json(&arrival.body) {
        let spelt = inlet.source.auth.secrets().iter().flat_map(spellings);
        return spelt.fold(arrival.body.clone(), |body, secret| without(&body, secret.as_bytes()));
    }
    // One value put in the place of another leaves JSON what it is.
    let paths = inlet.secret_pointers.iter();
    paths.fold(arrival.body.clone(), |body, path| replace(&body, path).unwrap_or(body))
}

/// `body`, which is JSON, with every value that `path` may mean replaced, if there is one: nothing says which member of
/// a key that stands twice a reader takes, and some providers send many objects in one array.
fn replace(body: &Bytes, path: &str) -> Option<Bytes> {
    let json = std::str::from_utf8(body).ok()?;
    if !may_have(json, path) {
        return None;
    }
    let values = pointer::find_all(json, path);
    let (mut redacted, mut copied) = (Vec::with_capacity(body.len()), 0);
    for value in &values {
        // A slice of `json`, so the difference of their addresses is where it begins.
        let start = value.as_ptr().addr().checked_sub(json.as_ptr().addr())?;
        redacted.extend_from_slice(body.get(copied..start)?);
        redacted.extend_from_slice(REDACTED);
        copied = start + value.len();
    }
    redacted.extend_from_slice(body.get(copied..)?);
    (!values.is_empty()).then(|| redacted.into())
}

/// Whether a text can have all the names on a path: most bodies have not, and one is searched for a name much sooner than
/// read. What is spelt with escapes, here or there, may be any name.
fn may_have(json: &str, path: &str) -> bool {
    let is_index = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let is_escaped = |c: char| matches!(c, '~' | '"' | '\\') || c.is_control();
    let may_have = |name: &str| is_index(name) || name.contains(is_escaped) || json.contains(name);
    json.contains("\\u") || path.split('/').all(may_have)
}

/// Whether it is JSON that is too deep to be asked for values: plugins may read it all the same.
fn is_deep_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| pointer::json_however_deep(text).is_ok())
}

/// How a secret may be written: as it is, and as in a query.
fn spellings(secret: &Secret) -> [String; 2] {
    let plain = secret.reveal();
    [plain.to_owned(), form_urlencoded::byte_serialize(plain.as_bytes()).collect()]
}

/// `body` with `***` for each `secret`.
fn without(body: &Bytes, secret: &[u8]) -> Bytes {
    let mut redacted = Vec::new();
    let mut rest = &body[..];
    while !secret.is_empty()
        && let Some(at) = rest.windows(secret.len()).position(|bytes| bytes == secret)
    {
        redacted.extend_from_slice(&rest[..at]);
        redacted.extend_from_slice(b"***");
        rest = &rest[at + secret.len()..];
    }
    if rest.len() == body.len() {
        return body.clone();
    }
    redacted.extend_from_slice(rest);
    redacted.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::arrival::tests::arrival;
    use crate::ingest::tests::inlet;

    #[test]
    fn secret_headers_are_left_out_and_all_else_stays_in_order() {
        let auth = Auth::Header { name: "wb-secret".to_owned(), secrets: vec![Secret::new("s")] };
        let inlet = Inlet { secret_headers: vec!["x-token".to_owned()], ..inlet("wingback", auth) };
        let came = [
            ("webhook-signature", "v1,abc"),
            ("wb-secret", "s"),
            ("authorization", "Basic s"),
            ("proxy-authorization", "s"),
            ("cookie", "s"),
            ("x-token", "s"),
            ("x-many", "1"),
            ("x-many", "2"),
        ];
        let kept = headers(&inlet, &arrival(&came, "").headers);
        let kept: Vec<_> = kept.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        assert_eq!(kept, [("webhook-signature", b"v1,abc".as_slice()), ("x-many", b"1"), ("x-many", b"2")]);
    }

    #[test]
    fn secret_pairs_are_cut_out_of_the_query_and_the_rest_stays_as_sent() {
        let auth = Auth::Query { name: "token".to_owned(), secrets: vec![Secret::new("s")] };
        let inlet = Inlet { secret_query: vec!["api key".to_owned()], ..inlet("abowire", auth) };
        let cases = [
            ("", ""),
            ("token=s", ""),
            ("a=%41&token=s&b", "a=%41&b"),
            ("token=s&token=t&a=1", "a=1"),
            ("%74oken=s&a=1", "a=1"),
            ("a=token&tokens=1", "a=token&tokens=1"),
            ("api+key=s&api%20key=s&a=1&&b=2", "a=1&&b=2"),
        ];
        for (came, kept) in cases {
            assert_eq!(query(&inlet, came), kept, "{came}");
        }
    }

    #[test]
    fn secret_values_in_a_body_are_replaced_in_place_and_no_other_byte_changes() {
        let paths = ["/destination", "/deep/0/key", "/none"].map(str::to_owned).to_vec();
        let inlet = Inlet { secret_pointers: paths, ..inlet("abowire", Auth::None) };
        let cases = [
            (
                r#"{ "destination" : "https://x/?token=s" , "n":1.50 }"#,
                r#"{ "destination" : "***" , "n":1.50 }"#,
            ),
            (r#"{"destination":{"token":"s"},"é":"\u00e9"}"#, r#"{"destination":"***","é":"\u00e9"}"#),
            (r#"{"d\u0065stin\u0061tion":"s"}"#, r#"{"d\u0065stin\u0061tion":"***"}"#),
            (r#"{"deep":[{"key":["s"]}],"a":1}"#, r#"{"deep":[{"key":"***"}],"a":1}"#),
            (r#"{"destination":"s","destination":"t"}"#, r#"{"destination":"***","destination":"***"}"#),
            (
                r#"[ {"destination":1}, 2, {"destination":3} ]"#,
                r#"[ {"destination":"***"}, 2, {"destination":"***"} ]"#,
            ),
            (r#"{"other":"destination"}"#, r#"{"other":"destination"}"#),
            (r#"{"destination":"s""#, r#"{"destination":"s""#),
            ("destination=s", "destination=s"),
            ("", ""),
        ];
        for (came, kept) in cases {
            assert_eq!(body(&inlet, &arrival(&[], came)), kept, "{came}");
        }
        let mut broken = arrival(&[], "");
        broken.body = Bytes::from_static(b"{\"destination\":\"\xff\"}");
        assert_eq!(body(&inlet, &broken), broken.body);
    }

    #[test]
    fn what_cannot_be_read_as_json_keeps_no_secret_of_the_source() {
        let secrets = ["to+ken", "old"].map(Secret::new).to_vec();
        let auth = Auth::Query { name: "token".to_owned(), secrets };
        let inlet = Inlet { secret_pointers: vec!["/destination".to_owned()], ..inlet("abowire", auth) };
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (came, kept) in [
            (
                format!(r#"{{"deep":{deep},"destination":"https://x/?token=to+ken"}}"#),
                r#""destination":"***"}"#,
            ),
            (
                "{\"destination\":\"https://x/?token=to%2Bken&was=old\"".to_owned(),
                "https://x/?token=***&was=***",
            ),
            ("\u{feff}{\"destination\":\"to+kento+ken\"}".to_owned(), "\"******\""),
        ] {
            let stored = body(&inlet, &arrival(&[], &came));
            let stored = std::str::from_utf8(&stored).unwrap();
            assert!(stored.contains(kept), "{stored}");
            assert!(!["to+ken", "to%2Bken", "old"].iter().any(|secret| stored.contains(secret)), "{stored}");
        }
    }
}
