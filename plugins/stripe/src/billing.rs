//! Invoices, payments and what is about them.

use crate::envelope::id_of;
use crate::money::{amount, exponent};
use billhook_plugin::model::{
    CreditNote, Dispute, Failure, Invoice, Object, Payment, PaymentMethod, Refund, Subscription,
};
use billhook_plugin::{Fields, Json, Money, Notes};

/// The invoice block.
pub(crate) fn invoice(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Invoice {
    let status = object.text("status").map(|status| match status.as_str() {
        "open" if kind == "invoice.overdue" => "overdue",
        "draft" => "draft",
        "open" => "open",
        "paid" => "paid",
        "void" => "void",
        "uncollectible" => "uncollectible",
        _ => {
            notes.unknown("status", &status);
            "unknown"
        }
    });
    let billing_reason = object.text("billing_reason").map(|reason| match reason.as_str() {
        "subscription_create" => "subscription_create",
        "subscription_cycle" => "subscription_cycle",
        "subscription_update" => "subscription_update",
        "subscription_threshold" => "threshold",
        "manual" => "manual",
        _ => "other",
    });
    let transitions = object.fields("status_transitions").unwrap_or_default();
    let billed = billed_period(object).unwrap_or_default();
    Invoice {
        id: object.text("id"),
        number: object.text("number"),
        status: status.map(str::to_owned),
        billing_reason: billing_reason.map(str::to_owned),
        total: amount(notes, object, "total", None),
        subtotal: amount(notes, object, "subtotal", None),
        tax: tax(object, notes),
        amount_due: amount(notes, object, "amount_due", None),
        amount_paid: amount(notes, object, "amount_paid", None),
        amount_remaining: amount(notes, object, "amount_remaining", None),
        due_at: object.time("due_date"),
        period_start: billed.time("start").or_else(|| object.time("period_start")),
        period_end: billed.time("end").or_else(|| object.time("period_end")),
        finalized_at: transitions.time("finalized_at"),
        paid_at: transitions.time("paid_at"),
        url: object.text("hosted_invoice_url"),
    }
}

/// The period of the first line that bills a subscription. The invoice's own is the one before it: that in which items were
/// added. Lines of a change of plan count only where there are no others.
fn billed_period<'a>(object: &Fields<'a>) -> Option<Fields<'a>> {
    let lines = object.pointer("/lines/data").and_then(Json::items)?;
    let change = || lines.iter().find(|line| is_proration(**line));
    let line = lines.iter().find(|line| is_of_subscription(**line) && !is_proration(**line));
    line.or_else(change)?.pointer("/period")?.fields()
}

/// Where both stand changed on 2025-03-31 (basil).
fn is_of_subscription(line: Json<'_>) -> bool {
    let is = |pointer, kind| line.pointer(pointer).and_then(Json::text).is_some_and(|text| text == kind);
    is("/type", "subscription") || is("/parent/type", "subscription_item_details")
}

fn is_proration(line: Json<'_>) -> bool {
    let places = [
        "/proration",
        "/parent/subscription_item_details/proration",
        "/parent/invoice_item_details/proration",
    ];
    places.iter().any(|place| line.pointer(place).and_then(Json::flag) == Some(true))
}

/// The tax: a number of its own before 2025-03-31 (basil), a list since.
fn tax(object: &Fields<'_>, notes: &mut Notes) -> Option<Money> {
    if object.get("tax").is_some() {
        return amount(notes, object, "tax", None);
    }
    let taxes = object.get("total_taxes").and_then(Json::items)?;
    let amounts = taxes.iter().map(|tax| tax.fields()?.whole::<i64>("amount"));
    let sum = amounts.sum::<Option<i64>>()?;
    let money = Money::from_minor(sum, &object.text("currency")?)?;
    Some(Money { exponent: exponent(&money), ..money })
}

