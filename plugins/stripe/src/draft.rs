//! Puts the drafts together.

use crate::catalogue::CATALOGUE;
use crate::envelope::{Envelope, id_of};
use crate::{billing, change, subscription};
use billhook_plugin::model::{
    CreditNote, Customer, Dispute, Invoice, Object, Payment, PaymentMethod, Phase, Refund, Subscription, kind,
};
use billhook_plugin::{Draft, Fields, Notes, Time};

/// The longest `previous` that is kept, in bytes.
const PREVIOUS_BYTES_MAX: usize = 64 << 10;

/// How the ids of Stripe begin, by the block of the draft.
const PREFIXES: &[(&str, &[&str])] = &[
    ("customer", &["cus_"]),
    ("subscription", &["sub_"]),
    ("invoice", &["in_"]),
    ("payment", &["pi_", "ch_", "py_"]),
    ("refund", &["re_", "pyr_"]),
    ("dispute", &["dp_", "du_"]),
    ("credit_note", &["cn_"]),
    ("payment_method", &["pm_", "card_", "src_", "ba_"]),
];

/// The drafts of an event: one, or one for each thing that an update of a subscription changed.
pub(crate) fn drafts(envelope: &Envelope<'_>) -> Vec<Draft> {
    let kind = kind::of(CATALOGUE, envelope.full_name());
    let kinds = match envelope.about() {
        _ if envelope.thin => vec![thin_kind(envelope.full_name(), kind)],
        "customer.subscription" => change::kinds(envelope, kind),
        "refund" | "charge.refund" => vec![refund_kind(kind, &envelope.object)],
        "charge" => vec![charge_kind(kind, &envelope.object)],
        "invoice" if kind == "payment.succeeded" && !billing::is_paid_here(&envelope.object) => {
            vec!["invoice.paid"]
        }
        "charge.dispute" if kind == "dispute.closed" => {
            vec![match envelope.object.text("status").as_deref() {
                Some("won") => "dispute.won",
                Some("lost") => "dispute.lost",
                _ => kind,
            }]
        }
        _ => vec![kind],
    };
    kinds.into_iter().map(|kind| draft(envelope, kind)).collect()
}

/// The type of an event that has ids only: one that the object would tell apart is unmapped, unless a type fits either.
fn thin_kind(name: &str, of_name: &'static str) -> &'static str {
    match name {
        "invoice.payment_succeeded" => "invoice.paid",
        "charge.succeeded" | "charge.refunded" | "charge.refund.updated" | "refund.updated" => {
            "provider.unmapped"
        }
        _ => of_name,
    }
}

/// The type of an event about a charge. One that is not captured is money put aside, which may be set free again.
fn charge_kind(of_name: &'static str, charge: &Fields<'_>) -> &'static str {
    let is_captured = charge.flag("captured") != Some(false);
    match of_name {
        "payment.succeeded" if !is_captured => "payment.pending",
        "refund.created" if !is_captured => "payment.canceled",
        "refund.created" => refund_kind(of_name, &billing::refund_in_charge(charge).unwrap_or_default()),
        _ => of_name,
    }
}

/// The type of an event about a refund: by its state, except that a failure is one whatever the state says.
fn refund_kind(of_name: &'static str, refund: &Fields<'_>) -> &'static str {
    match refund.text("status").as_deref() {
        _ if !of_name.starts_with("refund.") || of_name == "refund.failed" => of_name,
        Some("succeeded") => "refund.succeeded",
        Some("failed" | "canceled") => "refund.failed",
        Some("pending" | "requires_action") => "refund.created",
        _ => of_name,
    }
}

