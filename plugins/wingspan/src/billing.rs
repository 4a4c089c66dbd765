//! What an invoice says of the payments and refunds that it lists.
//!
//! No webhook that lists them is published: the names are those of `InvoicePayment` and `InvoiceRefundDestination` in
//! Wingspan's SDK (<https://github.com/wingspanHQ/client-sdk-typescript>, `payments/src/sdk/models/shared`).

use billhook_plugin::model::{Failure, Payment};
use billhook_plugin::{Fields, Json, Money, Notes, Time};

/// A payment that failed, with what the newest failure in `payments` says of it.
pub(crate) fn failed(invoice: &Fields<'_>, payment: Payment, notes: &mut Notes) -> Payment {
    let failures = list(invoice, "payments").into_iter().filter(has_failed);
    // Of several at one time the last counts.
    let Some(newest) = failures.max_by_key(failed_at) else { return payment };
    let currency = invoice.text("currency");
    Payment {
        id: newest.text("paymentId"),
        amount: notes.major(&newest, "amount", currency.as_deref()).or(payment.amount),
        method: newest.text("sourceType").map(|source| method_of(&source).to_owned()),
        failure: newest.text("statusReason").and_then(|reason| failure(reason, notes)),
        ..payment
    }
}

/// What was given back, where one refund is listed: which of several this one is, nothing tells.
pub(crate) fn refunded(invoice: &Fields<'_>, notes: &mut Notes) -> Option<Money> {
    let [refund] = &list(invoice, "refundDestinations")[..] else { return None };
    notes.major(refund, "amount", invoice.text("currency").as_deref())
}

fn list<'a>(invoice: &Fields<'a>, field: &str) -> Vec<Fields<'a>> {
    let items = invoice.get(field).and_then(Json::items).unwrap_or_default();
    items.into_iter().filter_map(Json::fields).collect()
}

fn has_failed(payment: &Fields<'_>) -> bool {
    matches!(payment.text("status").as_deref(), Some("Failed" | "Returned"))
}

fn failed_at(payment: &Fields<'_>) -> Option<Time> {
    let events = payment.fields("events").unwrap_or_default();
    let failed = events.time("failedAt").max(events.time("returnedAt"));
    failed.or_else(|| payment.time("updatedAt")).or_else(|| payment.time("createdAt"))
}

fn method_of(source: &str) -> &'static str {
    match source {
        "Account" => "bank_debit",
        "Card" => "card",
        _ => "other",
    }
}

fn failure(reason: String, notes: &mut Notes) -> Option<Failure> {
    let code = match reason.as_str() {
        "InsufficientFunds" => "insufficient_funds",
        "CardExpired" => "expired_card",
        "AccountNotFound" | "CardInputInvalid" => "invalid_payment_details",
        "CardCurrencyNotSupported" | "GenericCardError" => "card_declined",
        "GenericBankError" | "Unauthorized" => "other",
        // So the SDK spells none.
        "<nil>" => return None,
        _ => {
            notes.unknown("statusReason", &reason);
            "other"
        }
    };
    Some(Failure { code: Some(code.to_owned()), provider_code: Some(reason), ..Failure::default() })
}