/// The subscription that an invoice bills; where it stands changed on 2025-03-31 (basil).
pub(crate) fn subscription_of(object: &Fields<'_>) -> Option<Box<Subscription>> {
    let parent = object.pointer("/parent/subscription_details").and_then(Json::fields);
    let id = id_of(object, "subscription").or_else(|| id_of(parent.as_ref()?, "subscription"))?;
    Some(Box::new(Subscription { id: Some(id), ..Subscription::default() }))
}

/// The payment or charge of an invoice; since 2025-03-31 (basil) it is told only where it was asked for.
pub(crate) fn payment_of(object: &Fields<'_>) -> Option<String> {
    let payment = || object.pointer("/payments/data/0/payment").and_then(Json::fields);
    let of = |field: &str| id_of(object, field).or_else(|| id_of(&payment()?, field));
    of("payment_intent").or_else(|| of("charge"))
}

/// Whether money was moved by Stripe to pay an invoice; else there was nothing to pay, or it was paid elsewhere. Of one
/// that does not say how much it is believed.
pub(crate) fn is_paid_here(object: &Fields<'_>) -> bool {
    let is_outside = object.flag("paid_out_of_band") == Some(true);
    !is_outside && object.whole::<i64>("amount_paid").is_none_or(|paid| paid > 0)
}