fn draft(envelope: &Envelope<'_>, kind: &'static str) -> Draft {
    let mut notes = Notes::default();
    let object = &envelope.object;
    let about = envelope.about();
    let mut draft = Draft {
        kind: kind.to_owned(),
        provider_event_type: envelope.name.clone(),
        provider_event_id: envelope.id.clone(),
        provider_account_id: envelope.account.clone(),
        provider_api_version: envelope.api_version.clone(),
        livemode: envelope.livemode,
        occurred_at: envelope.created,
        thin: envelope.thin,
        customer: customer(envelope),
        metadata: object.fields("metadata").map(|metadata| metadata.to_metadata()).unwrap_or_default(),
        ..Draft::default()
    };
    match about {
        _ if envelope.thin => {
            draft.cancellation = (kind == "subscription.canceled")
                .then(|| subscription::cancellation(object, Phase::Effective, &mut notes));
            if let Some(id) = &envelope.related {
                name_object(&mut draft, about, Some(id.clone()));
            }
        }
        "customer.subscription" => {
            draft.subscription =
                Some(Box::new(subscription::subscription(object, envelope.created, &mut notes)));
            let phase = match kind {
                "subscription.updated" if change::has_ended(object) => Some(Phase::Effective),
                _ => Phase::of_kind(kind),
            };
            draft.cancellation = phase.map(|phase| subscription::cancellation(object, phase, &mut notes));
            if phase == Some(Phase::Requested) {
                draft.effective_at = subscription::effective_at(object, Phase::Requested);
            }
        }
        "invoice" => {
            draft.invoice = Some(Box::new(billing::invoice(object, kind, &mut notes)));
            draft.subscription = billing::subscription_of(object);
            let is_outside = kind == "invoice.paid" && object.flag("paid_out_of_band") == Some(true);
            if kind.starts_with("payment.") || is_outside {
                draft.payment = Some(Box::new(billing::payment_of_invoice(object, kind, &mut notes)));
            }
        }
        "charge" => {
            draft.payment = Some(Box::new(billing::charge(object, kind, &mut notes)));
            draft.invoice = invoice_of(object);
            if kind.starts_with("refund.") {
                let none = Fields::default();
                let previous = envelope.previous.as_ref().map_or(&none, |(_, previous)| previous);
                let refund = match billing::refund_in_charge(object) {
                    Some(refund) => billing::refund(&refund, kind, &mut notes),
                    None => billing::refund_of_charge(object, previous, &mut notes),
                };
                draft.refund = Some(Box::new(refund));
            }
        }
        "payment_intent" => {
            draft.payment = Some(Box::new(billing::payment_intent(object, kind, &mut notes)));
            draft.invoice = invoice_of(object);
        }
        "invoice_payment" => {
            draft.payment = Some(Box::new(billing::invoice_payment(object, kind, &mut notes)));
            draft.invoice = invoice_of(object);
        }
        "refund" | "charge.refund" => {
            draft.refund = Some(Box::new(billing::refund(object, kind, &mut notes)))
        }
        "charge.dispute" => draft.dispute = Some(Box::new(billing::dispute(object, &mut notes))),
        "credit_note" => {
            draft.credit_note = Some(Box::new(billing::credit_note(object, &mut notes)));
            draft.invoice = invoice_of(object);
        }
        "payment_method" | "customer.source" => {
            draft.payment_method = Some(Box::new(billing::payment_method(object)))
        }
        "checkout.session" => {
            draft.checkout = Some(Box::new(billing::checkout(object, &mut notes)));
            if kind == "payment.succeeded" {
                draft.payment = Some(Box::new(billing::payment_of_checkout(object, kind, &mut notes)));
            }
            draft.subscription = billing::subscription_of(object);
            draft.invoice = invoice_of(object);
        }
        "payout" => draft.payout = Some(Box::new(billing::payout(object, &mut notes))),
        "product" | "price" => draft.product = Some(Box::new(billing::product(object, about, &mut notes))),
        "entitlements.active_entitlement_summary" => {
            draft.entitlement = Some(Box::new(billing::entitlement(object)))
        }
        "billing.alert" => draft.usage = Some(Box::new(billing::usage(object))),
        _ => {}
    }
    draft.semantic_key = semantic_key(envelope, kind);
    if let Some((json, _)) = envelope.previous {
        match json.raw().len() > PREVIOUS_BYTES_MAX {
            true => notes.add(format!(
                "`previous_attributes` has more than {PREVIOUS_BYTES_MAX} bytes and is left out"
            )),
            false => draft.previous = Some(json.to_raw()),
        }
    }
    notes.ids(&draft, PREFIXES);
    draft.warnings = notes.into_warnings();
    draft
}

/// Names the object of an event that has ids only. What joins a payment to an invoice is neither of them.
fn name_object(draft: &mut Draft, about: &str, id: Option<String>) {
    let of_kind = |id| Some(Box::new(Object { id, ..Object::default() }));
    match about {
        "customer" => draft.customer = Some(Customer { id, ..Customer::default() }),
        "customer.subscription" => {
            draft.subscription = Some(Box::new(Subscription { id, ..Subscription::default() }))
        }
        "invoice" => draft.invoice = Some(Box::new(Invoice { id, ..Invoice::default() })),
        "charge" | "payment_intent" => draft.payment = Some(Box::new(Payment { id, ..Payment::default() })),
        "refund" | "charge.refund" => draft.refund = Some(Box::new(Refund { id, ..Refund::default() })),
        "charge.dispute" => draft.dispute = Some(Box::new(Dispute { id, ..Dispute::default() })),
        "credit_note" => draft.credit_note = Some(Box::new(CreditNote { id, ..CreditNote::default() })),
        "payment_method" | "customer.source" => {
            draft.payment_method = Some(Box::new(PaymentMethod { id, ..PaymentMethod::default() }))
        }
        "checkout.session" => draft.checkout = of_kind(id),
        "payout" => draft.payout = of_kind(id),
        "product" | "price" => draft.product = of_kind(id),
        "billing.alert" => draft.usage = of_kind(id),
        _ => {}
    }
}

