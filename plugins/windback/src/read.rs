//! One event: from Windback's fields to a draft.

use crate::shape::{self, Shape};
use billhook_plugin::model::money;
use billhook_plugin::model::subscription::{COMMENT_CHARS_MAX, reason_group};
use billhook_plugin::model::{
    Cancellation, CancellationKind, Customer, Draft, Initiator, Object, Payment, Phase, Plan, Subscription,
};
use billhook_plugin::{Fields, Time};
use std::collections::BTreeMap;

/// The currency that counts where none is named, by Windback's own page.
const CURRENCY: &str = "usd";

/// Where the shapes have the reason, in the order in which they count.
const REASON_MEMBERS: [&str; 2] = ["cancel_reason", "reason"];

/// The most entries of `metadata`, and signals of a risk, that are kept.
const ENTRIES_MAX: usize = 50;

/// The longest metadata value in characters.
const ENTRY_CHARS_MAX: usize = 500;

/// The draft of one event; the error says which required field is missing.
pub(crate) fn draft(body: &Fields<'_>) -> Result<Draft, String> {
    let named = shape::of(body);
    let email = body.text("customer_email").map(|email| email.trim().to_owned());
    let required: &[(&str, bool)] = match &named {
        Some((_, _, Shape::Unknown)) => &[],
        Some((_, _, Shape::ChurnRisk)) => {
            &[("customer_id` or `customer_email", email.is_some() || body.text("customer_id").is_some())]
        }
        Some(_) | None => &[("customer_email", email.is_some()), ("event_type", named.is_some())],
    };
    let missing: Vec<_> =
        required.iter().filter(|(_, there)| !there).map(|(name, _)| format!("`{name}`")).collect();
    if !missing.is_empty() {
        return Err(format!("required and missing, empty or not text: {}", missing.join(", ")));
    }
    let Some((name, kind, shape)) = named else {
        return Err("required and missing: `event_type`".to_owned());
    };

    let mut draft = Draft { kind: kind.to_owned(), provider_event_type: name, ..Draft::default() };
    draft.customer = customer(body, email);
    draft.metadata = metadata(body);
    draft.origin_provider = body.text("provider").or_else(|| body.fields("metadata")?.text("provider"));
    match shape {
        Shape::Cancellation => {
            draft.occurred_at = time(body, &["canceled_at"], &mut draft.warnings);
            let mut subscription = subscription(body, &mut draft.warnings).unwrap_or_default();
            subscription.status = Some("canceled".to_owned());
            subscription.canceled_at = draft.occurred_at;
            draft.subscription = Some(subscription);
            draft.cancellation = Some(cancellation(body, draft.occurred_at, &mut draft.warnings));
        }
        Shape::PaymentFailed | Shape::PaymentRecovered => {
            let status = if shape == Shape::PaymentFailed { "failed" } else { "succeeded" };
            draft.subscription = subscription(body, &mut draft.warnings);
            draft.payment = Some(Box::new(Payment {
                status: Some(status.to_owned()),
                direction: Some("inbound".to_owned()),
                ..Payment::default()
            }));
        }
        Shape::ChurnRisk => {
            draft.provider_event_id = body.text("opaque_id");
            draft.provider_account_id = body.text("project_id");
            draft.occurred_at = time(body, &["triggered_at", "timestamp"], &mut draft.warnings);
            draft.risk = Some(Box::new(risk(body)));
        }
        Shape::Unknown => draft.subscription = subscription(body, &mut draft.warnings),
    }
    Ok(draft)
}

/// What is kept of an event that cannot be read.
pub(crate) fn unmapped(name: String, why: String) -> Draft {
    Draft {
        kind: "provider.unmapped".to_owned(),
        provider_event_type: name,
        warnings: vec![why],
        ..Draft::default()
    }
}

/// The customer; the name falls back to what stands before the `@`.
fn customer(body: &Fields<'_>, email: Option<String>) -> Option<Customer> {
    let id = body.text("provider_customer_id").or_else(|| body.text("customer_id"));
    let prefix =
        || Some(email.as_deref()?.split('@').next()?.trim().to_owned()).filter(|prefix| !prefix.is_empty());
    let name = body.text("customer_name").or_else(prefix);
    let customer = Customer { id, name, email, ..Customer::default() };
    (customer != Customer::default()).then_some(customer)
}

fn subscription(body: &Fields<'_>, warnings: &mut Vec<String>) -> Option<Box<Subscription>> {
    let mut subscription = Subscription {
        id: body
            .text("provider_subscription_id")
            .or_else(|| body.text("subscription_id"))
            .or_else(|| body.fields("metadata")?.text("subscription_id")),
        plan: body.text("plan_name").map(|name| Plan { name: Some(name), ..Plan::default() }),
        ..Subscription::default()
    };
    if let Some(written) = body.get("tenure_days") {
        subscription.tenure_days = body.whole("tenure_days");
        if subscription.tenure_days.is_none() {
            warnings.push(format!("`tenure_days` is {}, not a number of days", shown(written.raw())));
        }
    }
    let member = if body.get("mrr").is_some() { "mrr" } else { "mrr_cents" };
    if let Some(written) = body.get(member) {
        let currency = body.text("currency").unwrap_or_else(|| CURRENCY.to_owned());
        subscription.mrr = body.number(member).and_then(|number| number.minor(&currency));
        if subscription.mrr.is_some() {
            subscription.mrr_source = Some("provider".to_owned());
        } else if money::code(&currency).is_none() {
            warnings.push(format!("`currency` is `{}`, not a code of ISO 4217", shown(&currency)));
        } else {
            warnings.push(format!("`{member}` is {}, not a whole number of cents", shown(written.raw())));
        }
    }
    (subscription != Subscription::default()).then(|| Box::new(subscription))
}

