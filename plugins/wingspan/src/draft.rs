//! Puts a draft together.

use crate::billing;
use crate::catalogue::{About, Entry, Side};
use crate::envelope::Envelope;
use billhook_plugin::model::{Customer, Dispute, Invoice, Object, Payment, Refund};
use billhook_plugin::{Draft, Fields, Money, Notes, Time};

/// The draft of a body.
pub(crate) fn draft(envelope: &Envelope<'_>) -> Draft {
    let object = &envelope.object;
    let mut draft = Draft {
        kind: envelope.entry.map_or("provider.unmapped", |entry| entry.kind).to_owned(),
        provider_event_type: envelope.name.clone(),
        provider_event_id: envelope.id.clone(),
        thin: envelope.is_thin(),
        ..Draft::default()
    };
    let mut notes = envelope.notes.clone();
    // Who pays is the customer of whoever sent the invoice; of a payable it is the operator.
    let is_payable = envelope.side == Some(Side::Payable);
    if !is_payable {
        draft.customer = object.text("clientId").map(|id| Customer { id: Some(id), ..Customer::default() });
    }
    draft.payee = object.text("memberId").map(with_id);
    // Ids for which an event has no other place: the invoice has one, and of a payable nobody is the customer.
    let is_beside = |name: &str| match name {
        "clientId" => is_payable,
        "payableId" => object.text("invoiceId").is_some(),
        _ => true,
    };
    for name in ["memberClientId", "clientId", "payableId"].into_iter().filter(|name| is_beside(name)) {
        draft.metadata.extend(object.text(name).map(|id| (name.to_owned(), id)));
    }

    let is_of_invoice = envelope.entry.is_some_and(Entry::is_of_invoice);
    let amount = notes.major(object, "amount", object.text("currency").as_deref());
    let id = object.text("invoiceId").or_else(|| object.text("payableId"));
    let id = id.or_else(|| if is_of_invoice { envelope.resource.clone() } else { None });
    if is_of_invoice || id.is_some() {
        let block = invoice(envelope, &draft.kind, id.clone(), amount.clone(), &mut notes);
        draft.invoice = Some(block).filter(|block| *block != Invoice::default()).map(Box::new);
    }
    if let Some(entry) = envelope.entry {
        let at = envelope.at(entry);
        // An estimate is about the future, and when it was made is not told.
        draft.occurred_at = at.filter(|_| entry.kind != "payout.estimated");
        draft.semantic_key = id.and_then(|id| semantic_key(entry, &id, at));
        fill(&mut draft, envelope, entry, amount, &mut notes);
    }
    draft.warnings = notes.into_warnings();
    draft
}

/// Fills the blocks of an event's row.
fn fill(draft: &mut Draft, envelope: &Envelope<'_>, entry: &Entry, amount: Option<Money>, notes: &mut Notes) {
    let payment = |status: &str| Payment {
        status: text(status),
        direction: envelope.side.map(|side| direction(side).to_owned()),
        amount: amount.clone(),
        ..Payment::default()
    };
    match entry.about {
        About::Invoice => {}
        About::Told(way) => {
            draft.notification = Some(Box::new(Object {
                kind: text("invoice"),
                method: text(way),
                status: text("sent"),
                ..Object::default()
            }));
        }
        About::Payment("failed") => {
            let failed = Payment { attempt_count: envelope.count(entry), ..payment("failed") };
            draft.payment = Some(Box::new(billing::failed(&envelope.object, failed, notes)));
        }
        About::Payment(status) => draft.payment = Some(Box::new(payment(status))),
        About::SettledElsewhere => {
            draft.payment = Some(Box::new(Payment { method: text("out_of_band"), ..payment("succeeded") }));
        }
        About::Refund => {
            let amount = billing::refunded(&envelope.object, notes);
            draft.refund = Some(Box::new(Refund { status: text("succeeded"), amount, ..Refund::default() }));
        }
        About::Payout { status, instant } => {
            let is_ahead = matches!(status, "estimated" | "started");
            let expected = || envelope.events.time("estimatedDepositAt");
            draft.payout = Some(Box::new(Object {
                status: text(status),
                method: if instant { text("instant") } else { None },
                expected_at: if is_ahead { expected() } else { None },
                ..Object::default()
            }));
        }
        About::Dispute { status, initiator, outcome } => {
            draft.dispute = Some(Box::new(Dispute {
                status: text(status),
                initiator: text(initiator),
                reason: text(outcome),
                ..Dispute::default()
            }));
        }
        About::Email(status) => {
            draft.notification = Some(Box::new(Object {
                kind: text("invoice"),
                method: text("email"),
                status: text(status),
                ..Object::default()
            }));
        }
        About::Message { template, days, to } => {
            draft.notification = Some(Box::new(Object {
                kind: text(template),
                quantity: text(days),
                scope: text(to),
                status: text("sent"),
                ..Object::default()
            }));
        }
        About::Document(party) => {
            let object = &envelope.object;
            let id = object.text("documentId").or_else(|| object.text("id"));
            draft.document = Some(Box::new(Object {
                id: id.or_else(|| envelope.resource.clone()),
                name: object.text("title").or_else(|| object.text("name")),
                status: object.text("status"),
                scope: text(party),
                ..Object::default()
            }));
        }
        About::Payee(status) => {
            let payee = draft.payee.take().unwrap_or_default();
            let id = payee.id.or_else(|| envelope.resource.clone());
            draft.payee = Some(Box::new(Object { id, status: text(status), ..Object::default() }));
        }
    }
}

fn invoice(
    envelope: &Envelope<'_>,
    kind: &str,
    id: Option<String>,
    total: Option<Money>,
    notes: &mut Notes,
) -> Invoice {
    let object = &envelope.object;
    let at = |field: &str| envelope.events.time(field);
    Invoice {
        id,
        number: object.text("invoiceNumber"),
        status: status(object, kind, notes).map(str::to_owned),
        total,
        due_at: object.time("dueDate"),
        finalized_at: at("openedAt"),
        paid_at: at("paidAt").or_else(|| at("markedPaidAt")),
        ..Invoice::default()
    }
}

/// Wingspan's state of an invoice in canonical words, else what the event says of it.
fn status(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Option<&'static str> {
    let Some(word) = object.text("status") else {
        return match kind {
            "invoice.finalized" => Some("open"),
            "invoice.paid" => Some("paid"),
            "invoice.voided" => Some("void"),
            _ => None,
        };
    };
    Some(match word.as_str() {
        "Draft" => "draft",
        "Open" | "Pending" | "PaymentInTransit" => "open",
        "Overdue" => "overdue",
        "Paid" => "paid",
        "Cancelled" => "void",
        // Of whatever was paid or not before.
        "Disputed" => "unknown",
        _ => {
            notes.unknown("status", &word);
            "unknown"
        }
    })
}

/// The same for both sides of an invoice, which tell the same fact. `None` where the fact may repeat and the time
/// that would tell one from the next is missing.
fn semantic_key(entry: &Entry, id: &str, at: Option<Time>) -> Option<String> {
    let key = format!("{}:{id}:{}", entry.kind, entry.name);
    if entry.happens_once() { Some(key) } else { at.map(|at| format!("{key}:{at}")) }
}

fn direction(side: Side) -> &'static str {
    match side {
        Side::Invoice => "inbound",
        Side::Payable => "outbound",
    }
}

fn with_id(id: String) -> Box<Object> {
    Box::new(Object { id: Some(id), ..Object::default() })
}

/// A word of the catalogue, where an empty one is none.
fn text(word: &str) -> Option<String> {
    (!word.is_empty()).then(|| word.to_owned())
}
