//! Invoices, payments, refunds and credit notes.

use billhook_plugin::model::{CreditNote, Failure, Invoice, Payment, Refund};
use billhook_plugin::{Fields, Notes};

/// Flexprice's payment status, of a payment and of an invoice alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paid {
    /// `INITIATED`
    Initiated,
    /// `PENDING` or `PROCESSING`
    Pending,
    /// `SUCCEEDED` or `OVERPAID`
    Succeeded,
    /// `FAILED`
    Failed,
    /// `REFUNDED`
    Refunded,
    /// `PARTIALLY_REFUNDED`
    PartiallyRefunded,
    /// `VOIDED`
    Voided,
}

/// The payment status of an object, if it is a known one.
pub(crate) fn paid(object: &Fields<'_>) -> Option<Paid> {
    Some(match object.text("payment_status")?.to_ascii_uppercase().as_str() {
        "INITIATED" => Paid::Initiated,
        "PENDING" | "PROCESSING" => Paid::Pending,
        "SUCCEEDED" | "OVERPAID" => Paid::Succeeded,
        "FAILED" => Paid::Failed,
        "REFUNDED" => Paid::Refunded,
        "PARTIALLY_REFUNDED" => Paid::PartiallyRefunded,
        "VOIDED" => Paid::Voided,
        _ => return None,
    })
}

/// The invoice block. `kind` and `name` stand in for what the object does not say.
pub(crate) fn invoice(
    object: &Fields<'_>,
    kind: &str,
    name: &str,
    currency: Option<&str>,
    notes: &mut Notes,
) -> Invoice {
    Invoice {
        id: object.text("id"),
        number: object.text("invoice_number").or_else(|| object.text("number")),
        status: status(object, kind, notes).map(str::to_owned),
        billing_reason: billing_reason(object, name, notes),
        total: notes.major(object, "total", currency),
        subtotal: notes.major(object, "subtotal", currency),
        tax: notes.major(object, "total_tax", currency).or_else(|| notes.major(object, "tax", currency)),
        amount_due: notes.major(object, "amount_due", currency),
        amount_paid: notes.major(object, "amount_paid", currency),
        amount_remaining: notes.major(object, "amount_remaining", currency),
        due_at: object.time("due_date"),
        period_start: object.time("period_start"),
        period_end: object.time("period_end"),
        finalized_at: object.time("finalized_at"),
        paid_at: object.time("paid_at"),
        url: ["hosted_invoice_url", "invoice_pdf_url", "file_url"]
            .iter()
            .find_map(|field| object.text(field)),
    }
}

fn status(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Option<&'static str> {
    if kind == "invoice.overdue" {
        return Some("overdue");
    }
    // `status` is the state of Flexprice's row (`published`) in the cloud and that of the invoice in the older format.
    let word =
        object.text("invoice_status").or_else(|| object.text("status").filter(|word| !is_row_status(word)));
    let settled = match paid(object) {
        Some(Paid::Succeeded) => true,
        // What was given back was paid before.
        Some(Paid::Refunded | Paid::PartiallyRefunded) => !is_owed(object),
        _ => false,
    };
    match word.map(|word| (word.to_ascii_uppercase(), word)) {
        Some((upper, word)) => match upper.as_str() {
            "DRAFT" => Some("draft"),
            "FINALIZED" if settled => Some("paid"),
            "FINALIZED" => Some("open"),
            // Skipped: nothing was to be billed, so it never became due.
            "VOIDED" | "SKIPPED" => Some("void"),
            _ => {
                notes.unknown("invoice_status", &word);
                Some("unknown")
            }
        },
        None => match kind {
            "invoice.created" => Some("draft"),
            "invoice.finalized" | "payment.failed" => Some("open"),
            "invoice.paid" => Some("paid"),
            "invoice.voided" => Some("void"),
            _ => None,
        },
    }
}

/// Whether something is left to pay.
fn is_owed(object: &Fields<'_>) -> bool {
    object.number("amount_remaining").is_some_and(|left| !left.decimal().is_zero())
}

fn is_row_status(word: &str) -> bool {
    ["published", "archived", "deleted"].iter().any(|status| word.eq_ignore_ascii_case(status))
}

fn billing_reason(object: &Fields<'_>, name: &str, notes: &mut Notes) -> Option<String> {
    const KNOWN: &[&str] = &[
        "subscription_create",
        "subscription_cycle",
        "subscription_update",
        "trial",
        "threshold",
        "one_off",
        "manual",
        "proration",
        "wallet_topup",
    ];
    if name == "invoice.one_off_created" {
        return Some("one_off".to_owned());
    }
    let reason = object.text("billing_reason")?.to_lowercase();
    if KNOWN.contains(&reason.as_str()) {
        return Some(reason);
    }
    let near = match reason.as_str() {
        "subscription_trial_end" | "subscription_trial" => "trial",
        "subscription_threshold" | "usage_threshold" => "threshold",
        "credit_topup" | "wallet_top_up" => "wallet_topup",
        _ => {
            notes.unknown("billing_reason", &reason);
            "other"
        }
    };
    Some(near.to_owned())
}

