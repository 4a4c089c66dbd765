//! Subscriptions and their cancellation.

use billhook_plugin::model::{Cancellation, CancellationKind, Initiator, Phase, Plan, Subscription};
use billhook_plugin::{Fields, Json, Notes, Time};

/// How many items of a subscription are read: as many as Paddle lets it have.
const ITEMS_MAX: usize = 100;

/// What is going to happen to a subscription.
#[derive(Default)]
struct Change {
    action: String,
    effective_at: Option<Time>,
    resume_at: Option<Time>,
}

fn scheduled_change(object: &Fields<'_>) -> Change {
    let Some(change) = object.fields("scheduled_change") else { return Change::default() };
    Change {
        action: change.text("action").unwrap_or_default(),
        effective_at: change.time("effective_at"),
        resume_at: change.time("resume_at"),
    }
}

/// Whether the end of the subscription is decided.
pub(crate) fn is_ending(object: &Fields<'_>) -> bool {
    scheduled_change(object).action == "cancel"
}

/// When access ends or ended.
pub(crate) fn effective_at(object: &Fields<'_>, phase: Phase) -> Option<Time> {
    match phase {
        Phase::Effective => object.time("canceled_at"),
        Phase::Requested => scheduled_change(object).effective_at,
    }
}

fn period_end(object: &Fields<'_>) -> Option<Time> {
    object.fields("current_billing_period")?.time("ends_at")
}

/// The subscription block.
pub(crate) fn subscription(object: &Fields<'_>, now: Option<Time>, notes: &mut Notes) -> Subscription {
    let provider_status = object.text("status");
    let status = provider_status.as_deref().map(|status| match status {
        "trialing" => "trialing",
        "active" => "active",
        "past_due" => "past_due",
        "paused" => "paused",
        "canceled" => "canceled",
        _ => {
            notes.unknown("status", status);
            "unknown"
        }
    });
    let items = object.get("items").and_then(Json::items).unwrap_or_default();
    let items: Vec<_> = items.into_iter().take(ITEMS_MAX).filter_map(Json::fields).collect();
    let currency = object.text("currency_code");
    let plans: Vec<_> = items.iter().map(|item| plan(item, currency.as_deref(), notes)).collect();
    let mrr = Plan::mrr(&plans);
    let trial = |field: &str| items.iter().find_map(|item| item.fields("trial_dates")?.time(field));
    let change = scheduled_change(object);
    let cancel_at = change.effective_at.filter(|_| change.action == "cancel");
    let resumes = change.effective_at.filter(|_| change.action == "resume");
    let mut block = Subscription {
        id: object.text("id"),
        status: status.map(str::to_owned),
        provider_status,
        started_at: object.time("started_at").or_else(|| object.time("created_at")),
        trial_start: trial("starts_at"),
        trial_end: trial("ends_at"),
        current_period_start: object
            .fields("current_billing_period")
            .and_then(|period| period.time("starts_at")),
        current_period_end: period_end(object),
        cancel_at,
        cancel_at_period_end: match cancel_at {
            Some(at) => Some(Some(at) == period_end(object)),
            // A notification has the whole subscription: what is not there is not planned.
            None => (status.is_some() && change.action != "cancel").then_some(false),
        },
        canceled_at: object.time("canceled_at"),
        ended_at: object.time("canceled_at"),
        paused_at: object.time("paused_at"),
        resumes_at: change.resume_at.or(resumes),
        mrr_source: mrr.is_some().then(|| "computed".to_owned()),
        mrr,
        plan: plans.into_iter().next(),
        ..Subscription::default()
    };
    block.tenure_days = block.days_since_start(now);
    block
}

fn plan(item: &Fields<'_>, currency: Option<&str>, notes: &mut Notes) -> Plan {
    let price = item.fields("price").unwrap_or_default();
    let unit = unit_price(&price, currency).unwrap_or_default();
    let cycle = price.fields("billing_cycle");
    let interval = match &cycle {
        Some(cycle) => cycle.text("interval").filter(|interval| {
            let is_known = ["day", "week", "month", "year"].contains(&interval.as_str());
            if !is_known {
                notes.unknown("billing_cycle.interval", interval);
            }
            is_known
        }),
        None => Some("one_time".to_owned()),
    };
    let own = unit.text("currency_code");
    Plan {
        id: price.text("id"),
        name: price
            .text("name")
            .or_else(|| item.text_at("/product/name"))
            .or_else(|| price.text("description")),
        product_id: price.text("product_id"),
        interval,
        interval_count: cycle.and_then(|cycle| cycle.whole("frequency")),
        quantity: item.whole("quantity"),
        unit_amount: notes.minor(&unit, "amount", own.as_deref().or(currency)),
    }
}

/// The price of a unit. In another currency than that of the price itself it is the override, if there is one alone: of
/// several it is the customer's country that decides, and without any Paddle converts at a rate that it does not tell.
fn unit_price<'a>(price: &Fields<'a>, currency: Option<&str>) -> Option<Fields<'a>> {
    let base = price.fields("unit_price")?;
    let own = base.text("currency_code");
    if own.is_none() || currency.is_none() || own.as_deref() == currency {
        return Some(base);
    }
    let overrides = price.get("unit_price_overrides").and_then(Json::items)?;
    let mut fitting = overrides
        .into_iter()
        .filter_map(|other| other.pointer("/unit_price")?.fields())
        .filter(|unit| unit.text("currency_code").as_deref() == currency);
    let only = fitting.next()?;
    fitting.next().is_none().then_some(only)
}

/// The cancellation block. Paddle tells no reason, and of an end not whether somebody wanted it.
pub(crate) fn cancellation(object: &Fields<'_>, phase: Phase) -> Cancellation {
    let effective_at = effective_at(object, phase);
    Cancellation {
        kind: match phase {
            Phase::Requested => CancellationKind::Voluntary,
            Phase::Effective => CancellationKind::Unknown,
        },
        initiator: Initiator::Unknown,
        phase,
        requested_at: None,
        effective_at,
        at_period_end: (phase == Phase::Requested)
            .then(|| effective_at.is_some() && effective_at == period_end(object)),
        reason_code: Some("unspecified".to_owned()),
        reason_group: Some("other".to_owned()),
        provider_reason: None,
        provider_reason_field: None,
        comment: None,
    }
}
