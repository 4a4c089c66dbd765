//! Puts the drafts together.

use crate::catalogue::CATALOGUE;
use crate::{billing, subscription};
use billhook_plugin::model::{Customer, Invoice, Phase, Subscription, kind};
use billhook_plugin::{Draft, Fields, Notes, Time};

/// How the ids of Paddle begin, by the block of the draft. Those of adjustments stand in several blocks.
const PREFIXES: &[(&str, &[&str])] = &[
    ("customer", &["ctm_"]),
    ("subscription", &["sub_"]),
    ("invoice", &["txn_", "inv_"]),
    ("payment_method", &["paymtd_"]),
];

/// The drafts of a notification.
pub(crate) fn drafts(body: &Fields<'_>, name: &str) -> Vec<Draft> {
    let object = body.fields("data");
    let is_thin = object.is_none();
    let object = object.unwrap_or_default();
    let of_name = kind::of(CATALOGUE, name);
    let kinds = match about(name) {
        "adjustment" => adjustment(of_name, &object),
        "transaction" if of_name == "payment.succeeded" && billing::is_free(&object) => {
            vec!["invoice.updated"]
        }
        "subscription" if of_name == "subscription.updated" && subscription::is_ending(&object) => {
            vec!["subscription.cancel_scheduled"]
        }
        "product" | "price"
            if of_name == "product.updated" && object.text("status").as_deref() == Some("archived") =>
        {
            vec!["product.archived"]
        }
        _ => vec![of_name],
    };
    kinds.into_iter().map(|kind| Draft { thin: is_thin, ..draft(body, &object, name, kind) }).collect()
}

/// What kind of object an event is about, as its name begins.
fn about(name: &str) -> &str {
    name.split_once('.').map_or("", |(about, _)| about)
}

/// What an adjustment of a transaction is. One that is approved as it is made is told in both steps: no update
/// follows. What takes back a chargeback or a credit is an adjustment of its own, which alone tells it.
fn adjustment(of_name: &'static str, object: &Fields<'_>) -> Vec<&'static str> {
    let is_new = of_name == "refund.created";
    let (action, status) =
        (object.text("action").unwrap_or_default(), object.text("status").unwrap_or_default());
    match (action.as_str(), status.as_str()) {
        ("refund", "approved") if is_new => vec!["refund.created", "refund.succeeded"],
        ("refund", _) if is_new => vec!["refund.created"],
        ("refund", "rejected") => vec!["refund.failed"],
        ("refund", "reversed") => vec!["refund.reversed"],
        ("refund", "pending_approval") => vec!["refund.created"],
        ("chargeback_reverse", _) => vec!["dispute.won"],
        ("chargeback_warning_reverse", _) => vec!["dispute.closed"],
        ("chargeback" | "chargeback_warning", "rejected") => vec!["dispute.closed"],
        ("chargeback" | "chargeback_warning", _) if is_new => vec!["dispute.opened"],
        ("chargeback" | "chargeback_warning", _) => vec!["dispute.updated"],
        ("credit_reverse", _) => vec!["credit_note.voided"],
        ("credit", _) if is_new => vec!["credit_note.created"],
        ("credit", _) => vec!["credit_note.updated"],
        _ => vec![of_name],
    }
}

