//! The canonical type: by name, then by what the object says of itself.

use crate::billing::{Paid, has_status, paid};
use crate::catalogue::CATALOGUE;
use crate::envelope::{Envelope, alert_status};
use crate::subscription::{is_cancel_scheduled, is_canceled, is_paused};
use billhook_plugin::Fields;
use billhook_plugin::model::kind;

/// The canonical type of a body.
pub(crate) fn kind(envelope: &Envelope<'_>) -> &'static str {
    match envelope.name.as_deref() {
        Some(name) => refined(name, envelope),
        None => guessed(envelope),
    }
}

/// A name that covers several facts is told apart by the state of its object.
fn refined(name: &str, envelope: &Envelope<'_>) -> &'static str {
    match name {
        "wallet.alert" | "feature.wallet_balance.alert" if is_calm(envelope) => "wallet.balance_recovered",
        "customer.usage.alert" | "feature.usage.alert" if is_calm(envelope) => "usage.threshold_recovered",
        _ => {
            envelope.main().map_or_else(|| kind::of(CATALOGUE, name), |(_, object)| refined_by(name, object))
        }
    }
}

fn refined_by(name: &str, object: &Fields<'_>) -> &'static str {
    match name {
        "subscription.updated" if is_cancel_scheduled(object) => "subscription.cancel_scheduled",
        "invoice.payment_status_updated" | "invoice.update.payment" => match paid(object) {
            Some(Paid::Succeeded) => "invoice.paid",
            Some(Paid::Failed) => "payment.failed",
            _ => "invoice.updated",
        },
        "payment.updated" => match paid(object) {
            Some(Paid::Succeeded) => "payment.succeeded",
            Some(Paid::Failed) => "payment.failed",
            Some(Paid::Refunded | Paid::PartiallyRefunded) => "refund.succeeded",
            Some(Paid::Voided) => "payment.canceled",
            Some(Paid::Initiated | Paid::Pending) | None => "payment.updated",
        },
        "credit_note.updated" if has_status(object, "VOIDED") => "credit_note.voided",
        _ => kind::of(CATALOGUE, name),
    }
}

/// An alert with the status `ok` tells that the trouble is over.
fn is_calm(envelope: &Envelope<'_>) -> bool {
    alert_status(&envelope.body)
        .or_else(|| envelope.text("alert_status"))
        .is_some_and(|status| status == "ok")
}

/// Bodies from before August 2025 name no event: the object's key and state must do.
fn guessed(envelope: &Envelope<'_>) -> &'static str {
    let Some((key, object)) = envelope.main() else { return "provider.unmapped" };
    let fresh = is_fresh(object);
    let row = object.text("status").unwrap_or_default().to_ascii_lowercase();
    let gone = matches!(row.as_str(), "deleted" | "archived");
    match key {
        "subscription" if is_canceled(object) => "subscription.canceled",
        "subscription" if is_cancel_scheduled(object) => "subscription.cancel_scheduled",
        "subscription" if is_paused(object) => "subscription.paused",
        "subscription" if fresh => "subscription.created",
        "subscription" | "phase" => "subscription.updated",
        "invoice" => {
            match (object.text("invoice_status").unwrap_or(row).to_ascii_lowercase().as_str(), paid(object)) {
                ("draft", _) => "invoice.created",
                ("voided", _) => "invoice.voided",
                ("finalized", Some(Paid::Succeeded)) => "invoice.paid",
                ("finalized", Some(Paid::Failed)) => "payment.failed",
                ("finalized", Some(Paid::Initiated | Paid::Pending) | None) => "invoice.finalized",
                _ => "invoice.updated",
            }
        }
        "payment" => match paid(object) {
            Some(Paid::Initiated) => "payment.created",
            Some(Paid::Pending) => "payment.pending",
            Some(Paid::Succeeded) => "payment.succeeded",
            Some(Paid::Failed) => "payment.failed",
            Some(Paid::Refunded | Paid::PartiallyRefunded) => "refund.succeeded",
            Some(Paid::Voided) => "payment.canceled",
            None => "payment.updated",
        },
        "credit_note" => {
            match object.text("credit_note_status").unwrap_or_default().to_ascii_lowercase().as_str() {
                "voided" => "credit_note.voided",
                _ if fresh => "credit_note.created",
                "finalized" => "credit_note.created",
                _ => "credit_note.updated",
            }
        }
        "customer" if gone => "customer.deleted",
        "customer" if fresh => "customer.created",
        "customer" => "customer.updated",
        "transaction" if envelope.body.get("updated_transaction").is_some() || !fresh => {
            "wallet.transaction_updated"
        }
        "transaction" => "wallet.transaction_created",
        "wallet" if envelope.body.get("alert_status").is_some() => {
            if is_calm(envelope) {
                "wallet.balance_recovered"
            } else {
                "wallet.balance_low"
            }
        }
        "wallet" if object.text("wallet_status").is_some_and(|s| s.eq_ignore_ascii_case("closed")) => {
            "wallet.terminated"
        }
        "wallet" if fresh => "wallet.created",
        "wallet" => "wallet.updated",
        "entitlement_grant" if object.text("grant_status").as_deref() == Some("exhausted") => {
            "entitlement.exhausted"
        }
        "entitlement" if gone => "entitlement.removed",
        "entitlement" if fresh => "entitlement.created",
        "entitlement" => "entitlement.updated",
        "feature" if gone => "product.archived",
        "feature" if fresh => "product.created",
        "feature" => "product.updated",
        "event" if envelope.body.get("reason").is_some() => "usage.event_rejected",
        _ => "provider.unmapped",
    }
}

/// Whether an object has not changed since it was made.
fn is_fresh(object: &Fields<'_>) -> bool {
    object.time("created_at").is_some_and(|created| object.time("updated_at") == Some(created))
}
