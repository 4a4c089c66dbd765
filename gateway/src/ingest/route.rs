//! Which source a path names.

use crate::model::source::CUSTOM_PATH;

/// What every source's path begins with.
const IN: &str = "/in/";

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `/in/{source}` and what follows it, decoded, without the `/` between and at the end.
    Source { name: String, tail: String },
    /// `/api/v1/webhooks/custom/{public_key}`.
    Key(String),
    /// Nowhere.
    Nowhere,
    /// It cannot be decoded.
    Unreadable(&'static str),
}

/// Where `path` leads; percent-encoding is undone after the path is cut, so that `%2F` is no cut.
pub(super) fn route(path: &str) -> Route {
    if let Some(rest) = path.strip_prefix(IN) {
        let (name, tail) = rest.split_once('/').unwrap_or((rest, ""));
        match (decode(name), decode(tail.strip_suffix('/').unwrap_or(tail))) {
            (Ok(name), Ok(tail)) => Route::Source { name, tail },
            (Err(why), _) | (_, Err(why)) => Route::Unreadable(why),
        }
    } else if let Some(key) = path.strip_prefix(CUSTOM_PATH) {
        match decode(key.strip_suffix('/').unwrap_or(key)) {
            Ok(key) => Route::Key(key),
            Err(why) => Route::Unreadable(why),
        }
    } else {
        Route::Nowhere
    }
}

/// Undoes percent-encoding (RFC 3986, 2.1).
fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let mut byte = [0];
        let digits = rest.get(..2).ok_or("a `%` in the path is not followed by two hex digits")?;
        hex::decode_to_slice(digits, &mut byte)
            .map_err(|_| "a `%` in the path is not followed by two hex digits")?;
        bytes.push(byte[0]);
        rest = &rest[2..];
    }
    let text = String::from_utf8(bytes).map_err(|_| "the path is not UTF-8")?;
    if text.chars().any(char::is_control) { Err("the path holds a control character") } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_sources_keys_or_nowhere() {
        let source = |name: &str, tail: &str| Route::Source { name: name.to_owned(), tail: tail.to_owned() };
        let cases = [
            ("/in/wingback", source("wingback", "")),
            ("/in/wingback/", source("wingback", "")),
            ("/in/wingback/contract.signed", source("wingback", "contract.signed")),
            ("/in/wingback/contract%2Esigned%20%C3%A9", source("wingback", "contract.signed é")),
            ("/in/wingback/contract.signed/", source("wingback", "contract.signed")),
            ("/in/abowire/a/b", source("abowire", "a/b")),
            ("/in/abowire/a%2Fb", source("abowire", "a/b")),
            ("/in/abowire%2Fa/b", source("abowire/a", "b")),
            ("/in/", source("", "")),
            ("/api/v1/webhooks/custom/pub_1", Route::Key("pub_1".to_owned())),
            ("/api/v1/webhooks/custom/pub_1/", Route::Key("pub_1".to_owned())),
            ("/api/v1/webhooks/custom/a/b", Route::Key("a/b".to_owned())),
            ("/api/v1/webhooks/custom", Route::Nowhere),
            ("/", Route::Nowhere),
            ("/in", Route::Nowhere),
            ("/IN/wingback", Route::Nowhere),
            ("/healthz", Route::Nowhere),
        ];
        for (path, expected) in cases {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    #[test]
    fn paths_that_cannot_be_decoded_are_unreadable() {
        for path in ["/in/a/%", "/in/a/%4", "/in/a/%zz", "/in/a/%ff", "/in/a/%00", "/in/a/%0A", "/in/%+1"] {
            assert!(matches!(route(path), Route::Unreadable(_)), "{path}: {:?}", route(path));
        }
    }
}
