//! Wingspan's envelope: `{eventId, eventType, resourceType, resourceId, data}`, and the whole event beside it.

use crate::deliver::format::{Owed, Read, Unsent, json};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Wingspan's names of canonical types. Those without a dot come after `Invoice` or `Payable`.
const NAMES: [(&str, &str); 26] = [
    ("invoice.finalized", "Opened"),
    ("payment.pending", "PaymentInTransit"),
    ("payment.succeeded", "Paid"),
    ("invoice.paid", "Paid"),
    ("invoice.voided", "Cancelled"),
    ("payout.paid", "Deposited"),
    ("dispute.opened", "Disputed"),
    ("payment.failed", "PaymentFailed"),
    ("payment.retried", "PaymentRetried"),
    ("notification.delivered", "EmailReceived"),
    ("notification.viewed", "EmailViewed"),
    ("notification.undeliverable", "EmailUndeliverable"),
    ("notification.marked_spam", "EmailMarkedAsSpam"),
    ("payout.estimated", "EstimatedDeposit"),
    ("payout.eligible", "InstantPayoutEligible"),
    ("payout.failed", "PayoutFailed"),
    ("payout.started", "DepositedToPayoutPlatform"),
    ("invoice.approved", "Approved"),
    ("invoice.sent", "Sent"),
    ("invoice.rejected", "ClientDeclined"),
    ("dispute.updated", "MemberResubmitted"),
    ("dispute.closed", "ClientResolvedDispute"),
    ("document.signed", "Document.MemberSigned"),
    ("document.completed", "Document.Completed"),
    ("payee.pending", "MemberClient.Pending"),
    ("payee.active", "MemberClient.Active"),
];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    event_id: &'a str,
    event_type: &'a str,
    resource_type: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_id: Option<String>,
    data: &'a RawValue,
    event: &'a RawValue,
}

/// What of an object the envelope repeats.
#[derive(Default, Deserialize)]
struct Object {
    id: Option<String>,
}

/// The whole body. An invoice is the resource where the name says so and the event has one.
pub(super) fn body(owed: &Owed<'_>) -> Result<Vec<u8>, Unsent> {
    let read = owed.read()?;
    let (event_type, resource_type) = name(&read);
    let is_invoice = matches!(&*resource_type, "Invoice" | "Payable");
    let data = read.object(if is_invoice { &["invoice"] } else { &[] });
    let object: Object = serde_json::from_str(data.get()).unwrap_or_default();
    Ok(json(&Body {
        event_id: owed.webhook_id,
        event_type: &event_type,
        resource_type,
        resource_id: object.id,
        data,
        event: read.whole,
    }))
}

/// The name and the type of the resource that it begins with. What Wingspan has no name for keeps its canonical type.
fn name<'a>(read: &'a Read<'_>) -> (Cow<'a, str>, Cow<'a, str>) {
    // Where nothing named the event, its name is that of a field of the invoice, which begins with a small letter.
    let name = read.name_of("wingspan", |name| name.starts_with(char::is_uppercase), &NAMES);
    let Some(name) = name else {
        return ((&*read.event.kind).into(), capitals(read.kind().0).into());
    };
    if let Some((resource, _)) = name.split_once('.') {
        return (name.into(), resource.into());
    }
    if let Some(side) = ["Invoice", "Payable"].into_iter().find(|side| name.starts_with(side)) {
        return (name.into(), side.into());
    }
    let direction = read.event.payment.as_ref().and_then(|payment| payment.direction.as_deref());
    let side = if direction == Some("outbound") { "Payable" } else { "Invoice" };
    (format!("{side}{name}").into(), side.into())
}

/// `CreditNote` for `credit_note`.
fn capitals(family: &str) -> String {
    let capital = |word: &str| {
        let (first, rest) = word.split_at(word.len().min(1));
        first.to_ascii_uppercase() + rest
    };
    family.split('_').map(capital).collect()
}

#[cfg(test)]
mod tests {
    use super::{NAMES, body};
    use crate::deliver::format::tests::{event, written};
    use billhook_event::kind::is_known;

    #[test]
    fn the_envelope_names_the_event_and_its_resource_as_wingspan_does() {
        let invoice = r#""invoice":{"id":"inv_1"},"payment":{"direction":"inbound"}"#;
        let payable = r#""invoice":{"id":"inv_1"},"payment":{"direction":"outbound"}"#;
        let note = r#""credit_note":{"id":"cn_1"}"#;
        let object = r#"{"id":"inv_1"}"#;
        let cases = [
            ("payment.succeeded", invoice, "InvoicePaid", "Invoice", "inv_1", object),
            ("payment.succeeded", payable, "PayablePaid", "Payable", "inv_1", object),
            (
                "document.signed",
                r#""document":{"id":"doc_1"}"#,
                "Document.MemberSigned",
                "Document",
                "doc_1",
                r#"{"id":"doc_1"}"#,
            ),
            ("credit_note.created", note, "credit_note.created", "CreditNote", "cn_1", r#"{"id":"cn_1"}"#),
        ];
        for (kind, members, event_type, resource_type, id, data) in cases {
            let event = event(kind, members);
            let expected = format!(
                r#"{{"eventId":"evt_1-r2","eventType":"{event_type}","resourceType":"{resource_type}","resourceId":"{id}","data":{data},"event":{event}}}"#
            );
            assert_eq!(written(&event, body).unwrap(), expected);
        }
    }

    #[test]
    fn an_event_of_wingspan_keeps_its_name_if_it_had_one() {
        let kind = "dispute.opened";
        for (name, expected) in
            [("PayableMemberDisputed", "PayableMemberDisputed"), ("disputedAt", "InvoiceDisputed")]
        {
            let event = event(kind, r#""invoice":{"id":"inv_1"}"#);
            let event = event.replace("acme.thing", name).replace("\"acme\"", "\"wingspan\"");
            let written = written(&event, body).unwrap();
            assert!(written.contains(&format!(r#""eventType":"{expected}""#)), "{written}");
        }
    }

    #[test]
    fn every_name_is_for_a_canonical_type() {
        for (kind, _) in NAMES {
            assert!(is_known(kind), "{kind}");
        }
    }
}