/// The payment block of an event about an invoice. Why a payment failed is told by the charge alone.
pub(crate) fn payment_of_invoice(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Payment {
    let field = match kind {
        "payment.succeeded" | "invoice.paid" => "amount_paid",
        _ => "amount_remaining",
    };
    let outside = object.flag("paid_out_of_band") == Some(true);
    Payment {
        id: payment_of(object),
        status: status_of(kind).map(str::to_owned),
        direction: inbound(),
        amount: amount(notes, object, field, None),
        method: outside.then(|| "out_of_band".to_owned()),
        attempt_count: object.whole("attempt_count"),
        next_attempt_at: object.time("next_payment_attempt"),
        ..Payment::default()
    }
}

/// The payment block of a charge. It bears the id of its payment intent, where it has one, as other events do.
pub(crate) fn charge(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Payment {
    let outcome = object.fields("outcome").unwrap_or_default();
    let failure = || {
        let (code, reason) = (object.text("failure_code"), outcome.text("reason"));
        Failure {
            code: Some(failure_code(code.as_deref(), reason.as_deref()).to_owned()),
            provider_code: code,
            provider_reason: reason,
            message: object.text("failure_message").or_else(|| outcome.text("seller_message")),
        }
    };
    let refunded = match (kind, object.flag("refunded")) {
        // Stripe calls what is set free refunded.
        ("payment.canceled", _) => None,
        (_, Some(true)) => Some("refunded"),
        ("refund.created" | "refund.succeeded", _) => Some("partially_refunded"),
        _ => None,
    };
    // Of what was put aside less may have been taken.
    let is_part = object.flag("captured") == Some(true) && object.get("amount_captured").is_some();
    let details = object.fields("payment_method_details").unwrap_or_default();
    Payment {
        id: id_of(object, "payment_intent").or_else(|| object.text("id")),
        status: refunded.or_else(|| status_of(kind)).map(str::to_owned),
        amount: amount(notes, object, if is_part { "amount_captured" } else { "amount" }, None),
        failure: (kind == "payment.failed").then(failure),
        ..method(&details)
    }
}

/// The payment block of a payment intent.
pub(crate) fn payment_intent(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Payment {
    let error = object.fields("last_payment_error").unwrap_or_default();
    let failure = || {
        let (code, reason) = (error.text("code"), error.text("decline_code"));
        Failure {
            code: Some(failure_code(code.as_deref(), reason.as_deref()).to_owned()),
            provider_code: code,
            provider_reason: reason,
            message: error.text("message"),
        }
    };
    let received = object.whole::<i64>("amount_received").is_some_and(|received| received > 0);
    let field = if kind == "payment.succeeded" && received { "amount_received" } else { "amount" };
    let details =
        error.fields("payment_method").or_else(|| object.fields("payment_method")).unwrap_or_default();
    Payment {
        id: object.text("id"),
        status: status_of(kind).map(str::to_owned),
        amount: amount(notes, object, field, None),
        failure: (kind == "payment.failed").then(failure),
        ..method(&details)
    }
}

/// The payment, charge or record that an `invoice_payment` joins to an invoice.
pub(crate) fn joined(object: &Fields<'_>) -> Option<String> {
    let payment = object.fields("payment")?;
    ["payment_intent", "charge", "payment_record"].iter().find_map(|field| id_of(&payment, field))
}

/// The payment block of an `invoice_payment`. A record is kept of what was paid elsewhere.
pub(crate) fn invoice_payment(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Payment {
    let is_outside = object.pointer("/payment/payment_record").is_some();
    Payment {
        id: joined(object),
        status: status_of(kind).map(str::to_owned),
        direction: inbound(),
        amount: amount(notes, object, "amount_paid", None),
        method: is_outside.then(|| "out_of_band".to_owned()),
        ..Payment::default()
    }
}

fn status_of(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "payment.created" => "created",
        "payment.pending" => "pending",
        "payment.action_required" => "requires_action",
        "payment.succeeded" | "invoice.paid" => "succeeded",
        "payment.failed" => "failed",
        "payment.canceled" => "canceled",
        _ => return None,
    })
}

fn inbound() -> Option<String> {
    Some("inbound".to_owned())
}

/// How it was paid.
fn method(details: &Fields<'_>) -> Payment {
    let card = details.fields("card").unwrap_or_default();
    Payment {
        direction: inbound(),
        method: details.text("type").map(|method| method_of(&method).to_owned()),
        card_brand: card.text("brand"),
        card_last4: card.text("last4"),
        ..Payment::default()
    }
}

fn method_of(method: &str) -> &'static str {
    match method {
        "card" | "card_present" | "interac_present" => "card",
        "sepa_debit" | "us_bank_account" | "bacs_debit" | "au_becs_debit" | "acss_debit"
        | "nz_bank_account" | "ach_debit" => "bank_debit",
        "customer_balance"
        | "bank_transfer"
        | "ach_credit_transfer"
        | "ideal"
        | "bancontact"
        | "sofort"
        | "eps"
        | "p24"
        | "giropay"
        | "fpx"
        | "twint"
        | "pix"
        | "pay_by_bank" => "bank_transfer",
        "alipay" | "wechat_pay" | "link" | "cashapp" | "amazon_pay" | "revolut_pay" | "grabpay"
        | "mobilepay" | "samsung_pay" | "kakao_pay" | "naver_pay" => "wallet",
        "paypal" => "paypal",
        "upi" => "upi",
        "oxxo" | "konbini" | "boleto" => "cash",
        _ => "other",
    }
}

/// The canonical code of a failure: that of the bank's reason, where it tells more than the error's code
/// (<https://docs.stripe.com/declines/codes>).
fn failure_code(code: Option<&str>, reason: Option<&str>) -> &'static str {
    let known = |word: &str| {
        Some(match word {
            "insufficient_funds" | "withdrawal_count_limit_exceeded" => "insufficient_funds",
            "expired_card" => "expired_card",
            "authentication_required"
            | "authentication_not_handled"
            | "approve_with_id"
            | "payment_intent_authentication_failure" => "authentication_required",
            "incorrect_number"
            | "incorrect_cvc"
            | "incorrect_pin"
            | "incorrect_zip"
            | "incorrect_address"
            | "invalid_number"
            | "invalid_cvc"
            | "invalid_account"
            | "invalid_amount"
            | "invalid_pin"
            | "invalid_expiry_month"
            | "invalid_expiry_year" => "invalid_payment_details",
            "missing" | "payment_method_not_available" => "payment_method_missing",
            "lost_card" | "stolen_card" | "pickup_card" | "restricted_card" => "blocked_card",
            "fraudulent" | "merchant_blacklist" | "highest_risk_level" | "elevated_risk_level" => {
                "fraud_suspected"
            }
            "issuer_not_available" | "try_again_later" | "reenter_transaction" => "issuer_unavailable",
            "processing_error" => "processor_error",
            _ => return None,
        })
    };
    let declined = || (code == Some("card_declined") || reason.is_some()).then_some("card_declined");
    reason.and_then(known).or_else(|| code.and_then(known)).or_else(declined).unwrap_or("other")
}