/// The payment block of a payment.
pub(crate) fn payment(object: &Fields<'_>, kind: &str, currency: Option<&str>, notes: &mut Notes) -> Payment {
    let status = match paid(object) {
        Some(Paid::Initiated) => Some("created"),
        Some(Paid::Pending) => Some("pending"),
        Some(Paid::Succeeded) => Some("succeeded"),
        Some(Paid::Failed) => Some("failed"),
        Some(Paid::Refunded) => Some("refunded"),
        Some(Paid::PartiallyRefunded) => Some("partially_refunded"),
        Some(Paid::Voided) => Some("canceled"),
        None => {
            if let Some(word) = object.text("payment_status") {
                notes.unknown("payment_status", &word);
            }
            match kind {
                "payment.created" => Some("created"),
                "payment.pending" => Some("pending"),
                "payment.succeeded" => Some("succeeded"),
                "payment.failed" => Some("failed"),
                _ => None,
            }
        }
    };
    Payment {
        id: object.text("id"),
        status: status.map(str::to_owned),
        direction: Some("inbound".to_owned()),
        amount: notes.major(object, "amount", currency),
        fee: None,
        method: object.text("payment_method_type").map(|method| method_of(&method).to_owned()),
        card_brand: None,
        card_last4: None,
        attempt_count: object.whole("attempt_count"),
        next_attempt_at: None,
        failure: (status == Some("failed")).then(|| failure(object)),
    }
}

/// The payment block of an invoice whose payment failed: Flexprice does not tell which payment it was.
pub(crate) fn failed_payment(invoice: &Fields<'_>, currency: Option<&str>, notes: &mut Notes) -> Payment {
    let amount = notes.major(invoice, "amount_remaining", currency);
    Payment {
        status: Some("failed".to_owned()),
        direction: Some("inbound".to_owned()),
        amount: amount.or_else(|| notes.major(invoice, "amount_due", currency)),
        failure: Some(failure(invoice)),
        ..Payment::default()
    }
}

fn method_of(method: &str) -> &'static str {
    match method.to_ascii_uppercase().as_str() {
        "CARD" => "card",
        "ACH" | "SEPA" | "DIRECT_DEBIT" => "bank_debit",
        "BANK_TRANSFER" => "bank_transfer",
        "CREDITS" | "WALLET" => "wallet",
        "PAYPAL" => "paypal",
        "UPI" => "upi",
        "CASH" => "cash",
        "OFFLINE" => "out_of_band",
        _ => "other",
    }
}

fn failure(object: &Fields<'_>) -> Failure {
    let provider_code = object.text("error_code").or_else(|| object.text("failure_code"));
    let code = match provider_code.as_deref().unwrap_or_default() {
        "card_declined" | "generic_decline" | "do_not_honor" => "card_declined",
        "insufficient_funds" => "insufficient_funds",
        "expired_card" => "expired_card",
        "authentication_required" => "authentication_required",
        "lost_card" | "stolen_card" => "blocked_card",
        "fraudulent" => "fraud_suspected",
        "issuer_not_available" => "issuer_unavailable",
        "processing_error" => "processor_error",
        _ => "other",
    };
    let message = object.text("error_message").or_else(|| object.text("failure_reason"));
    Failure { code: Some(code.to_owned()), provider_code, provider_reason: None, message }
}

/// The refund block of a payment that was given back. In part: no amount, since `refunded_amount` is that of all refunds so
/// far.
pub(crate) fn refund_of_payment(payment: &Fields<'_>, currency: Option<&str>, notes: &mut Notes) -> Refund {
    let is_whole = paid(payment) == Some(Paid::Refunded);
    Refund {
        id: None,
        payment_id: payment.text("id"),
        amount: if is_whole { notes.major(payment, "amount", currency) } else { None },
        status: Some("succeeded".to_owned()),
        reason: None,
        provider_reason: payment.text("refund_reason"),
    }
}

/// Whether a credit note gives money back (and does not only lower what is owed).
pub(crate) fn is_refund(credit_note: &Fields<'_>) -> bool {
    credit_note.text("credit_note_type").is_some_and(|kind| kind.eq_ignore_ascii_case("REFUND"))
}

/// Whether a credit note is in the state `status`.
pub(crate) fn has_status(credit_note: &Fields<'_>, status: &str) -> bool {
    credit_note.text("credit_note_status").is_some_and(|word| word.eq_ignore_ascii_case(status))
}

/// The refund block of a credit note.
pub(crate) fn refund_of_credit_note(
    object: &Fields<'_>,
    kind: &str,
    currency: Option<&str>,
    notes: &mut Notes,
) -> Refund {
    let status = match object.text("credit_note_status").unwrap_or_default().to_ascii_uppercase().as_str() {
        _ if kind == "refund.failed" => "failed",
        "FINALIZED" => "succeeded",
        "VOIDED" => "reversed",
        _ => "pending",
    };
    let provider_reason = object.text("reason");
    let reason = provider_reason.as_deref().map(|reason| match reason.to_ascii_uppercase().as_str() {
        "DUPLICATE" => "duplicate",
        "FRAUDULENT" => "fraudulent",
        "ORDER_CHANGE" | "SUBSCRIPTION_CANCELLATION" => "customer_request",
        "UNSATISFACTORY" => "satisfaction_guarantee",
        "SERVICE_ISSUE" => "service_disruption",
        _ => "other",
    });
    Refund {
        id: object.text("id"),
        payment_id: object.text("payment_id"),
        amount: notes.major(object, "total_amount", currency),
        status: Some(status.to_owned()),
        reason: reason.map(str::to_owned),
        provider_reason,
    }
}

/// The credit note block.
pub(crate) fn credit_note(object: &Fields<'_>, currency: Option<&str>, notes: &mut Notes) -> CreditNote {
    let kind = object.text("credit_note_type").map(|kind| kind.to_lowercase());
    if let Some(kind) = kind.as_deref().filter(|kind| !["adjustment", "refund"].contains(kind)) {
        notes.unknown("credit_note_type", kind);
    }
    CreditNote {
        id: object.text("id"),
        number: object.text("credit_note_number").or_else(|| object.text("number")),
        invoice_id: object.text("invoice_id"),
        amount: notes.major(object, "total_amount", currency),
        kind: kind.filter(|kind| ["adjustment", "refund"].contains(&kind.as_str())),
        reason: object.text("reason").map(|reason| reason.to_lowercase()),
    }
}
