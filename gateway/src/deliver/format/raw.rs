//! The webhook itself: the bytes that were stored when it arrived, with their content type and, on request, the headers
//! that came with them.

use crate::deliver::format::{Content, Unsent};
use crate::model::id::EventId;
use crate::model::profile::{Manner, Signature};
use crate::model::webhook::Header;
use crate::store::{Store, StoreError};
use billhook_event::header;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers without which the bytes cannot be understood.
const ALWAYS: [&str; 2] = ["content-encoding", "content-type"];

/// The body and headers of the webhook that gave `event`.
pub(super) async fn content(manner: &Manner, event: EventId, store: &dyn Store) -> Result<Content, Unsent> {
    let unreadable = |error: StoreError| Unsent::Unreadable(format!("the webhook cannot be read: {error}"));
    let gone = |what: &str| Unsent::Unreadable(format!("the {what} of {event} is no longer kept"));
    let id = store.webhook_of(event).await.map_err(unreadable)?.ok_or_else(|| gone("webhook"))?;
    let webhook = store.webhook(id).await.map_err(unreadable)?.ok_or_else(|| gone("webhook"))?;
    let body = store.body(id).await.map_err(unreadable)?.ok_or_else(|| gone("webhook's body"))?;
    Ok(Content { body, headers: headers(manner, &webhook.head.headers) })
}

/// The headers that go along. Those of a signature are the provider's only where we do not sign: two signatures under
/// one name, or one beside another's id and time, would help nobody.
fn headers(manner: &Manner, came: &[Header]) -> HeaderMap {
    let wants = |name: &str| manner.original_headers.iter().any(|wanted| wanted == "*" || wanted == name);
    let ours = |name: &str| match &manner.signature {
        Signature::None => name == header::STALE,
        // Receivers with a library of Svix take its names before ours.
        Signature::Standard => header::is_ours(name) || name.starts_with("svix-"),
        Signature::Body { header: signed, .. } => name == signed.as_str() || header::is_ours(name),
    };
    // What its other side can read says `accept-encoding`.
    let never = |name: &str| name == "accept-encoding" || header::is_of_the_connection(name) || ours(name);
    let goes = |name: &str| ALWAYS.contains(&name) || (wants(name) && !never(name));
    let mut headers = HeaderMap::new();
    for (name, value) in came.iter().filter(|(name, _)| goes(name)) {
        // What came as a header can be sent as one.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::headers;
    use crate::model::profile::{Manner, Profile, Signature};

    fn names(original: &[&str], signature: Signature) -> Vec<String> {
        let came = [
            ("content-type", "text/plain"),
            ("content-encoding", "gzip"),
            ("content-length", "9"),
            ("host", "in.example.com"),
            ("connection", "close"),
            ("user-agent", "provider/1"),
            ("billhook-stale", "true"),
            ("x-many", "1"),
            ("x-many", "2"),
            ("x-wingspan-signature", "00"),
            ("webhook-id", "msg_1"),
            ("webhook-signature", "v1,00"),
            ("svix-id", "msg_1"),
        ];
        let came = came.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let original_headers = original.iter().map(ToString::to_string).collect();
        let headers = headers(&Manner { original_headers, signature, ..Manner::default() }, &came);
        headers.iter().map(|(name, _)| name.to_string()).collect()
    }

    #[test]
    fn headers_go_along_as_asked_for_and_never_those_of_the_connection_or_of_our_signature() {
        assert_eq!(names(&[], Signature::Standard), ["content-type", "content-encoding"]);
        let some = ["content-type", "content-encoding", "x-many", "x-many"];
        assert_eq!(names(&["x-many", "host", "x-other"], Signature::Standard), some);
        let all = ["content-type", "content-encoding", "user-agent", "x-many", "x-many"];
        let signature = ["x-wingspan-signature"];
        let ids = ["webhook-id", "webhook-signature", "svix-id"];
        assert_eq!(names(&["*"], Signature::Standard), [&all[..], &signature].concat());
        assert_eq!(names(&["*"], Profile::Wingspan.signature()), [&all[..], &ids[2..]].concat());
        assert_eq!(names(&["*"], Signature::None), [&all[..], &signature, &ids].concat());
        assert_eq!(
            names(&["webhook-id"], Signature::None),
            ["content-type", "content-encoding", "webhook-id"]
        );
    }
}
