//! `{type, timestamp, data}`, the payload that Standard Webhooks 1.0.0 recommends.

use crate::deliver::format::Owed;
use crate::model::Time;
use serde::Deserialize;

/// What of an event the envelope repeats.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Times {
    occurred_at: Option<Time>,
    received_at: Option<Time>,
}

/// The envelope around the event, which is not parsed any further than for its times. An event without a time, which
/// the pipeline does not make, gets that of its delivery.
pub(super) fn body(owed: &Owed<'_>) -> Vec<u8> {
    let times: Times = serde_json::from_slice(owed.json).unwrap_or_default();
    let timestamp = times.occurred_at.or(times.received_at).unwrap_or(owed.created);
    let kind = serde_json::Value::from(owed.kind);
    let head = format!("{{\"type\":{kind},\"timestamp\":\"{timestamp}\",\"data\":");
    [head.as_bytes(), owed.json, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::body;
    use crate::deliver::format::tests::written;

    #[test]
    fn the_envelope_keeps_every_byte_of_the_event() {
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
            assert_eq!(written(event, |owed| Ok::<_, ()>(body(owed))).unwrap(), expected);
        }
    }
}
