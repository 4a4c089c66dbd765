//! Flexprice's envelope: `{webhook_type, object_type, data: {object}}`, and the whole event beside it.

use crate::deliver::format::{Owed, Unsent, json};
use serde::Serialize;
use serde_json::value::RawValue;

/// Flexprice's names of canonical types. Its `invoice.created` says that an invoice is final.
const NAMES: [(&str, &str); 31] = [
    ("meter.created", "billable_metric.created"),
    ("meter.updated", "billable_metric.updated"),
    ("meter.archived", "billable_metric.archived"),
    ("customer.created", "customer.created"),
    ("customer.updated", "customer.updated"),
    ("integration.synced", "customer.payment_provider_created"),
    ("integration.error", "customer.payment_provider_error"),
    ("checkout.created", "customer.checkout_url_generated"),
    ("subscription.activated", "subscription.started"),
    ("subscription.canceled", "subscription.terminated"),
    ("subscription.trial_ended", "subscription.trial_ended"),
    ("usage.threshold_reached", "subscription.usage_threshold_reached"),
    ("invoice.created", "invoice.drafted"),
    ("invoice.finalized", "invoice.created"),
    ("invoice.document_ready", "invoice.generated"),
    ("invoice.updated", "invoice.payment_status_updated"),
    ("invoice.paid", "invoice.payment_status_updated"),
    ("payment.failed", "invoice.payment_failure"),
    ("invoice.overdue", "invoice.payment_overdue"),
    ("invoice.voided", "invoice.voided"),
    ("wallet.created", "wallet.created"),
    ("wallet.updated", "wallet.updated"),
    ("wallet.terminated", "wallet.terminated"),
    ("wallet.depleted", "wallet.depleted_ongoing_balance"),
    ("wallet.transaction_updated", "wallet_transaction.updated"),
    ("wallet.transaction_failed", "wallet_transaction.payment_failure"),
    ("credit_note.created", "credit_note.created"),
    ("credit_note.document_ready", "credit_note.generated"),
    ("refund.failed", "credit_note.refund_failure"),
    ("fee.created", "fee.created"),
    ("usage.event_rejected", "events.errors"),
];

#[derive(Serialize)]
struct Body<'a> {
    webhook_type: &'a str,
    object_type: &'a str,
    data: Data<'a>,
    event: &'a RawValue,
}

#[derive(Serialize)]
struct Data<'a> {
    object: &'a RawValue,
}

/// The whole body. The object is the one that the name begins with, as the event has it.
pub(super) fn body(owed: &Owed<'_>) -> Result<Vec<u8>, Unsent> {
    let read = owed.read()?;
    // A refund beside the credit note that it comes with is not that note once more.
    let is_name = |name: &str| read.kind().0 != "refund" || !name.starts_with("credit_note.");
    let webhook_type = read.name_of("flexprice", is_name, &NAMES).unwrap_or(&read.event.kind);
    let object_type = webhook_type.split_once('.').map_or(webhook_type, |(object, _)| object);
    let member = match object_type {
        "billable_metric" => "meter",
        "wallet_transaction" => "wallet",
        "events" => "usage",
        member => member,
    };
    Ok(json(&Body {
        webhook_type,
        object_type,
        data: Data { object: read.object(&[member]) },
        event: read.whole,
    }))
}

#[cfg(test)]
mod tests {
    use super::{NAMES, body};
    use crate::deliver::format::tests::{event, written};
    use billhook_event::kind::is_known;

    #[test]
    fn the_envelope_names_the_event_and_its_object_as_flexprice_does() {
        let members = r#""customer":{"id":"cus_1"},"invoice":{"id":"inv_1"},"payment":{"id":"pay_1"}"#;
        let cases = [
            ("payment.failed", "invoice.payment_failure", "invoice", r#"{"id":"inv_1"}"#),
            ("invoice.finalized", "invoice.created", "invoice", r#"{"id":"inv_1"}"#),
            ("payment.succeeded", "payment.succeeded", "payment", r#"{"id":"pay_1"}"#),
            ("integration.error", "customer.payment_provider_error", "customer", r#"{"id":"cus_1"}"#),
        ];
        for (kind, webhook_type, object_type, object) in cases {
            let event = event(kind, members);
            let expected = format!(
                r#"{{"webhook_type":"{webhook_type}","object_type":"{object_type}","data":{{"object":{object}}},"event":{event}}}"#
            );
            assert_eq!(written(&event, body).unwrap(), expected);
        }
    }

    #[test]
    fn an_event_of_flexprice_keeps_its_name() {
        let event = event("subscription.canceled", r#""subscription":{"id":"sub_1"}"#)
            .replace("acme.thing", "subscription.cancelled")
            .replace("\"acme\"", "\"flexprice\"");
        let written = written(&event, body).unwrap();
        assert!(
            written.starts_with(r#"{"webhook_type":"subscription.cancelled","object_type":"subscription","#)
        );
    }

    #[test]
    fn a_refund_is_not_the_credit_note_that_it_comes_with() {
        for (kind, name) in
            [("credit_note.created", "credit_note.created"), ("refund.created", "refund.created")]
        {
            let event = event(kind, r#""credit_note":{"id":"cn_1"},"refund":{"id":"cn_1"}"#)
                .replace("acme.thing", "credit_note.created")
                .replace("\"acme\"", "\"flexprice\"");
            let written = written(&event, body).unwrap();
            assert!(written.starts_with(&format!(r#"{{"webhook_type":"{name}","#)), "{written}");
        }
    }

    #[test]
    fn every_name_is_for_a_canonical_type() {
        for (kind, _) in NAMES {
            assert!(is_known(kind), "{kind}");
        }
    }
}
