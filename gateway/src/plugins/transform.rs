//! What a transform is given, what it may change, and what it may not.
//!
//! Scheme, host and port are the endpoint's; the gateway's own headers and the signature are the gateway's. A path is
//! always below the endpoint's own, and its query is added to the endpoint's own, which may hold a secret.

use crate::model::header;
use crate::model::webhook::Header;
use crate::plugins::EventInput;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::sync::Arc;
use url::Url;

/// The most headers of a request that a transform may have made, and the bytes of all their names and values.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;
/// The longest path and query.
const PATH_BYTES_MAX: usize = 4 << 10;

/// What a transform sees: a request that is about to be signed and sent.
#[derive(Clone, Debug)]
pub struct OutgoingInput {
    /// The delivery.
    pub delivery: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// The event.
    pub about: Arc<EventInput>,
    /// The request so far.
    pub request: Outgoing,
    /// Headers that are not the plugin's beside those that never are, in lower case: that of the endpoint's signature.
    pub reserved: Vec<String>,
}

/// The parts of a request that a transform may change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its body.
    pub body: Bytes,
    /// The body's content type.
    pub content_type: String,
    /// Other headers, names in lower case; none that the endpoint's configuration sets.
    pub headers: Vec<Header>,
    /// Path and query below the endpoint's own URL; `None`: the URL as it stands.
    pub path: Option<String>,
}

/// What a transform says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Send this.
    Send(Outgoing),
    /// Send nothing, and why.
    Drop(String),
}

impl OutgoingInput {
    pub(super) fn set_header(&mut self, name: &str, value: Vec<u8>) -> Result<(), String> {
        let name = name.to_ascii_lowercase();
        check_name(&name)?;
        if self.is_reserved(&name) {
            return Err(format!("`{name}` is the gateway's"));
        }
        if HeaderValue::from_bytes(&value).is_err() {
            return Err(format!("the value of `{name}` has a control character"));
        }
        let headers = &mut self.request.headers;
        headers.retain(|(known, _)| *known != name);
        let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        if headers.len() >= HEADERS_MAX || bytes + name.len() + value.len() > HEADER_BYTES_MAX {
            return Err(format!(
                "`{name}` is beyond {HEADERS_MAX} headers or {HEADER_BYTES_MAX} bytes of them"
            ));
        }
        headers.push((name, value));
        Ok(())
    }

    pub(super) fn remove_header(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        if !self.is_reserved(&name) {
            self.request.headers.retain(|(known, _)| *known != name);
        }
    }

    pub(super) fn set_path(&mut self, path: String) -> Result<(), String> {
        check_path(&path)?;
        self.request.path = Some(path);
        Ok(())
    }

    fn is_reserved(&self, name: &str) -> bool {
        name == "user-agent"
            || header::is_ours(name)
            || header::is_of_the_connection(name)
            || self.reserved.iter().any(|reserved| reserved == name)
    }
}

impl Outgoing {
    /// Where it goes: `own`, or a place below it. `None` where the path leads elsewhere, which
    /// [`OutgoingInput::set_path`] did not let pass.
    pub fn url(&self, own: &Url) -> Option<Url> {
        let Some(path) = &self.path else { return Some(own.clone()) };
        let (path, query) =
            path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
        let base = own.path().trim_end_matches('/');
        let mut url = own.clone();
        url.set_path(&format!("{base}{path}"));
        let query: Vec<&str> =
            own.query().into_iter().chain(query).filter(|query| !query.is_empty()).collect();
        url.set_query((!query.is_empty()).then(|| query.join("&")).as_deref());
        // The URL as it was put together has the last word.
        let is_below = url.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
        (is_below && url.origin() == own.origin()).then_some(url)
    }
}

/// `name` is in lower case.
fn check_name(name: &str) -> Result<(), String> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("`{}` is not the name of a header", name.escape_default()));
    }
    if name == "content-type" {
        return Err("`content-type` is set with the body".to_owned());
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), String> {
    let shown = || path.chars().take(200).collect::<String>().escape_default().to_string();
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("a path of {} bytes is longer than {PATH_BYTES_MAX}", path.len()));
    }
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(format!("`{}` does not begin with one `/`", shown()));
    }
    if let Some(wrong) = path.chars().find(|c| !c.is_ascii_graphic() || "#\\".contains(*c)) {
        return Err(format!("`{}` has {wrong:?}: write it as in a URL, without a fragment", shown()));
    }
    // A URL's reader takes `%2e` for a dot, and some receivers undo `%2f` and `%5c` before they look.
    let (segments, _query) = path.split_once('?').unwrap_or((path, ""));
    let plain = segments.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    if plain.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!("`{}` has a segment of dots, which leads elsewhere", shown()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outgoing(path: &str) -> Outgoing {
        Outgoing {
            body: Bytes::new(),
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            path: Some(path.to_owned()),
        }
    }

    #[test]
    fn a_path_is_below_the_endpoints_own_and_its_query_after_the_endpoints_own() {
        let cases = [
            ("https://a.example/hooks", "/rooms/1", "https://a.example/hooks/rooms/1"),
            ("https://a.example/hooks/", "/rooms/1?x=2", "https://a.example/hooks/rooms/1?x=2"),
            ("https://a.example:8443/?token=s", "/r?x=2", "https://a.example:8443/r?token=s&x=2"),
            ("https://a.example/h?token=s", "/", "https://a.example/h/?token=s"),
            ("https://u:p@a.example/h", "/@b.example", "https://u:p@a.example/h/@b.example"),
            ("https://a.example/h", "/a//b", "https://a.example/h/a//b"),
        ];
        for (own, path, expected) in cases {
            let own: Url = own.parse().unwrap();
            assert_eq!(check_path(path), Ok(()), "{path}");
            assert_eq!(outgoing(path).url(&own).unwrap().as_str(), expected);
        }
    }

    #[test]
    fn a_path_that_leads_elsewhere_is_refused_twice() {
        let own: Url = "https://a.example/hooks/deep".parse().unwrap();
        for path in ["/..", "/a/../../b", "/%2e%2E/b", "/.", "/%2e"] {
            assert!(check_path(path).unwrap_err().contains("segment of dots"), "{path}");
        }
        for path in ["/../../b", "/%2e%2E/%2e%2e/b"] {
            assert_eq!(outgoing(path).url(&own), None, "{path}");
        }
        let refused = [
            "",
            "a",
            "?q",
            "//b.example/",
            "https://b.example/",
            "/a\\..",
            "/a b",
            "/a#b",
            "/\u{e9}",
            "/a\n",
        ];
        for path in refused {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in ["/..%2fadmin", "/a/..%5cb", "/%2e%2e%2fb"] {
            assert!(check_path(path).unwrap_err().contains("segment of dots"), "{path}");
        }
        assert!(check_path(&format!("/{}", "a".repeat(4096))).unwrap_err().contains("longer than 4096"));
    }
}
