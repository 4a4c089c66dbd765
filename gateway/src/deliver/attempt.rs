//! Makes one attempt: builds the request, signs it, sends it and says what came back. It decides nothing.
//!
//! The body is the same bytes in every attempt: it is spliced from what the store keeps, never parsed and written
//! again. Only the timestamp and with it the signature differ (Standard Webhooks 1.0.0).

use crate::deliver::endpoints::Target;
use crate::model::Time;
use crate::model::attempt::Attempt;
use crate::outbound::{Outbound, Post};
use crate::store::DeliveryLease;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde::Deserialize;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Tries `lease` once. `at` is the time of the attempt.
pub(super) async fn attempt(
    outbound: &Outbound,
    target: &Target,
    lease: &DeliveryLease,
    at: Time,
    trial: bool,
) -> Attempt {
    let webhook_id = lease.delivery.event.to_string();
    let body = body(&lease.kind, &lease.event, lease.delivery.created);
    let headers = headers(target, &webhook_id, at, &body);
    let (url, timeout) = (target.endpoint.url.clone(), target.endpoint.timeout);
    let sent = outbound.send(Post { url, headers, body, timeout, now: at }).await;
    Attempt {
        n: lease.delivery.attempts + 1,
        at,
        took: sent.took,
        outcome: sent.outcome,
        trial,
        webhook_id,
        retry_after: sent.retry_after,
        answer: sent.answer,
    }
}

/// What of an event the envelope repeats.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Times {
    occurred_at: Option<Time>,
    received_at: Option<Time>,
}

/// `{"type","timestamp","data"}` around the bytes of the event as they are stored. An event without a time, which
/// the pipeline does not make, gets that of its delivery.
fn body(kind: &str, event: &[u8], created: Time) -> Bytes {
    let times: Times = serde_json::from_slice(event).unwrap_or_default();
    let timestamp = times.occurred_at.or(times.received_at).unwrap_or(created);
    let head =
        format!("{{\"type\":{},\"timestamp\":\"{timestamp}\",\"data\":", serde_json::Value::from(kind));
    [head.as_bytes(), event, b"}"].concat().into()
}

/// Ours come last: what the configuration adds replaces none of them.
fn headers(target: &Target, webhook_id: &str, at: Time, body: &[u8]) -> HeaderMap {
    let mut headers = target.endpoint.manner.headers.clone();
    let mut set = |name: HeaderName, value: &str| {
        let value = HeaderValue::from_str(value).expect("ids, numbers and base64 are visible ASCII");
        headers.insert(name, value);
    };
    set(header::CONTENT_TYPE, "application/json");
    set(WEBHOOK_ID, webhook_id);
    set(WEBHOOK_TIMESTAMP, &at.secs().to_string());
    if let Some(signature) = target.signer.sign(webhook_id, at.secs(), body) {
        set(WEBHOOK_SIGNATURE, &signature);
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_envelope_keeps_every_byte_of_the_event() {
        let created = Time::from_secs(9);
        let cases = [
            (
                r#"{"occurred_at":"2026-08-10T12:00:00.042Z","received_at":"2026-08-10T12:00:01.000Z"}"#,
                "2026-08-10T12:00:00.042Z",
            ),
            (
                r#"{ "amount": 1e400, "received_at":"2026-08-10T12:00:01.000Z", "x": 0.10 }"#,
                "2026-08-10T12:00:01.000Z",
            ),
            (r#"{"occurred_at":null,"n":123456789012345678901234567890}"#, "1970-01-01T00:00:09.000Z"),
        ];
        for (event, timestamp) in cases {
            let expected = format!(r#"{{"type":"invoice.paid","timestamp":"{timestamp}","data":{event}}}"#);
            assert_eq!(body("invoice.paid", event.as_bytes(), created), expected);
        }
    }
}
