//! Transactions, adjustments and what else money is moved by. Every amount is a string of minor units.

use billhook_plugin::model::{CreditNote, Dispute, Failure, Invoice, Object, Payment, PaymentMethod, Refund};
use billhook_plugin::{Fields, Json, Money, Notes};

/// An amount of an object's totals, in their currency or, where they have none, in that of the object.
fn of_totals(totals: &Fields<'_>, field: &str, object: &Fields<'_>, notes: &mut Notes) -> Option<Money> {
    let currency = totals.text("currency_code").or_else(|| object.text("currency_code"));
    notes.minor(totals, field, currency.as_deref())
}

/// The invoice block of a transaction, or of an invoice of Paddle Invoices.
pub(crate) fn invoice(object: &Fields<'_>, notes: &mut Notes) -> Invoice {
    let status = object.text("status").map(|status| match status.as_str() {
        "draft" => "draft",
        "ready" | "billed" | "issued" => "open",
        "paid" | "completed" => "paid",
        "past_due" | "overdue" => "overdue",
        "canceled" => "void",
        _ => {
            notes.unknown("status", &status);
            "unknown"
        }
    });
    let billing_reason = object.text("origin").and_then(|origin| match origin.as_str() {
        "subscription_recurring" => Some("subscription_cycle"),
        "subscription_update" => Some("subscription_update"),
        "subscription_charge" => Some("one_off"),
        "subscription_payment_method_change" => Some("other"),
        // By `web` or `api` anything may be bought.
        _ => None,
    });
    let totals = object.pointer("/details/totals").and_then(Json::fields).unwrap_or_default();
    let mut total = |field: &str| of_totals(&totals, field, object, notes);
    let (due, left) = (total("grand_total"), total("balance"));
    let period = object.fields("billing_period").unwrap_or_default();
    let captured = || captured(object)?.time("captured_at");
    Invoice {
        id: object.text("id"),
        number: object.text("invoice_number"),
        status: status.map(str::to_owned),
        billing_reason: billing_reason.map(str::to_owned),
        total: total("total"),
        subtotal: total("subtotal"),
        tax: total("tax"),
        amount_paid: paid(due.as_ref(), left.as_ref()),
        amount_due: due,
        amount_remaining: left,
        due_at: object.time("due_at"),
        period_start: period.time("starts_at"),
        period_end: period.time("ends_at"),
        finalized_at: object.time("billed_at").or_else(|| object.time("issued_at")),
        paid_at: object.time("paid_at").or_else(captured),
        url: object.text_at("/checkout/url"),
    }
}

fn paid(due: Option<&Money>, left: Option<&Money>) -> Option<Money> {
    let amount_minor = due?.amount_minor.checked_sub(left?.amount_minor)?;
    Some(Money { amount_minor, original: amount_minor.to_string(), ..due?.clone() })
}

/// The attempts at paying a transaction, newest first.
fn attempts<'a>(object: &Fields<'a>) -> Vec<Fields<'a>> {
    let payments = object.get("payments").and_then(Json::items).unwrap_or_default();
    payments.into_iter().filter_map(Json::fields).collect()
}

/// Whether there was nothing to pay, and nothing was: a change of card, or what credit covers.
pub(crate) fn is_free(object: &Fields<'_>) -> bool {
    let totals = object.pointer("/details/totals").and_then(Json::fields).unwrap_or_default();
    totals.whole::<i64>("grand_total") == Some(0) && captured(object).is_none()
}

fn captured<'a>(object: &Fields<'a>) -> Option<Fields<'a>> {
    newest(object, "captured")
}

/// The newest attempt in a state.
fn newest<'a>(object: &Fields<'a>, status: &str) -> Option<Fields<'a>> {
    attempts(object).into_iter().find(|attempt| attempt.text("status").as_deref() == Some(status))
}

/// The attempt that an event is about: the one that failed, or that succeeded, else the newest. One that is newer than
/// the failure may have begun by then.
pub(crate) fn attempt<'a>(object: &Fields<'a>, kind: &str) -> Option<Fields<'a>> {
    match kind {
        "payment.failed" => newest(object, "error"),
        _ => captured(object).or_else(|| attempts(object).into_iter().next()),
    }
}

