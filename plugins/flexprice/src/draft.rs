//! Puts a draft together.

use crate::billing::{self, has_status, is_refund};
use crate::catalogue::CATALOGUE;
use crate::envelope::Envelope;
use crate::{classify, extension, subscription};
use billhook_plugin::model::{Customer, Draft, Invoice, Phase, Subscription, kind};
use billhook_plugin::{Fields, Notes, Time};

/// How the ids of Flexprice begin, by the block of the draft.
const PREFIXES: &[(&str, &[&str])] = &[
    ("subscription", &["subs_", "sub_"]),
    ("customer", &["cust_"]),
    ("invoice", &["inv_"]),
    ("payment", &["pay_"]),
    ("credit_note", &["cn_"]),
    // What gives money back is a credit note.
    ("refund", &["cn_"]),
    ("wallet", &["wallet_"]),
];

/// When the request was signed, for bodies that bear no time.
type SentAt<'a> = &'a dyn Fn() -> Option<Time>;

/// The drafts of a body: one, and a trial beside a subscription that begins with it, or a refund beside a credit note that
/// gives money back or has given it back.
pub(crate) fn drafts(envelope: &Envelope<'_>, sent_at: SentAt<'_>) -> Vec<Draft> {
    let kind = classify::kind(envelope);
    let mut drafts = vec![draft(envelope, kind, sent_at)];
    let is_trial = || envelope.object("subscription").is_some_and(subscription::is_trialing);
    let refund = || envelope.object("credit_note").filter(|note| is_refund(note));
    let another = match kind {
        // No event of its own follows.
        "subscription.created" if is_trial() => Some("subscription.trial_started"),
        "credit_note.created" => refund().map(|_| "refund.created"),
        "credit_note.updated" => {
            refund().filter(|note| has_status(note, "FINALIZED")).map(|_| "refund.succeeded")
        }
        _ => None,
    };
    drafts.extend(another.map(|kind| draft(envelope, kind, sent_at)));
    drafts
}

fn draft(envelope: &Envelope<'_>, kind: &'static str, sent_at: SentAt<'_>) -> Draft {
    let mut notes = Notes::default();
    if envelope.body.fields("data").is_some_and(|data| data.fields("object").is_none()) {
        notes.add("`data` has no `object`, where what the event is about is looked for".to_owned());
    }
    let none = Fields::default();
    let (key, main) = envelope.main().unwrap_or(("", &none));
    let name = envelope.name.as_deref().unwrap_or_default();
    let currency = envelope.text("currency");
    let currency = currency.as_deref();
    let mut draft = Draft {
        kind: kind.to_owned(),
        provider_event_type: match &envelope.name {
            Some(name) => name.clone(),
            None => {
                notes.add("the body names no event: its type was taken from the object".to_owned());
                if key.is_empty() { "unnamed".to_owned() } else { key.to_owned() }
            }
        },
        occurred_at: occurred_at(envelope, kind, key, main).or_else(sent_at),
        metadata: main.fields("metadata").map(|metadata| metadata.to_metadata()).unwrap_or_default(),
        ..Draft::default()
    };

    match (envelope.object("subscription"), envelope.text("subscription_id")) {
        (Some(object), _) => {
            let mut block = subscription::subscription(object, kind, &mut notes);
            block.tenure_days = block.days_since_start(draft.occurred_at);
            draft.subscription = Some(Box::new(block));
            draft.cancellation = Phase::of_kind(kind).map(|phase| subscription::cancellation(object, phase));
            if kind == "subscription.cancel_scheduled" {
                draft.effective_at = subscription::effective_at(object);
            }
        }
        (None, Some(id)) => {
            draft.subscription = Some(Box::new(Subscription { id: Some(id), ..Subscription::default() }))
        }
        (None, None) => {}
    }
    if let Some(object) = envelope.object("invoice") {
        draft.invoice = Some(Box::new(billing::invoice(object, kind, name, currency, &mut notes)));
        if kind == "payment.failed" {
            draft.payment = Some(Box::new(billing::failed_payment(object, currency, &mut notes)));
        }
    }
    if let Some(object) = envelope.object("payment") {
        draft.payment = Some(Box::new(billing::payment(object, kind, currency, &mut notes)));
        if object.text("destination_type").is_some_and(|to| to.eq_ignore_ascii_case("INVOICE"))
            && draft.invoice.is_none()
        {
            let id = object.text("destination_id");
            draft.invoice =
                Some(Box::new(Invoice { id, number: object.text("invoice_number"), ..Invoice::default() }));
        }
        if kind.starts_with("refund.") {
            draft.refund = Some(Box::new(billing::refund_of_payment(object, currency, &mut notes)));
        }
    }
    if let Some(object) = envelope.object("credit_note") {
        draft.credit_note = Some(Box::new(billing::credit_note(object, currency, &mut notes)));
        if kind.starts_with("refund.") {
            draft.refund = Some(Box::new(billing::refund_of_credit_note(object, kind, currency, &mut notes)));
        }
    }
    extension::fill(&mut draft, envelope, currency, &mut notes);

    let nested = main.fields("customer");
    let customer = envelope.object("customer").or(nested.as_ref());
    draft.customer = customer_block(customer, envelope, main);
    let environment = || customer.and_then(|customer| customer.text("environment_id"));
    draft.provider_account_id = envelope.text("environment_id").or_else(environment);
    draft.semantic_key = semantic_key(envelope, kind, key, main);
    notes.ids(&draft, PREFIXES);
    draft.warnings = notes.into_warnings();
    draft
}