/// Who it is about: the object itself, or whom it names.
fn customer(envelope: &Envelope<'_>) -> Option<Customer> {
    let (object, about) = (&envelope.object, envelope.about());
    let none = Fields::default();
    let nested = ["customer", "customer_details", "billing_details"].map(|name| object.fields(name));
    let country_of = |person: &Fields<'_>| person.text_at("/address/country");
    let is_customer = about == "customer";
    let own = if is_customer { object } else { &none };
    let of = |field: &str| {
        own.text(field).or_else(|| nested.iter().flatten().find_map(|person| person.text(field)))
    };
    let email = ["customer_email", "receipt_email"].iter().find_map(|field| object.text(field));
    let country = country_of(own)
        .or_else(|| object.text_at("/customer_address/country"))
        .or_else(|| nested.iter().flatten().find_map(country_of));
    // Once a payment method is detached it is nobody's.
    let before = || id_of(&envelope.previous.as_ref().filter(|_| about == "payment_method")?.1, "customer");
    let customer = Customer {
        id: if is_customer { object.text("id") } else { id_of(object, "customer").or_else(before) },
        external_id: object.text("client_reference_id"),
        email: email.or_else(|| of("email")),
        name: object.text("customer_name").or_else(|| of("name")),
        country: country.filter(|code| code.len() == 2).map(|code| code.to_ascii_uppercase()),
    };
    (customer != Customer::default()).then_some(customer)
}

fn invoice_of(object: &Fields<'_>) -> Option<Box<Invoice>> {
    Some(Box::new(Invoice { id: Some(id_of(object, "invoice")?), ..Invoice::default() }))
}

/// The key that one fact has in all the events that tell it: a payment is told by its invoice, its intent and its
/// charge. `None` for what may happen to an object again and again.
fn semantic_key(envelope: &Envelope<'_>, kind: &str) -> Option<String> {
    let object = &envelope.object;
    let id = object.text("id").or_else(|| envelope.related.clone());
    let day = |time: Option<Time>| time.map(Time::date).unwrap_or_default();
    let key = |id: Option<String>| Some(format!("{kind}:{}", id?));
    match (envelope.about(), kind) {
        ("invoice", "invoice.paid") if !billing::is_paid_here(object) => key(id),
        (_, "payment.succeeded") | ("invoice", "invoice.paid") => {
            let payment = match envelope.about() {
                "invoice" => billing::payment_of(object),
                "invoice_payment" => billing::joined(object),
                "charge" => id_of(object, "payment_intent"),
                "checkout.session" => id_of(object, "payment_intent").or_else(|| id_of(object, "invoice")),
                _ => None,
            };
            Some(format!("payment.succeeded:{}", payment.or(id)?))
        }
        ("charge", "payment.canceled") => key(id_of(object, "payment_intent").or(id)),
        // Each attempt has a charge of its own.
        (about, "payment.failed") => {
            // The latest charge may be that of an attempt before.
            let of_intent = || match object.fields("last_payment_error") {
                Some(error) => id_of(&error, "charge"),
                None => id_of(object, "latest_charge"),
            };
            let charge = match about {
                "charge" => id,
                "payment_intent" => of_intent(),
                _ => id_of(object, "charge")
                    .or_else(|| Some(format!("{}:{}", id?, object.whole::<u32>("attempt_count")?))),
            };
            key(charge)
        }
        (_, "subscription.cancel_scheduled") => {
            let key = format!("{}:{}", key(id)?, day(subscription::effective_at(object, Phase::Requested)));
            // It may be moved back to a day that was told.
            let previous = envelope.previous.as_ref().map(|(_, previous)| previous);
            let is_moved = previous.is_some_and(|previous| change::is_moved(object, previous));
            let moved_at = envelope.created.filter(|_| is_moved);
            Some(match moved_at {
                Some(at) => format!("{key}:{at}"),
                None => key,
            })
        }
        (_, "subscription.renewed") => {
            key(id).map(|key| format!("{key}:{}", day(subscription::newest_start(object))))
        }
        // A subscription may be given another trial.
        (_, "subscription.activated" | "subscription.trial_started" | "subscription.trial_ended") => {
            key(id).map(|key| format!("{key}:{}", day(envelope.created)))
        }
        ("charge", _) if kind.starts_with("refund.") => {
            key(billing::refund_in_charge(object).and_then(|refund| refund.text("id")))
        }
        (_, "subscription.created" | "subscription.canceled" | "subscription.expired")
        | (_, "invoice.finalized" | "invoice.voided" | "invoice.uncollectible" | "invoice.overdue")
        | (_, "payment.canceled" | "refund.succeeded" | "refund.failed" | "customer.deleted")
        | (_, "dispute.opened" | "dispute.won" | "dispute.lost" | "dispute.closed")
        | (_, "credit_note.voided" | "checkout.completed" | "checkout.expired" | "checkout.failed")
        | (_, "payout.started" | "payout.paid" | "payout.failed" | "product.archived") => key(id),
        _ if kind.ends_with(".created") => key(id),
        _ => None,
    }
}
