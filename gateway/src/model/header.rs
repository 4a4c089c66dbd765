//! Headers that nobody but us sets, wherever somebody else could name one.

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

/// Whether a header, in lower case, belongs to the connection.
pub fn is_of_the_connection(name: &str) -> bool {
    OF_THE_CONNECTION.contains(&name)
}

/// Whether a header, in lower case, is what the gateway says of a delivery: that it is stale, or a part of its signature
/// (Standard Webhooks 1.0.0).
pub fn is_ours(name: &str) -> bool {
    name == STALE || name.starts_with("webhook-")
}
