//! Invoices, transactions, credit notes and payment sources.

use crate::money;
use billhook_plugin::model::{CreditNote, Dispute, Failure, Invoice, Payment, PaymentMethod, Refund};
use billhook_plugin::{Fields, Json, Money, Notes, Time};

/// How many lines of an invoice are looked at for its period.
const LINES_MAX: usize = 100;

/// An amount in the currency of its object.
fn amount(object: &Fields<'_>, field: &str, notes: &mut Notes) -> Option<Money> {
    money::amount(notes, object, field, object.text("currency_code").as_deref())
}

/// The invoice block. What the invoice was made for only the event tells that makes it.
pub(crate) fn invoice(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Invoice {
    let status = object.text("status").map(|status| match status.as_str() {
        "pending" => "draft",
        "posted" | "payment_due" => "open",
        "paid" => "paid",
        "voided" => "void",
        // Dunning is over.
        "not_paid" => "uncollectible",
        _ => {
            notes.unknown("status", &status);
            "unknown"
        }
    });
    let billing_reason = match (object.flag("recurring"), object.flag("first_invoice")) {
        (Some(true), Some(true)) => Some("subscription_create"),
        (Some(true), _) => match kind {
            "subscription.renewed" => Some("subscription_cycle"),
            "subscription.updated" => Some("subscription_update"),
            _ => None,
        },
        (Some(false), _) => Some("one_off"),
        (None, _) => None,
    };
    let (period_start, period_end) = period(object).unzip();
    // Chargebee's amount due is what is left.
    let left = amount(object, "amount_due", notes);
    let paid = amount(object, "amount_paid", notes);
    let is_final = status.is_some_and(|status| status != "draft");
    Invoice {
        id: object.text("id"),
        number: object.text("id"),
        status: status.map(str::to_owned),
        billing_reason: billing_reason.map(str::to_owned),
        total: amount(object, "total", notes),
        subtotal: amount(object, "sub_total", notes),
        tax: amount(object, "tax", notes),
        amount_due: due(left.as_ref(), paid.as_ref()),
        amount_paid: paid,
        amount_remaining: left,
        due_at: object.time("due_date"),
        period_start,
        period_end,
        finalized_at: object.time("date").filter(|_| is_final),
        paid_at: object.time("paid_at"),
        url: None,
    }
}

/// What was to be paid: what is left, and what was paid of it.
fn due(left: Option<&Money>, paid: Option<&Money>) -> Option<Money> {
    let left = left?;
    let amount_minor = left.amount_minor.checked_add(paid.map_or(0, |paid| paid.amount_minor))?;
    Some(Money { amount_minor, original: amount_minor.to_string(), ..left.clone() })
}

/// The period that an invoice bills: that of its first line for a plan or an addon. What is paid once, such as a setup, ends
/// as it starts.
fn period(invoice: &Fields<'_>) -> Option<(Time, Time)> {
    let lines = invoice.get("line_items").and_then(Json::items)?;
    lines.into_iter().take(LINES_MAX).filter_map(Json::fields).find_map(|line| {
        let (from, to) = (line.time("date_from")?, line.time("date_to")?);
        let is_charge = || matches!(line.text("entity_type").as_deref(), Some("adhoc" | "charge_item_price"));
        (from < to && !is_charge()).then_some((from, to))
    })
}

/// How often the payment of an invoice was tried: Chargebee lists the attempts, and before dunning all payments.
fn attempts(invoice: &Fields<'_>) -> Option<u32> {
    let count = |list: &str| invoice.get(list).and_then(Json::count).filter(|count| *count > 0);
    count("dunning_attempts").or_else(|| count("linked_payments"))
}

/// The payment block of a transaction, with what its invoice tells of the attempts.
pub(crate) fn payment(
    object: &Fields<'_>,
    invoice: Option<&Fields<'_>>,
    kind: &str,
    notes: &mut Notes,
) -> Payment {
    let status = match kind {
        "payment.created" => Some("created"),
        "payment.succeeded" => Some("succeeded"),
        "payment.failed" => Some("failed"),
        _ => None,
    };
    let failure = || {
        let (code, text) = (object.text("error_code"), object.text("error_text"));
        Failure {
            code: Some(failure_code(text.as_deref().unwrap_or_default()).to_owned()),
            provider_code: code,
            provider_reason: None,
            message: text,
        }
    };
    let number = object.text("masked_card_number").unwrap_or_default();
    Payment {
        id: object.text("id"),
        status: status.map(str::to_owned),
        direction: Some("inbound".to_owned()),
        amount: amount(object, "amount", notes),
        method: object.text("payment_method").map(|method| method_of(&method).to_owned()),
        card_last4: last_digits(&number),
        attempt_count: invoice.and_then(attempts),
        next_attempt_at: invoice.and_then(|invoice| invoice.time("next_retry_at")),
        failure: (status == Some("failed")).then(failure),
        ..Payment::default()
    }
}

/// The last four of a masked number.
fn last_digits(masked: &str) -> Option<String> {
    let last = masked.get(masked.len().checked_sub(4)?..)?;
    last.bytes().all(|byte| byte.is_ascii_digit()).then(|| last.to_owned())
}

/// The canonical code of a failure, by its words: the codes are those of whichever gateway the site uses.
fn failure_code(text: &str) -> &'static str {
    /// What tells a cause; of several the first counts.
    const WORDS: &[(&str, &[&str])] = &[
        ("insufficient_funds", &["insufficient", "not sufficient", "not enough"]),
        ("expired_card", &["expired"]),
        ("fraud_suspected", &["fraud"]),
        (
            "blocked_card",
            &["lost card", "stolen card", "lost or stolen", "pick up", "pickup", "blocked", "restricted"],
        ),
        ("authentication_required", &["authentication", "3d secure", "3ds"]),
        ("payment_method_missing", &["no card", "no payment method", "not found"]),
        ("issuer_unavailable", &["issuer unavailable", "issuer not available", "issuer or switch"]),
        ("processor_error", &["processing error", "timeout", "timed out"]),
        (
            "invalid_payment_details",
            &["cvv", "cvc", "invalid card", "invalid credit card", "invalid account"],
        ),
        ("card_declined", &["declined", "do not honor", "not permitted", "not allowed"]),
        // Words that refusals with a cause have too.
        ("processor_error", &["processor", "gateway"]),
        ("invalid_payment_details", &["invalid", "incorrect", "mismatch"]),
    ];
    let text = text.to_lowercase();
    let known = WORDS.iter().find(|(_, words)| words.iter().any(|word| text.contains(word)));
    known.map_or("other", |(code, _)| code)
}

