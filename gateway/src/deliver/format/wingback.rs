//! Wingback's webhook: the event's name and the id of what it is about.

use crate::deliver::format::{Owed, Read, Unsent, json};
use billhook_event::{Customer, Invoice, Subscription};
use serde::Serialize;

/// Wingback's names of canonical types.
const NAMES: [(&str, &str); 10] = [
    ("customer.created", "v1.customer.created"),
    ("customer.updated", "v1.customer.updated"),
    ("invoice.created", "v1.invoice.created"),
    ("subscription.scheduled", "v1.contract.signature.scheduled"),
    ("subscription.activated", "v1.contract.signature.completed"),
    ("subscription.cancel_scheduled", "v1.contract.cancellation.scheduled"),
    ("subscription.canceled", "v1.contract.cancellation.completed"),
    ("payment.created", "v1.payment.started"),
    ("payment.failed", "v1.payment.failed"),
    ("payment.succeeded", "v1.payment.succeeded"),
];

#[derive(Serialize)]
struct Body<'a> {
    event: &'a str,
    id: &'a str,
}

/// The whole body. What Wingback has no name for keeps its canonical type.
pub(super) fn body(owed: &Owed<'_>) -> Result<Vec<u8>, Unsent> {
    let read = owed.read()?;
    let event = read.name_of("wingback", |_| true, &NAMES).unwrap_or(&read.event.kind);
    Ok(json(&Body { event, id: id(&read) }))
}

/// The id of the invoice or the contract; of a payment that of its customer, as Wingback has it; where there is none,
/// that of the event.
fn id<'a>(read: &'a Read<'_>) -> &'a str {
    let event = &read.event;
    let invoice = event.invoice.as_deref().and_then(|Invoice { id, .. }| id.as_deref());
    let contract = event.subscription.as_deref().and_then(|Subscription { id, .. }| id.as_deref());
    let customer = event.customer.as_ref().and_then(|Customer { id, .. }| id.as_deref());
    let id = match read.kind().0 {
        "invoice" => invoice,
        "subscription" => contract,
        _ => customer.or(contract).or(invoice),
    };
    id.unwrap_or(&event.id)
}

#[cfg(test)]
mod tests {
    use super::{NAMES, body};
    use crate::deliver::format::tests::{event, written};
    use billhook_event::kind::is_known;

    #[test]
    fn the_body_is_the_name_and_the_id_of_what_it_is_about() {
        let all = r#""customer":{"id":"Cust_1"},"subscription":{"id":"Cont_1"},"invoice":{"id":"Inv_1"}"#;
        let cases = [
            ("customer.updated", all, "v1.customer.updated", "Cust_1"),
            ("payment.failed", all, "v1.payment.failed", "Cust_1"),
            ("invoice.created", all, "v1.invoice.created", "Inv_1"),
            ("subscription.canceled", all, "v1.contract.cancellation.completed", "Cont_1"),
            ("invoice.paid", all, "invoice.paid", "Inv_1"),
            ("payment.failed", r#""subscription":{"id":"Cont_1"}"#, "v1.payment.failed", "Cont_1"),
            ("provider.unmapped", r#""livemode":true"#, "provider.unmapped", "evt_1"),
        ];
        for (kind, members, name, id) in cases {
            let expected = format!(r#"{{"event":"{name}","id":"{id}"}}"#);
            assert_eq!(written(&event(kind, members), body).unwrap(), expected);
        }
    }

    #[test]
    fn every_name_is_for_a_canonical_type() {
        for (kind, _) in NAMES {
            assert!(is_known(kind), "{kind}");
        }
    }
}
