//! Puts the drafts together.

use crate::catalogue::CATALOGUE;
use crate::{billing, subscription};
use billhook_plugin::model::{Actor, Customer, Phase, Subscription, kind};
use billhook_plugin::{Draft, Fields, Notes, Time};

/// A subscription that is removed with all that belongs to it, also while it runs.
const DELETED: &str = "subscription_deleted";

/// The drafts of an event: one, and another where it tells how a subscription begins, or an invoice that is paid by then.
pub(crate) fn drafts(body: &Fields<'_>, name: &str) -> Vec<Draft> {
    let content = body.fields("content");
    let is_thin = content.is_none();
    let content = content.unwrap_or_default();
    let kind = kind_by_object(kind::of(CATALOGUE, name), &content);
    let status = content.text_at("/subscription/status");
    let kinds = match (kind, status.as_deref()) {
        // No cancellation comes before it.
        (_, Some(status)) if name == DELETED && !["cancelled", "transferred"].contains(&status) => {
            vec!["subscription.canceled"]
        }
        // No event of its own follows for what is already so.
        ("subscription.created", Some("in_trial")) => vec![kind, "subscription.trial_started"],
        ("subscription.created", Some("active")) => vec![kind, "subscription.activated"],
        ("subscription.created", Some("future")) => vec![kind, "subscription.scheduled"],
        // It is active when the trial is over.
        ("subscription.activated", Some("in_trial")) => vec!["subscription.trial_started"],
        ("subscription.activated", _) if is_end_of_trial(name, &content) => {
            vec!["subscription.trial_ended", kind]
        }
        ("invoice.finalized", _) if content.text_at("/invoice/status").as_deref() == Some("paid") => {
            vec![kind, "invoice.paid"]
        }
        _ => vec![kind],
    };
    kinds.into_iter().map(|kind| Draft { thin: is_thin, ..draft(body, &content, name, kind) }).collect()
}

/// Whether a subscription becomes active since its trial is over; one that is reactivated still has the dates of it.
fn is_end_of_trial(name: &str, content: &Fields<'_>) -> bool {
    name.starts_with("subscription_activated") && content.pointer("/subscription/trial_end").is_some()
}

/// The type of what has no event of its own: it is told as an update, or as a refund.
fn kind_by_object(of_name: &'static str, content: &Fields<'_>) -> &'static str {
    let is = |pointer: &str, word: &str| content.text_at(pointer).as_deref() == Some(word);
    match of_name {
        "credit_note.updated" if is("/credit_note/status", "voided") => "credit_note.voided",
        "invoice.updated" => match content.text_at("/invoice/status").as_deref() {
            Some("paid") => "invoice.paid",
            Some("voided") => "invoice.voided",
            // Dunning is over.
            Some("not_paid") => "invoice.uncollectible",
            _ => of_name,
        },
        "refund.succeeded" if is("/transaction/payment_method", "chargeback") => "dispute.opened",
        _ => of_name,
    }
}

