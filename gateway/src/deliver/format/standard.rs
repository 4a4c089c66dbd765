//! `{type, timestamp, data}`, the payload that Standard Webhooks 1.0.0 recommends.

use crate::deliver::format::Owed;

/// The envelope around the event, which is not parsed.
pub(super) fn body(owed: &Owed<'_>) -> Vec<u8> {
    let kind = serde_json::Value::from(owed.kind);
    let head = format!("{{\"type\":{kind},\"timestamp\":\"{}\",\"data\":", owed.occurred_at);
    [head.as_bytes(), owed.json, b"}"].concat()
}

#[cfg(test)]
mod tests {
    use super::body;
    use crate::deliver::format::tests::written;

    #[test]
    fn the_envelope_keeps_every_byte_of_the_event() {
        let event = r#"{ "amount": 1e400, "n":123456789012345678901234567890, "x": 0.10 }"#;
        let expected =
            format!(r#"{{"type":"invoice.paid","timestamp":"2026-08-10T12:00:00.000Z","data":{event}}}"#);
        assert_eq!(written(event, |owed| Ok::<_, ()>(body(owed))).unwrap(), expected);
    }
}