/// The refund block of a refund.
pub(crate) fn refund(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Refund {
    let status = match object.text("status").as_deref() {
        _ if kind == "refund.failed" => "failed",
        Some("succeeded") => "succeeded",
        Some("failed" | "canceled") => "failed",
        Some("pending" | "requires_action") => "pending",
        Some(status) => {
            notes.unknown("status", status);
            "pending"
        }
        None if kind == "refund.succeeded" => "succeeded",
        None => "pending",
    };
    let provider_reason = object.text("failure_reason").or_else(|| object.text("reason"));
    let reason = object.text("reason").map(|reason| match reason.as_str() {
        "duplicate" => "duplicate",
        "fraudulent" => "fraudulent",
        "requested_by_customer" => "customer_request",
        _ => "other",
    });
    Refund {
        id: object.text("id"),
        payment_id: id_of(object, "payment_intent").or_else(|| id_of(object, "charge")),
        amount: amount(notes, object, "amount", None),
        status: Some(status.to_owned()),
        reason: reason.map(str::to_owned),
        provider_reason,
    }
}

/// The newest refund of a charge: versions before 2022-11-15 list them, newest first.
pub(crate) fn refund_in_charge<'a>(object: &Fields<'a>) -> Option<Fields<'a>> {
    object.pointer("/refunds/data/0").and_then(Json::fields)
}

/// The refund block of a charge that does not list its refunds: what was given back since `previous`.
pub(crate) fn refund_of_charge(object: &Fields<'_>, previous: &Fields<'_>, notes: &mut Notes) -> Refund {
    let before = previous.whole::<i64>("amount_refunded");
    let since = |total: Money| {
        let amount_minor = total.amount_minor.checked_sub(before?)?;
        Some(Money { amount_minor, original: amount_minor.to_string(), ..total })
    };
    Refund {
        payment_id: id_of(object, "payment_intent").or_else(|| object.text("id")),
        amount: amount(notes, object, "amount_refunded", None).and_then(since),
        status: Some("pending".to_owned()),
        ..Refund::default()
    }
}

/// The dispute block.
pub(crate) fn dispute(object: &Fields<'_>, notes: &mut Notes) -> Dispute {
    let provider_status = object.text("status").unwrap_or_default();
    let status = match provider_status.as_str() {
        "needs_response" | "warning_needs_response" => Some("open"),
        "under_review" | "warning_under_review" => Some("under_review"),
        "won" => Some("won"),
        "lost" => Some("lost"),
        "warning_closed" | "charge_refunded" | "prevented" => Some("closed"),
        "" => None,
        other => {
            notes.unknown("status", other);
            None
        }
    };
    let case = object.text_at("/payment_method_details/card/case_type");
    let is_inquiry = case.as_deref() == Some("inquiry") || provider_status.starts_with("warning_");
    Dispute {
        id: object.text("id"),
        payment_id: id_of(object, "payment_intent").or_else(|| id_of(object, "charge")),
        amount: amount(notes, object, "amount", None),
        stage: Some(if is_inquiry { "inquiry" } else { "chargeback" }.to_owned()),
        status: status.map(str::to_owned),
        // Stripe's words are the canonical ones.
        reason: object.text("reason"),
        provider_reason: object.text("reason"),
        due_at: object.fields("evidence_details").and_then(|evidence| evidence.time("due_by")),
        initiator: Some("payer".to_owned()),
    }
}

