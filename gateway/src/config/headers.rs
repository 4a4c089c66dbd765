//! What an endpoint wants beside the body: `headers`, `auth` and `query`.

use crate::config::mistake::quote;
use crate::config::reader::{Item, Table};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billhook_event::header;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// The most headers, and the longest value of one.
const HEADERS_MAX: usize = 50;
const VALUE_BYTES_MAX: usize = 4096;

/// Whether a header is set by the gateway, or belongs to the connection.
pub(super) fn is_reserved(name: &str) -> bool {
    name == "content-type" || header::is_ours(name) || header::is_of_the_connection(name)
}

const SCHEMES: [(&str, Scheme); 2] = [("basic", Scheme::Basic), ("bearer", Scheme::Bearer)];

#[derive(Clone, Copy)]
enum Scheme {
    Basic,
    Bearer,
}

/// Reads `headers` and `auth`: what every attempt says of itself beside what the gateway says.
pub(super) fn read(table: &mut Table<'_>, url: Option<&Url>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(item) = table.item("auth") {
        if url.is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
            item.wrong("the URL has a user too", "take it out of `url`");
        }
        if let Some(value) = auth(&item) {
            headers.insert(AUTHORIZATION, value);
        }
    }
    let Some(item) = table.item("headers") else { return headers };
    let written = item.table().map(|mut table| table.all()).unwrap_or_default();
    if written.len() > HEADERS_MAX {
        item.wrong(format!("has {} headers", written.len()), format!("write at most {HEADERS_MAX}"));
    }
    for (name, item) in written.iter().take(HEADERS_MAX) {
        let Some(name) = header_name(name, item, &headers) else { continue };
        if let Some(value) = item.secret().and_then(|secret| value(item, secret.reveal())) {
            headers.insert(name, value);
        }
    }
    headers
}

/// Appends `query` to the URL.
pub(super) fn query(table: &mut Table<'_>, url: Option<&mut Url>) {
    let Some(item) = table.item("query") else { return };
    let written = item.table().map(|mut table| table.all()).unwrap_or_default();
    let values: Vec<_> =
        written.iter().filter_map(|(name, item)| Some((name, item, item.secret()?))).collect();
    let Some(url) = url else { return };
    for (name, item, secret) in values {
        if url.query_pairs().any(|(known, _)| known == name.as_str()) {
            item.wrong(format!("the URL has {} too", quote(name)), "keep one of them");
        } else {
            url.query_pairs_mut().append_pair(name, secret.reveal());
        }
    }
}

fn auth(item: &Item<'_>) -> Option<HeaderValue> {
    let mut table = item.table()?;
    let scheme = table.required("scheme", "write `basic` or `bearer`")?.one_of("a scheme", &SCHEMES)?;
    let user = match scheme {
        Scheme::Bearer => None,
        Scheme::Basic => table.required("user", "write the user name that the endpoint expects"),
    };
    let user = user.and_then(|item| {
        let user = item.text()?;
        if user.contains(':') {
            // Not quoted: what follows may be the password.
            item.wrong("holds a `:`, which no user name does", "write the password as `secret`");
            return None;
        }
        Some(user)
    });
    let item = table.required("secret", "write the secret, `env:NAME` or `file:PATH`");
    let secret = item.as_ref().and_then(|item| item.secret());
    table.finish();
    let (item, secret) = (item?, secret?);
    match scheme {
        Scheme::Bearer => value(&item, &format!("Bearer {}", secret.reveal())),
        Scheme::Basic => {
            let pair = STANDARD.encode(format!("{}:{}", user?, secret.reveal()));
            value(&item, &format!("Basic {pair}"))
        }
    }
}

fn header_name(written: &str, item: &Item<'_>, headers: &HeaderMap) -> Option<HeaderName> {
    let Ok(name) = HeaderName::from_bytes(written.as_bytes()) else {
        item.wrong(format!("{} is not the name of a header", quote(written)), "write one such as `x-env`");
        return None;
    };
    if is_reserved(name.as_str()) {
        item.wrong(format!("{} is set by the gateway", quote(name.as_str())), "take it out");
        return None;
    }
    if headers.contains_key(&name) {
        let other = if name == AUTHORIZATION { "`auth` sets it too" } else { "is given twice" };
        item.wrong(other, "keep one of them");
        return None;
    }
    Some(name)
}

/// The value of a header, which no log shows.
fn value(item: &Item<'_>, text: &str) -> Option<HeaderValue> {
    let value = HeaderValue::from_str(text).ok().filter(|_| text.is_ascii() && text.len() <= VALUE_BYTES_MAX);
    if value.is_none() {
        let remedy = format!("write at most {VALUE_BYTES_MAX} characters of visible ASCII");
        item.wrong("cannot be the value of a header", remedy);
    }
    value.map(|mut value| {
        value.set_sensitive(true);
        value
    })
}