fn draft(body: &Fields<'_>, object: &Fields<'_>, name: &str, kind: &'static str) -> Draft {
    let mut notes = Notes::default();
    let about = about(name);
    let occurred_at = body.time("occurred_at");
    let mut draft = Draft {
        kind: kind.to_owned(),
        provider_event_type: name.to_owned(),
        provider_event_id: body.text("event_id"),
        occurred_at,
        customer: customer(object, about),
        metadata: object.fields("custom_data").map(|data| data.to_metadata()).unwrap_or_default(),
        ..Draft::default()
    };
    match about {
        "subscription" => {
            draft.subscription = Some(Box::new(subscription::subscription(object, occurred_at, &mut notes)));
            let phase = Phase::of_kind(kind);
            draft.cancellation = phase.map(|phase| subscription::cancellation(object, phase));
            if phase == Some(Phase::Requested) {
                draft.effective_at = subscription::effective_at(object, Phase::Requested);
            }
        }
        "transaction" | "invoice" => {
            draft.invoice = Some(Box::new(billing::invoice(object, &mut notes)));
            let has_payment = match kind {
                "payment.succeeded" | "payment.failed" => true,
                "invoice.paid" => about == "transaction" && !billing::is_free(object),
                _ => false,
            };
            if has_payment {
                draft.payment = Some(Box::new(billing::payment(object, kind, &mut notes)));
            }
        }
        "adjustment" => {
            // It names the transaction and not which of its payments.
            let id = object.text("transaction_id");
            draft.invoice = id.map(|id| Box::new(Invoice { id: Some(id), ..Invoice::default() }));
            match kind.split('.').next() {
                Some("dispute") => draft.dispute = Some(Box::new(billing::dispute(object, kind, &mut notes))),
                Some("credit_note") => {
                    draft.credit_note = Some(Box::new(billing::credit_note(object, &mut notes)))
                }
                _ => draft.refund = Some(Box::new(billing::refund(object, kind, &mut notes))),
            }
        }
        "payment_method" => draft.payment_method = Some(Box::new(billing::payment_method(object))),
        "payout" => draft.payout = Some(Box::new(billing::payout(object, &mut notes))),
        "product" | "price" => draft.product = Some(Box::new(billing::product(object, about, &mut notes))),
        "api_key" => draft.api_key = Some(Box::new(billing::named(object))),
        _ => {}
    }
    if draft.subscription.is_none() {
        let id = object.text("subscription_id");
        draft.subscription = id.map(|id| Box::new(Subscription { id: Some(id), ..Subscription::default() }));
    }
    draft.semantic_key = semantic_key(object, about, kind, occurred_at);
    notes.ids(&draft, PREFIXES);
    draft.warnings = notes.into_warnings();
    draft
}

fn customer(object: &Fields<'_>, about: &str) -> Option<Customer> {
    let customer = match about {
        "customer" => Customer {
            id: object.text("id"),
            email: object.text("email"),
            name: object.text("name"),
            ..Customer::default()
        },
        _ => Customer { id: object.text("customer_id"), ..Customer::default() },
    };
    (customer != Customer::default()).then_some(customer)
}

/// The key that one fact has in all the events that tell it: an invoice of Paddle Invoices is also a transaction.
/// `None` for what may happen to an object again and again.
fn semantic_key(object: &Fields<'_>, about: &str, kind: &str, occurred_at: Option<Time>) -> Option<String> {
    let day = |time: Option<Time>| time.map(Time::date).unwrap_or_default();
    let id = match about {
        "invoice" => object.text("transaction_id").or_else(|| object.text("id")),
        _ => object.text("id"),
    }?;
    match kind {
        "subscription.cancel_scheduled" => {
            Some(format!("{kind}:{id}:{}", day(subscription::effective_at(object, Phase::Requested))))
        }
        // After a pause it is activated again.
        "subscription.activated" => Some(format!("{kind}:{id}:{}", day(occurred_at))),
        "payment.failed" => {
            Some(format!("{kind}:{}", billing::attempt(object, kind)?.text("payment_attempt_id")?))
        }
        "subscription.trial_started"
        | "subscription.canceled"
        | "invoice.finalized"
        | "invoice.paid"
        | "invoice.overdue"
        | "invoice.voided"
        | "payment.succeeded"
        | "refund.succeeded"
        | "refund.failed"
        | "refund.reversed"
        | "dispute.opened"
        | "dispute.won"
        | "dispute.closed"
        | "credit_note.voided"
        | "payment_method.attached"
        | "payment_method.detached"
        | "payout.started"
        | "payout.paid"
        | "product.archived"
        | "api_key.revoked" => Some(format!("{kind}:{id}")),
        _ if kind.ends_with(".created") => Some(format!("{kind}:{id}")),
        _ => None,
    }
}
