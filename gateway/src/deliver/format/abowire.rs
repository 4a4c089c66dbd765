//! Abowire's envelope: `{id, eventArn, component, action, userId, timestamp, origin, destination, payload}`, and the
//! whole event beside it.

use crate::deliver::format::{Owed, Read, Unsent, json};
use crate::model::Time;
use crate::model::id::EventId;
use serde::Serialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Abowire's names of canonical types. It switches licences of a subscription on and off, not the subscription.
const NAMES: [(&str, &str); 16] = [
    ("invoice.created", "invoice:create"),
    ("payment.created", "payment:create"),
    ("payment.succeeded", "payment:accepted"),
    ("payment.failed", "payment:declined"),
    ("product.created", "product:create"),
    ("product.updated", "product:update"),
    ("customer.created", "subscriber:create"),
    ("customer.updated", "subscriber:update"),
    ("subscription.created", "subscription:create"),
    ("subscription.updated", "subscription:update"),
    ("account.created", "account-subaccount:create"),
    ("account.updated", "account:update"),
    ("api_key.created", "api-key:create"),
    ("api_key.revoked", "api-key:revoke"),
    ("license.disabled", "subscription:disable"),
    ("license.enabled", "subscription:enable"),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: String,
    event_arn: String,
    component: Cow<'a, str>,
    action: Cow<'a, str>,
    user_id: &'a str,
    timestamp: Time,
    origin: &'a str,
    destination: String,
    payload: &'a RawValue,
    event: &'a RawValue,
}

/// The whole body. The destination is told without the secrets that a query may hold: the receiver has them.
pub(super) fn body(owed: &Owed<'_>, event: EventId) -> Result<Vec<u8>, Unsent> {
    let read = owed.read()?;
    let (component, action) = name(&read);
    let mut destination = owed.endpoint.url.clone();
    destination.set_query(None);
    // A URL that cannot hold them has none.
    let _ = destination.set_username("").and_then(|()| destination.set_password(None));
    Ok(json(&Body {
        id: uuid(event, owed.revision),
        event_arn: format!("arn:billhook:events:{component}:{action}"),
        user_id: read.event.actor.as_ref().map_or("", |actor| &actor.id),
        timestamp: owed.occurred_at,
        origin: &read.event.source,
        destination: destination.into(),
        payload: read.object(&member(&component)),
        event: read.whole,
        component,
        action,
    }))
}

/// Component and action. What Abowire has no name for keeps its canonical type, spelled as Abowire would.
fn name<'a>(read: &'a Read<'_>) -> (Cow<'a, str>, Cow<'a, str>) {
    let subaccount =
        read.event.account.as_ref().is_some_and(|account| account.kind.as_deref() == Some("subaccount"));
    // The names of its second format are dotted, and this is the first. What came in bulk is sent one by one.
    let is_name = |name: &str| name.contains(':') && !name.contains(":bulk-");
    let name = match read.name_of("abowire", is_name, &NAMES) {
        Some("account:update") if subaccount => Some("account-subaccount:update"),
        name => name,
    };
    match name.and_then(|name| name.split_once(':')) {
        Some((component, action)) => (component.into(), action.into()),
        None => {
            let (family, verb) = read.kind();
            (family.replace('_', "-").into(), verb.replace('_', "-").into())
        }
    }
}

/// The member of an event that holds what a component is about, where it has another name.
fn member(component: &str) -> Vec<&str> {
    match component {
        "subscriber" => vec!["customer"],
        _ => Vec::new(),
    }
}

/// The event's id as a UUID, which is what receivers expect there: version 8 (RFC 9562), which is free to be anything.
/// Each revision has its own, or receivers would take it for a duplicate.
fn uuid(event: EventId, revision: u32) -> String {
    let mut bytes = *event.bytes();
    let later = revision.saturating_sub(1).to_be_bytes();
    bytes[12..].iter_mut().zip(later).for_each(|(byte, later)| *byte ^= later);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let hex = hex::encode(bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::{NAMES, body, uuid};
    use crate::deliver::format::tests::{event, written};
    use crate::model::id::EventId;
    use billhook_event::kind::is_known;

    const ID: EventId = EventId([0xab; 16]);

    #[test]
    fn the_envelope_names_component_and_action_and_tells_no_secret_of_the_url() {
        let members =
            r#""actor":{"id":"usr_1","kind":"user"},"customer":{"id":"cus_1"},"payment":{"id":"pay_1"}"#;
        let cases = [
            ("payment.failed", "payment", "declined", r#"{"id":"pay_1"}"#),
            ("customer.created", "subscriber", "create", r#"{"id":"cus_1"}"#),
            ("payment_method.expiring", "payment-method", "expiring", r#"{"id":"cus_1"}"#),
        ];
        for (kind, component, action, object) in cases {
            let event = event(kind, members);
            let expected = format!(
                r#"{{"id":"abababab-abab-8bab-abab-abababababaa","eventArn":"arn:billhook:events:{component}:{action}","component":"{component}","action":"{action}","userId":"usr_1","timestamp":"2026-08-10T12:00:00.000Z","origin":"shop","destination":"https://app.example.com/hooks","payload":{object},"event":{event}}}"#
            );
            assert_eq!(written(&event, |owed| body(owed, ID)).unwrap(), expected);
        }
    }

    #[test]
    fn what_abowire_named_keeps_its_name_and_a_subaccount_has_its_own() {
        let named = |kind: &str, members: &str, provider: &str, name: &str| {
            let event = event(kind, members).replace("\"acme\"", provider).replace("acme.thing", name);
            let body: serde_json::Value =
                serde_json::from_str(&written(&event, |owed| body(owed, ID)).unwrap()).unwrap();
            format!("{}:{}", body["component"].as_str().unwrap(), body["action"].as_str().unwrap())
        };
        let license = r#""license":{"id":"lic_1"}"#;
        assert_eq!(
            named("license.disabled", license, "\"abowire\"", "subscription:bulk-disable"),
            "subscription:disable",
            "each is sent alone"
        );
        let paid = named("payment.succeeded", license, "\"abowire\"", "payment:paid");
        assert_eq!(paid, "payment:paid");
        assert_eq!(named("license.disabled", license, "\"acme\"", "x"), "subscription:disable");
        assert_eq!(
            named("customer.created", license, "\"abowire\"", "customer.created"),
            "subscriber:create"
        );
        let account = r#""account":{"kind":"subaccount"}"#;
        assert_eq!(named("account.updated", account, "\"acme\"", "x"), "account-subaccount:update");
        assert_eq!(named("account.updated", r#""account":{}"#, "\"acme\"", "x"), "account:update");
    }

    #[test]
    fn each_revision_of_an_event_is_a_uuid_of_its_own() {
        let id = |last: u8, revision| {
            let mut bytes = [0xff; 16];
            bytes[15] = last;
            uuid(EventId(bytes), revision)
        };
        assert_eq!(id(1, 1), "ffffffff-ffff-8fff-bfff-ffffffffff01");
        assert_ne!(id(2, 1), id(1, 1));
        assert_ne!(id(1, 2), id(1, 1));
    }

    #[test]
    fn every_name_is_for_a_canonical_type() {
        for (kind, _) in NAMES {
            assert!(is_known(kind), "{kind}");
        }
    }
}