fn draft(body: &Fields<'_>, content: &Fields<'_>, name: &str, kind: &'static str) -> Draft {
    let mut notes = Notes::default();
    let [subscription, customer, invoice, transaction, credit_note, source, card] =
        ["subscription", "customer", "invoice", "transaction", "credit_note", "payment_source", "card"]
            .map(|name| content.fields(name));
    let occurred_at = body.time("occurred_at");
    let came_through = body.text("source");
    let family = kind.split('.').next().unwrap_or_default();
    let mut draft = Draft {
        kind: kind.to_owned(),
        provider_event_type: name.to_owned(),
        provider_event_id: body.text("id"),
        provider_api_version: body.text("api_version"),
        occurred_at,
        actor: body.text("user").map(|id| Actor { id, kind: "user".to_owned() }),
        ..Draft::default()
    };
    if let Some(object) = &subscription {
        let mut block = subscription::subscription(object, occurred_at, &mut notes);
        draft.cancellation = Phase::of_kind(kind)
            .map(|phase| subscription::cancellation(object, phase, came_through.as_deref(), &mut notes));
        if let (DELETED, Some(cancellation)) = (name, &mut draft.cancellation) {
            subscription::delete(&mut block, cancellation, occurred_at);
        }
        draft.subscription = Some(Box::new(block));
        draft.effective_at = match kind {
            "subscription.cancel_scheduled" => subscription::effective_at(object),
            "subscription.scheduled" => object.time("start_date"),
            _ => None,
        };
    }
    draft.invoice = invoice.as_ref().map(|object| Box::new(billing::invoice(object, kind, &mut notes)));
    draft.credit_note = credit_note.as_ref().map(|object| Box::new(billing::credit_note(object, &mut notes)));
    match (family, &transaction) {
        ("payment", Some(object)) => {
            draft.payment = Some(Box::new(billing::payment(object, invoice.as_ref(), kind, &mut notes)));
        }
        ("refund", Some(object)) => {
            draft.refund = Some(Box::new(billing::refund(object, credit_note.as_ref(), kind, &mut notes)));
        }
        ("dispute", Some(object)) => {
            draft.dispute = Some(Box::new(billing::dispute(object, credit_note.as_ref(), &mut notes)));
        }
        ("payment_method", _) => {
            draft.payment_method =
                Some(Box::new(billing::payment_method(source.as_ref(), card.as_ref(), customer.as_ref())));
        }
        _ => {}
    }

    let objects = [&transaction, &invoice, &subscription, &credit_note, &source, &card];
    let of = |field: &str| objects.iter().find_map(|object| object.as_ref()?.text(field));
    if draft.subscription.is_none() {
        let id = of("subscription_id");
        draft.subscription = id.map(|id| Box::new(Subscription { id: Some(id), ..Subscription::default() }));
    }
    draft.customer = customer_block(customer.as_ref(), of("customer_id"));
    let main = match family {
        "customer" => &customer,
        "invoice" => &invoice,
        "credit_note" => &credit_note,
        _ => &subscription,
    };
    let metadata = main.as_ref().and_then(|object| object.fields("meta_data"));
    draft.metadata = metadata.map(|metadata| metadata.to_metadata()).unwrap_or_default();
    draft.semantic_key = semantic_key(&draft);
    draft.warnings = notes.into_warnings();
    draft
}

fn customer_block(object: Option<&Fields<'_>>, id: Option<String>) -> Option<Customer> {
    let of = |field: &str| object.and_then(|object| object.text(field));
    let names: Vec<_> = ["first_name", "last_name"].into_iter().filter_map(of).collect();
    let country = object.and_then(|object| object.text_at("/billing_address/country"));
    let customer = Customer {
        id: of("id").or(id),
        external_id: None,
        email: of("email"),
        name: if names.is_empty() { of("company") } else { Some(names.join(" ")) },
        country: country.filter(|code| code.len() == 2).map(|code| code.to_ascii_uppercase()),
    };
    (customer != Customer::default()).then_some(customer)
}

/// The key that one fact has wherever it is told again. `None` for what may happen to an object again and again.
fn semantic_key(draft: &Draft) -> Option<String> {
    let kind = draft.kind.as_str();
    let day = |time: Option<Time>| time.map(Time::date).unwrap_or_default();
    let subscription = draft.subscription.as_ref();
    let of_subscription = || subscription?.id.clone();
    let (id, day) = match kind {
        "subscription.canceled" => (of_subscription(), Some(day(subscription?.ended_at))),
        "subscription.cancel_scheduled" => (of_subscription(), Some(day(draft.effective_at))),
        "subscription.renewed" => (of_subscription(), Some(day(subscription?.current_period_start))),
        "subscription.activated" => (of_subscription(), Some(day(draft.occurred_at))),
        // One that is reactivated may be given another trial.
        "subscription.trial_started" => (of_subscription(), Some(day(subscription?.trial_start))),
        "subscription.trial_ended" => (of_subscription(), Some(day(subscription?.trial_end))),
        "subscription.created" | "subscription.scheduled" => (of_subscription(), None),
        "customer.created" | "customer.deleted" => (draft.customer.as_ref()?.id.clone(), None),
        "invoice.created"
        | "invoice.finalized"
        | "invoice.paid"
        | "invoice.voided"
        | "invoice.uncollectible" => (draft.invoice.as_ref()?.id.clone(), None),
        "payment.created" | "payment.succeeded" | "payment.failed" => {
            (draft.payment.as_ref()?.id.clone(), None)
        }
        "refund.created" | "refund.succeeded" => (draft.refund.as_ref()?.id.clone(), None),
        "dispute.opened" => (draft.dispute.as_ref()?.id.clone(), None),
        "credit_note.created" | "credit_note.voided" => (draft.credit_note.as_ref()?.id.clone(), None),
        "payment_method.attached" | "payment_method.detached" | "payment_method.expired" => {
            (draft.payment_method.as_ref()?.id.clone(), None)
        }
        _ => return None,
    };
    let key = format!("{kind}:{}", id?);
    Some(day.map_or_else(|| key.clone(), |day| format!("{key}:{day}")))
}