fn customer_block(
    customer: Option<&Fields<'_>>,
    envelope: &Envelope<'_>,
    main: &Fields<'_>,
) -> Option<Customer> {
    let none = Fields::default();
    let object = customer.unwrap_or(&none);
    let to_customer = main.text("destination_type").is_some_and(|to| to.eq_ignore_ascii_case("CUSTOMER"));
    let country = object.text("address_country").or_else(|| object.text("country"));
    let block = Customer {
        id: object
            .text("id")
            .or_else(|| envelope.text("customer_id"))
            .or_else(|| if to_customer { main.text("destination_id") } else { None }),
        external_id: object.text("external_id").or_else(|| envelope.text("external_customer_id")),
        email: object.text("email"),
        name: object.text("name"),
        country: country.filter(|code| code.len() == 2).map(|code| code.to_ascii_uppercase()),
    };
    (block != Customer::default()).then_some(block)
}

/// When it happened, from the one field that means it.
fn occurred_at(envelope: &Envelope<'_>, kind: &str, key: &str, main: &Fields<'_>) -> Option<Time> {
    let name = envelope.name.as_deref().unwrap_or_default();
    let first = |fields: &[&str]| fields.iter().find_map(|field| main.time(field));
    let exact = match kind {
        "subscription.canceled" => subscription::canceled_at(main),
        "subscription.cancel_scheduled" => subscription::requested_at(main),
        // Sent beside `cancelled`, and before it: with a later time it would make that one stale.
        "subscription.updated" if key == "subscription" && subscription::is_canceled(main) => {
            subscription::canceled_at(main)
        }
        // Only by its older name is it the start: a draft may be activated at any time after that.
        "subscription.activated" if name == "subscription.started" => {
            main.time("activated_at").or_else(|| subscription::started_at(main))
        }
        "subscription.activated" => first(&["activated_at"]),
        "subscription.paused" => first(&["paused_at"]),
        "subscription.resumed" => first(&["resumed_at"]),
        "subscription.trial_ended" => first(&["trial_end"]),
        "invoice.finalized" => first(&["finalized_at"]),
        "invoice.paid" => first(&["paid_at"]),
        "invoice.voided" => first(&["voided_at"]),
        "payment.succeeded" => first(&["succeeded_at"]),
        "payment.failed" => first(&["failed_at"]),
        "payment.canceled" => first(&["voided_at"]),
        "refund.succeeded" => first(&["refunded_at", "finalized_at"]),
        "credit_note.created" | "refund.created" => first(&["finalized_at"]),
        "credit_note.voided" => first(&["voided_at"]),
        "checkout.completed" => first(&["completed_at"]),
        "checkout.failed" => first(&["failed_at"]),
        "checkout.expired" => first(&["expired_at", "expires_at"]),
        "usage.event_rejected" => envelope.body.time("rejected_at"),
        _ => None,
    };
    // The time of the row is that of the event only where the event is that the row was made or changed.
    let of_the_row = || match kind.rsplit('.').next() {
        _ if key == "phase" => None,
        Some("created" | "transaction_created" | "trial_started") => main.time("created_at"),
        Some("updated" | "transaction_updated" | "deleted" | "archived" | "removed") => {
            main.time("updated_at")
        }
        _ => None,
    };
    exact.or_else(|| envelope.body.time("triggered_at")).or_else(of_the_row)
}