/// The time in the first of these members that is there.
fn time(body: &Fields<'_>, members: &[&str], warnings: &mut Vec<String>) -> Option<Time> {
    let (member, written) = members.iter().find_map(|member| Some((member, body.get(member)?)))?;
    let time = written.time();
    if time.is_none() {
        warnings.push(format!("`{member}` is {}, not a time", shown(written.raw())));
    }
    time
}

/// A cancellation here is always the customer's own and already in effect.
fn cancellation(body: &Fields<'_>, at: Option<Time>, warnings: &mut Vec<String>) -> Cancellation {
    let found = REASON_MEMBERS.iter().find_map(|member| Some((*member, body.text(member)?)));
    for (member, written) in REASON_MEMBERS.iter().filter_map(|member| Some((member, body.get(member)?))) {
        // An empty one is none.
        if written.text().is_none() && written.kind() != "a string" {
            warnings.push(format!("`{member}` is {}, not a text", shown(written.raw())));
        }
    }
    let (member, reason) = match found {
        Some((member, reason)) => (Some(member.to_owned()), Some(reason)),
        None => (None, None),
    };
    let (code, detail) = match reason.as_deref() {
        Some(reason) => {
            let (head, detail) = reason.split_once(':').unwrap_or((reason, ""));
            let code = canonical(&head.trim().to_lowercase());
            (
                code,
                Some(detail.trim()).filter(|detail| code.is_some() && !detail.is_empty()).map(str::to_owned),
            )
        }
        None => (Some("unspecified"), None),
    };
    let comment = body.text("cancel_reason_text").or(detail);
    Cancellation {
        kind: CancellationKind::Voluntary,
        initiator: Initiator::Customer,
        phase: Phase::Effective,
        requested_at: None,
        effective_at: at,
        at_period_end: None,
        reason_code: code.map(str::to_owned),
        reason_group: code.and_then(reason_group).map(str::to_owned),
        provider_reason: reason,
        provider_reason_field: member,
        comment: comment.map(|text| text.chars().take(COMMENT_CHARS_MAX).collect()),
    }
}

/// The canonical code of a reason that a customer picks from Windback's list.
fn canonical(code: &str) -> Option<&'static str> {
    Some(match code {
        "too_expensive" => "too_expensive",
        "missing_features" => "missing_features",
        "technical_issues" => "low_quality",
        "not_using_enough" => "unused",
        "dont_need_anymore" => "no_longer_needed",
        "switching_competitor" => "switched_service",
        "poor_support" => "customer_service",
        "other" => "other",
        _ => return None,
    })
}

/// How likely the customer is to leave: a score from 0 to 100, its level, and the signals behind it.
fn risk(body: &Fields<'_>) -> Object {
    let signals = body.get("signals").and_then(|signals| signals.items()).unwrap_or_default();
    let told: Vec<String> = signals
        .iter()
        .take(ENTRIES_MAX)
        .filter_map(|signal| {
            let signal = signal.fields()?;
            Some(match (signal.text("name"), signal.text("description")) {
                (Some(name), Some(description)) => format!("{name}: {description}"),
                (Some(one), None) | (None, Some(one)) => one,
                (None, None) => return None,
            })
        })
        .collect();
    Object {
        status: body.text("risk_level"),
        quantity: body.number("risk_score").map(|score| score.as_str().to_owned()),
        message: (!told.is_empty()).then(|| told.join("; ").chars().take(COMMENT_CHARS_MAX).collect()),
        ..Object::default()
    }
}

/// The scalars of `metadata` as text.
fn metadata(body: &Fields<'_>) -> BTreeMap<String, String> {
    let Some(metadata) = body.fields("metadata") else {
        return BTreeMap::new();
    };
    let text = |value: billhook_plugin::Json<'_>| {
        let text = value
            .text()
            .map(|text| text.into_owned())
            .or_else(|| value.flag().map(|flag| flag.to_string()))?;
        Some(text.chars().take(ENTRY_CHARS_MAX).collect::<String>())
    };
    metadata
        .iter()
        .take(ENTRIES_MAX)
        .filter_map(|(name, value)| Some((name.to_owned(), text(value)?)))
        .collect()
}

/// A value as it stands in a warning: not more of it than a reader needs.
fn shown(raw: &str) -> String {
    const CHARS_MAX: usize = 40;
    if raw.chars().count() <= CHARS_MAX {
        raw.to_owned()
    } else {
        raw.chars().take(CHARS_MAX).chain("...".chars()).collect()
    }
}
