//! Headers that nobody but the gateway sets, wherever somebody else could name one.

/// Headers that belong to the connection, or that the client writes (RFC 9110 section 7.6.1, RFC 9112).
const OF_THE_CONNECTION: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Says that a later event of the same object was taken before.
pub const STALE: &str = "billhook-stale";

/// The most headers of a request that a transform may have made, and the bytes of all their names and values.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;

/// Whether a header, in lower case, belongs to the connection.
pub fn is_of_the_connection(name: &str) -> bool {
    OF_THE_CONNECTION.contains(&name)
}

/// Whether a header, in lower case, is what the gateway says of a delivery: that it is stale, or a part of its signature
/// (Standard Webhooks 1.0.0).
pub fn is_ours(name: &str) -> bool {
    name == STALE || name.starts_with("webhook-")
}

/// Whether a header, in lower case, is never a transform's to set or remove.
pub fn is_reserved(name: &str) -> bool {
    name == "user-agent" || is_ours(name) || is_of_the_connection(name)
}

/// Sets a header as a transform may, in place of the values it has; `headers` have names in lower case.
///
/// # Errors
/// Says why it may not.
pub fn set(headers: &mut Vec<(String, Vec<u8>)>, name: &str, value: Vec<u8>) -> Result<(), String> {
    let name = name.to_ascii_lowercase();
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(in_name) {
        return Err(format!("`{}` is not the name of a header", name.escape_default()));
    }
    if name == "content-type" {
        return Err("`content-type` is set with the body".to_owned());
    }
    if is_reserved(&name) {
        return Err(format!("`{name}` is the gateway's"));
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(format!("the value of `{name}` has a control character"));
    }
    let others = || headers.iter().filter(|(known, _)| *known != name);
    let bytes: usize = others().map(|(name, value)| name.len() + value.len()).sum();
    if others().count() >= HEADERS_MAX || bytes + name.len() + value.len() > HEADER_BYTES_MAX {
        return Err(format!("`{name}` is beyond {HEADERS_MAX} headers or {HEADER_BYTES_MAX} bytes of them"));
    }
    headers.retain(|(known, _)| *known != name);
    headers.push((name, value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_are_none_or_the_gateways_are_refused() {
        let cases = [
            ("", "a", "`` is not the name of a header"),
            ("x room", "a", "`x room` is not the name of a header"),
            ("x-\u{1b}[31m", "a", "`x-\\u{1b}[31m` is not the name of a header"),
            ("x-room", "a\r\nhost: elsewhere", "the value of `x-room` has a control character"),
            ("x-room", "\u{7f}", "the value of `x-room` has a control character"),
            ("Webhook-Signature", "v1,a", "`webhook-signature` is the gateway's"),
            ("webhook-anything", "a", "`webhook-anything` is the gateway's"),
            ("Billhook-Stale", "a", "`billhook-stale` is the gateway's"),
            ("User-Agent", "a", "`user-agent` is the gateway's"),
            ("Host", "elsewhere", "`host` is the gateway's"),
            ("content-length", "0", "`content-length` is the gateway's"),
            ("content-type", "text/plain", "`content-type` is set with the body"),
        ];
        let mut headers = Vec::new();
        for (name, value, why) in cases {
            assert_eq!(set(&mut headers, name, value.into()), Err(why.to_owned()));
            assert_eq!(headers, []);
        }
        assert_eq!(set(&mut headers, "X-Room", "tab\tand \u{e9}".into()), Ok(()));
        assert_eq!(headers[0].0, "x-room");
    }

    #[test]
    fn headers_have_a_number_and_a_size() {
        let mut headers = Vec::new();
        for n in 0..HEADERS_MAX {
            assert_eq!(set(&mut headers, &format!("x-{n}"), vec![b'a']), Ok(()));
        }
        assert!(set(&mut headers, "x-more", vec![b'a']).unwrap_err().contains("beyond 64 headers"));
        assert_eq!(set(&mut headers, "x-0", vec![b'b']), Ok(()), "in place of another");
        headers.clear();
        let rest = HEADER_BYTES_MAX - "x-0".len();
        assert_eq!(set(&mut headers, "x-0", vec![b'a'; rest]), Ok(()));
        assert!(set(&mut headers, "x-0", vec![b'a'; rest + 1]).unwrap_err().contains("16384 bytes"));
        assert_eq!(headers, [("x-0".to_owned(), vec![b'a'; rest])], "what was set before stays");
    }
}