/// The payment block of a transaction.
pub(crate) fn payment(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Payment {
    let totals = object.pointer("/details/totals").and_then(Json::fields).unwrap_or_default();
    let attempt = attempt(object, kind).unwrap_or_default();
    let details = attempt.fields("method_details").unwrap_or_default();
    let card = details.fields("card").unwrap_or_default();
    let currency = object.text("currency_code");
    let amount = notes.minor(&attempt, "amount", currency.as_deref());
    let status = if kind == "payment.failed" { "failed" } else { "succeeded" };
    let count = u32::try_from(attempts(object).len()).ok().filter(|count| *count > 0);
    let code = attempt.text("error_code");
    let failure = Failure {
        code: Some(failure_code(code.as_deref(), notes).to_owned()),
        provider_code: code,
        ..Failure::default()
    };
    Payment {
        id: attempt.text("payment_attempt_id"),
        status: Some(status.to_owned()),
        direction: Some("inbound".to_owned()),
        amount: amount.or_else(|| of_totals(&totals, "grand_total", object, notes)),
        fee: of_totals(&totals, "fee", object, notes),
        method: details.text("type").map(|method| method_of(&method).to_owned()),
        card_brand: card.text("type"),
        card_last4: card.text("last4"),
        attempt_count: count,
        failure: (status == "failed").then_some(failure),
        ..Payment::default()
    }
}

/// The canonical code of an error of a payment attempt.
fn failure_code(code: Option<&str>, notes: &mut Notes) -> &'static str {
    match code.unwrap_or("unknown") {
        "declined" | "declined_not_retryable" | "transaction_not_permitted" => "card_declined",
        "not_enough_balance" => "insufficient_funds",
        "expired_card" => "expired_card",
        "authentication_failed" => "authentication_required",
        "invalid_payment_details" | "invalid_amount" => "invalid_payment_details",
        "redacted_payment_method" | "preferred_network_not_supported" => "payment_method_missing",
        "blocked_card" => "blocked_card",
        "fraud" => "fraud_suspected",
        "issuer_unavailable" => "issuer_unavailable",
        "psp_error" | "system_error" => "processor_error",
        "canceled" | "already_canceled" => "canceled",
        "already_refunded" | "payment_attempt_not_found" | "unknown" => "other",
        other => {
            notes.unknown("error_code", other);
            "other"
        }
    }
}

fn method_of(method: &str) -> &'static str {
    match method {
        "card" => "card",
        "paypal" => "paypal",
        "alipay" | "apple_pay" | "google_pay" | "wechat_pay" | "kakao_pay" | "naver_pay" | "samsung_pay"
        | "payco" => "wallet",
        "bancontact" | "ideal" | "wire_transfer" | "blik" | "mb_way" | "pix" => "bank_transfer",
        "upi" => "upi",
        "offline" => "out_of_band",
        _ => "other",
    }
}

/// The refund block of an adjustment.
pub(crate) fn refund(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Refund {
    let status = match (kind, object.text("status").as_deref()) {
        ("refund.failed", _) => "failed",
        ("refund.reversed", _) => "reversed",
        ("refund.succeeded", _) | (_, Some("approved")) => "succeeded",
        _ => "pending",
    };
    Refund {
        id: object.text("id"),
        payment_id: None,
        amount: total(object, notes),
        status: Some(status.to_owned()),
        reason: None,
        provider_reason: object.text("reason"),
    }
}

/// The dispute block of an adjustment.
pub(crate) fn dispute(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Dispute {
    let is_warning = object.text("action").is_some_and(|action| action.starts_with("chargeback_warning"));
    let status = match (kind, object.text("status").as_deref()) {
        ("dispute.won", _) => "won",
        ("dispute.closed", _) => "closed",
        (_, Some("reversed")) if is_warning => "closed",
        (_, Some("reversed")) => "won",
        _ => "open",
    };
    Dispute {
        id: object.text("id"),
        amount: total(object, notes),
        stage: Some(if is_warning { "inquiry" } else { "chargeback" }.to_owned()),
        status: Some(status.to_owned()),
        provider_reason: object.text("reason"),
        initiator: Some("payer".to_owned()),
        ..Dispute::default()
    }
}

/// The credit note block of an adjustment.
pub(crate) fn credit_note(object: &Fields<'_>, notes: &mut Notes) -> CreditNote {
    CreditNote {
        id: object.text("id"),
        number: object.text("credit_note_number"),
        invoice_id: object.text("transaction_id"),
        amount: total(object, notes),
        kind: Some("adjustment".to_owned()),
        reason: object.text("reason").map(|reason| reason.to_lowercase()),
    }
}

fn total(object: &Fields<'_>, notes: &mut Notes) -> Option<Money> {
    of_totals(&object.fields("totals")?, "total", object, notes)
}

/// The block of a stored payment method.
pub(crate) fn payment_method(object: &Fields<'_>) -> PaymentMethod {
    let card = object.fields("card").unwrap_or_default();
    PaymentMethod {
        id: object.text("id"),
        kind: object.text("type").map(|method| method_of(&method).to_owned()),
        brand: card.text("type"),
        last4: card.text("last4"),
        expires_month: card.whole("expiry_month"),
        expires_year: card.whole("expiry_year"),
    }
}

/// The block of a payout.
pub(crate) fn payout(object: &Fields<'_>, notes: &mut Notes) -> Object {
    let currency = object.text("currency_code");
    Object { amount: notes.minor(object, "amount", currency.as_deref()), ..named(object) }
}

/// The block of a product, or of one of its prices.
pub(crate) fn product(object: &Fields<'_>, about: &str, notes: &mut Notes) -> Object {
    let unit = object.fields("unit_price").unwrap_or_default();
    let currency = unit.text("currency_code");
    Object {
        name: object.text("name").or_else(|| object.text("description")),
        kind: Some(about.to_owned()),
        scope: object.text("product_id"),
        amount: notes.minor(&unit, "amount", currency.as_deref()),
        ..named(object)
    }
}

/// What nearly every object has.
pub(crate) fn named(object: &Fields<'_>) -> Object {
    Object {
        id: object.text("id"),
        name: object.text("name"),
        status: object.text("status"),
        ..Object::default()
    }
}