fn method_of(method: &str) -> &'static str {
    match method {
        "card" => "card",
        "cash" | "check" => "cash",
        "direct_debit" | "netbanking_emandates" | "automated_bank_transfer" => "bank_debit",
        "bank_transfer" | "ach_credit" | "sepa_credit" | "ideal" | "sofort" | "bancontact" | "giropay"
        | "dotpay" | "pay_to" | "faster_payments" | "swish" | "trustly" | "twint" => "bank_transfer",
        "amazon_payments" | "alipay" | "apple_pay" | "google_pay" | "wechat_pay" | "grab_pay"
        | "cash_app_pay" | "revolut_pay" => "wallet",
        "paypal_express_checkout" => "paypal",
        "upi" => "upi",
        "app_store" | "play_store" => "app_store",
        _ => "other",
    }
}

/// The refund block of a transaction that gives money back, for the reason of its credit note.
pub(crate) fn refund(
    object: &Fields<'_>,
    credit_note: Option<&Fields<'_>>,
    kind: &str,
    notes: &mut Notes,
) -> Refund {
    let provider_reason = credit_note.and_then(|note| note.text("reason_code"));
    let reason = provider_reason.as_deref().map(|reason| match reason {
        "fraudulent" => "fraudulent",
        "product_unsatisfactory" => "satisfaction_guarantee",
        "service_unsatisfactory" => "service_disruption",
        "order_change"
        | "order_cancellation"
        | "subscription_change"
        | "subscription_cancellation"
        | "subscription_pause" => "customer_request",
        _ => "other",
    });
    let status = if kind == "refund.succeeded" { "succeeded" } else { "pending" };
    Refund {
        id: object.text("id"),
        payment_id: object.text("refunded_txn_id"),
        amount: amount(object, "amount", notes),
        status: Some(status.to_owned()),
        reason: reason.map(str::to_owned),
        provider_reason,
    }
}

/// The dispute block of a transaction that a chargeback is recorded as. How it goes on is not told.
pub(crate) fn dispute(object: &Fields<'_>, credit_note: Option<&Fields<'_>>, notes: &mut Notes) -> Dispute {
    Dispute {
        id: object.text("id"),
        payment_id: object.text("refunded_txn_id"),
        amount: amount(object, "amount", notes),
        stage: Some("chargeback".to_owned()),
        status: Some("open".to_owned()),
        provider_reason: credit_note.and_then(|note| note.text("reason_code")),
        initiator: Some("payer".to_owned()),
        ..Dispute::default()
    }
}

/// The credit note block.
pub(crate) fn credit_note(object: &Fields<'_>, notes: &mut Notes) -> CreditNote {
    let kind = object.text("type").and_then(|kind| match kind.as_str() {
        "adjustment" => Some("adjustment"),
        "refundable" => Some("refund"),
        _ => None,
    });
    CreditNote {
        id: object.text("id"),
        number: object.text("id"),
        invoice_id: object.text("reference_invoice_id"),
        amount: amount(object, "total", notes),
        kind: kind.map(str::to_owned),
        reason: object.text("reason_code").map(|reason| reason.to_lowercase()),
    }
}

/// The block of a payment source, of a card, or of what a customer tells of theirs.
pub(crate) fn payment_method(
    source: Option<&Fields<'_>>,
    card: Option<&Fields<'_>>,
    customer: Option<&Fields<'_>>,
) -> PaymentMethod {
    let nested = source.and_then(|source| source.fields("card"));
    let of_customer = customer.and_then(|customer| customer.fields("payment_method"));
    let card = nested.as_ref().or(card);
    let kind = source.and_then(|source| source.text("type"));
    let kind = kind.or_else(|| card.map(|_| "card".to_owned())).or_else(|| of_customer?.text("type"));
    let of_card = |fields: [&str; 2]| card.and_then(|card| fields.iter().find_map(|field| card.text(field)));
    PaymentMethod {
        id: source
            .and_then(|source| source.text("id"))
            .or_else(|| card?.text("payment_source_id"))
            .or_else(|| customer?.text("primary_payment_source_id")),
        kind: kind.map(|kind| method_of(&kind).to_owned()),
        brand: of_card(["brand", "card_type"]),
        last4: card.and_then(|card| card.text("last4")),
        expires_month: card.and_then(|card| card.whole("expiry_month")),
        expires_year: card.and_then(|card| card.whole("expiry_year")),
    }
}