/// The key that the same fact has wherever it is told again: by the catch-all event that Flexprice sends beside a
/// specific one, or by both names of one fact. `None` for what may happen any number of times to one object.
fn semantic_key(envelope: &Envelope<'_>, kind: &str, key: &str, main: &Fields<'_>) -> Option<String> {
    let id = main.text("id")?;
    let day = |time: Option<Time>| time.map(Time::date).unwrap_or_default();
    let canceled = || format!("subscription.canceled:{id}:{}", day(subscription::effective_at(main)));
    let paused = || {
        let pause = main.text("active_pause_id").or_else(|| main.time("paused_at").map(|at| at.to_string()));
        format!("subscription.paused:{id}:{}", pause.unwrap_or_default())
    };
    match kind {
        "subscription.canceled" => Some(canceled()),
        "subscription.cancel_scheduled" => {
            Some(format!("{kind}:{id}:{}", day(subscription::effective_at(main))))
        }
        "subscription.paused" => Some(paused()),
        // Sent beside `cancelled` and `paused` with the same object.
        "subscription.updated" if key == "subscription" && subscription::is_canceled(main) => {
            Some(canceled())
        }
        "subscription.updated" if key == "subscription" && subscription::is_paused(main) => Some(paused()),
        // An invoice may fail many times, and does not tell which payment it was.
        "payment.failed" if key == "invoice" => main.time("updated_at").map(|at| format!("{kind}:{id}:{at}")),
        // A payment may be given back in parts.
        "refund.succeeded" if key == "credit_note" => Some(format!("{kind}:{id}")),
        "wallet.transaction_updated" => {
            main.text("transaction_status").map(|status| format!("{kind}:{id}:{}", status.to_lowercase()))
        }
        "subscription.activated"
        | "subscription.trial_started"
        | "invoice.finalized"
        | "invoice.paid"
        | "invoice.voided"
        | "invoice.overdue"
        | "payment.succeeded"
        | "payment.failed"
        | "payment.canceled"
        | "refund.failed"
        | "credit_note.voided"
        | "customer.deleted"
        | "wallet.terminated"
        | "wallet.transaction_created"
        | "wallet.transaction_failed"
        | "checkout.completed"
        | "checkout.failed"
        | "checkout.expired"
        | "entitlement.removed" => Some(format!("{kind}:{id}")),
        _ if kind.ends_with(".created") && !is_partial(envelope) => Some(format!("{kind}:{id}")),
        _ => None,
    }
}

/// Whether the event's object is the customer, but the fact is about something else of theirs.
fn is_partial(envelope: &Envelope<'_>) -> bool {
    let name = envelope.name.as_deref().unwrap_or_default();
    name.starts_with("customer.") && !kind::of(CATALOGUE, name).starts_with("customer.")
}