/// The credit note block.
pub(crate) fn credit_note(object: &Fields<'_>, notes: &mut Notes) -> CreditNote {
    // Both were lists of one before.
    let is_refund = object.get("refund").is_some()
        || object.get("refunds").and_then(Json::count).is_some_and(|count| count > 0);
    CreditNote {
        id: object.text("id"),
        number: object.text("number"),
        invoice_id: id_of(object, "invoice"),
        amount: amount(notes, object, "total", None).or_else(|| amount(notes, object, "amount", None)),
        kind: Some(if is_refund { "refund" } else { "adjustment" }.to_owned()),
        reason: object.text("reason"),
    }
}

/// The block of a payment method, or of a card from before there were any.
pub(crate) fn payment_method(object: &Fields<'_>) -> PaymentMethod {
    let kind = object.text("type").or_else(|| object.text("object"));
    let details = kind.as_deref().and_then(|kind| object.fields(kind));
    let details = details.as_ref().unwrap_or(object);
    PaymentMethod {
        id: object.text("id"),
        kind: kind.map(|kind| method_of(&kind).to_owned()),
        brand: details.text("brand"),
        last4: details.text("last4"),
        expires_month: details.whole("exp_month"),
        expires_year: details.whole("exp_year"),
    }
}

/// The block of a checkout session.
pub(crate) fn checkout(object: &Fields<'_>, notes: &mut Notes) -> Object {
    Object {
        kind: object.text("mode"),
        status: object.text("status"),
        amount: amount(notes, object, "amount_total", None),
        url: object.text("url"),
        expected_at: object.time("expires_at"),
        message: object.text("payment_status"),
        ..named(object)
    }
}

/// The payment block of a checkout session whose payment was waited for.
pub(crate) fn payment_of_checkout(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Payment {
    Payment {
        id: id_of(object, "payment_intent"),
        status: status_of(kind).map(str::to_owned),
        direction: inbound(),
        amount: amount(notes, object, "amount_total", None),
        ..Payment::default()
    }
}

/// The block of a payout.
pub(crate) fn payout(object: &Fields<'_>, notes: &mut Notes) -> Object {
    Object {
        kind: object.text("type"),
        amount: amount(notes, object, "amount", None),
        expected_at: object.time("arrival_date"),
        method: object.text("method"),
        message: object.text("failure_message").or_else(|| object.text("failure_code")),
        ..named(object)
    }
}

/// The block of a product, or of one of its prices.
pub(crate) fn product(object: &Fields<'_>, about: &str, notes: &mut Notes) -> Object {
    let active = object.flag("active").map(|active| if active { "active" } else { "inactive" }.to_owned());
    Object {
        name: object.text("name").or_else(|| object.text("nickname")),
        kind: Some(about.to_owned()),
        status: active,
        scope: id_of(object, "product"),
        amount: amount(notes, object, "unit_amount", None),
        ..named(object)
    }
}

/// The block of the entitlements that a customer has.
pub(crate) fn entitlement(object: &Fields<'_>) -> Object {
    let features = object.pointer("/entitlements/data").and_then(Json::items).unwrap_or_default();
    let count = object.text_at("/entitlements/total_count").or_else(|| Some(features.len().to_string()));
    Object { kind: Some("active_entitlement_summary".to_owned()), quantity: count, ..Object::default() }
}

/// The block of a usage alert.
pub(crate) fn usage(object: &Fields<'_>) -> Object {
    let alert = object.fields("alert").unwrap_or_default();
    Object {
        id: alert.text("id"),
        name: alert.text("title"),
        kind: alert.text("alert_type"),
        status: alert.text("status"),
        quantity: object.number("value").map(|number| number.to_string()),
        ..Object::default()
    }
}

fn named(object: &Fields<'_>) -> Object {
    Object {
        id: object.text("id"),
        name: object.text("name"),
        status: object.text("status"),
        ..Object::default()
    }
}
