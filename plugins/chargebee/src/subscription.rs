//! Subscriptions and their cancellation.

use crate::money;
use billhook_plugin::model::subscription::{COMMENT_CHARS_MAX, reason_code, reason_group};
use billhook_plugin::model::{Cancellation, CancellationKind, Initiator, Phase, Plan, Subscription};
use billhook_plugin::{Fields, Json, Money, Notes, Time};

/// How many items and addons of a subscription are read.
const ITEMS_MAX: usize = 100;

/// Whether it has ended.
fn has_ended(object: &Fields<'_>) -> bool {
    object.text("status").as_deref() == Some("cancelled")
}

/// The subscription block.
pub(crate) fn subscription(object: &Fields<'_>, now: Option<Time>, notes: &mut Notes) -> Subscription {
    let provider_status = object.text("status");
    let status = provider_status.as_deref().map(|status| match status {
        "future" => "scheduled",
        "in_trial" => "trialing",
        // It runs to the end of its term.
        "active" | "non_renewing" => "active",
        "paused" => "paused",
        "cancelled" => "canceled",
        "transferred" => "unknown",
        _ => {
            notes.unknown("status", status);
            "unknown"
        }
    });
    let (mrr, mrr_source) = mrr(object, notes).unzip();
    // Of a scheduled cancellation `cancelled_at` lies ahead.
    let cancelled_at = object.time("cancelled_at");
    let ended_at = cancelled_at.filter(|_| has_ended(object));
    let cancel_at = cancelled_at.filter(|_| !has_ended(object));
    let mut block = Subscription {
        id: object.text("id"),
        status: status.map(str::to_owned),
        provider_status,
        plan: plan(object, notes),
        started_at: ["started_at", "start_date", "created_at"].iter().find_map(|field| object.time(field)),
        trial_start: object.time("trial_start"),
        trial_end: object.time("trial_end"),
        current_period_start: object.time("current_term_start"),
        current_period_end: object.time("current_term_end"),
        cancel_at,
        cancel_at_period_end: cancel_at.map(|at| Some(at) == object.time("current_term_end")),
        canceled_at: object.time("cancel_schedule_created_at").or(ended_at),
        ended_at,
        // Of a scheduled pause it lies ahead.
        paused_at: object.time("pause_date").filter(|_| status == Some("paused")),
        resumes_at: object.time("resume_date"),
        mrr,
        mrr_source: mrr_source.map(str::to_owned),
        ..Subscription::default()
    };
    block.tenure_days = block.days_since_start(now);
    block
}

/// The members of the array `name`.
fn list<'a>(object: &Fields<'a>, name: &str) -> Vec<Fields<'a>> {
    let items = object.get(name).and_then(Json::items).unwrap_or_default();
    items.into_iter().take(ITEMS_MAX).filter_map(Json::fields).collect()
}

fn interval(object: &Fields<'_>) -> Option<String> {
    object
        .text("billing_period_unit")
        .filter(|unit| ["day", "week", "month", "year"].contains(&unit.as_str()))
}

/// The plan: an item of the subscription, or of the older catalogue its own fields.
fn plan(object: &Fields<'_>, notes: &mut Notes) -> Option<Plan> {
    let currency = object.text("currency_code");
    let item = list(object, "subscription_items")
        .into_iter()
        .find(|item| item.text("item_type").is_none_or(|kind| kind == "plan"));
    let (of, id, quantity, price) = match &item {
        Some(item) => (item, "item_price_id", "quantity", "unit_price"),
        None => (object, "plan_id", "plan_quantity", "plan_unit_price"),
    };
    let plan = Plan {
        id: of.text(id),
        interval: interval(object),
        interval_count: object.whole("billing_period"),
        quantity: of.whole(quantity),
        unit_amount: money::amount(notes, of, price, currency.as_deref()),
        ..Plan::default()
    };
    (plan != Plan::default()).then_some(plan)
}

/// What it brings in a month, and who says so. Chargebee says nothing once it has ended or stands still: then it is
/// reckoned from the prices.
fn mrr(object: &Fields<'_>, notes: &mut Notes) -> Option<(Money, &'static str)> {
    let currency = object.text("currency_code");
    let is_over = ["cancelled", "paused"].contains(&object.text("status").unwrap_or_default().as_str());
    let told = money::amount(notes, object, "mrr", currency.as_deref());
    if let Some(told) = told.filter(|told| told.amount_minor != 0 || !is_over) {
        return Some((told, "provider"));
    }
    if !is_over {
        return None;
    }
    let items = list(object, "subscription_items");
    let addons = list(object, "addons");
    let recurs = |item: &&Fields<'_>| item.text("item_type").as_deref() != Some("charge");
    let listed = items.iter().filter(recurs).chain(&addons);
    let mut parts: Vec<_> = listed
        .filter_map(|of| part(of, ["amount", "unit_price", "quantity"], currency.as_deref(), notes))
        .collect();
    if items.is_empty() {
        let plan = ["plan_amount", "plan_unit_price", "plan_quantity"];
        parts.extend(part(object, plan, currency.as_deref(), notes));
    }
    for part in &mut parts {
        part.interval = interval(object);
        part.interval_count = object.whole("billing_period");
    }
    Plan::mrr(&parts).map(|mrr| (mrr, "computed"))
}

/// What one of the things that are subscribed to costs in a period: its amount, else its price by its quantity. What is
/// metered has neither, and costs what is used of it.
fn part(
    of: &Fields<'_>,
    [amount, price, quantity]: [&str; 3],
    currency: Option<&str>,
    notes: &mut Notes,
) -> Option<Plan> {
    if let Some(amount) = money::amount(notes, of, amount, currency) {
        return Some(Plan { unit_amount: Some(amount), ..Plan::default() });
    }
    of.get(quantity)?;
    Some(Plan {
        unit_amount: money::amount(notes, of, price, currency),
        quantity: of.whole(quantity),
        ..Plan::default()
    })
}

/// When access ends or ended.
pub(crate) fn effective_at(object: &Fields<'_>) -> Option<Time> {
    object.time("cancelled_at")
}

/// The cancellation block. `cancel_reason` is set by Chargebee alone, where nobody wanted the end;
/// `cancel_reason_code` is what the site offers to choose from, in its own words.
pub(crate) fn cancellation(
    object: &Fields<'_>,
    phase: Phase,
    source: Option<&str>,
    notes: &mut Notes,
) -> Cancellation {
    let of_system = object.text("cancel_reason");
    let code_of_system = of_system.as_deref().and_then(|reason| {
        Some(match reason {
            "not_paid" => "payment_failed",
            "no_card" => "payment_method_missing",
            "fraud_review_failed" => "fraud",
            "non_compliant_eu_customer" | "non_compliant_customer" => "compliance",
            "tax_calculation_failed" | "currency_incompatible_with_gateway" => "configuration",
            _ => {
                notes.unknown("cancel_reason", reason);
                return None;
            }
        })
    });
    let chosen = object.text("cancel_reason_code");
    let (kind, initiator) = match (&of_system, source) {
        (Some(_), _) => (CancellationKind::Involuntary, Initiator::System),
        (None, Some("portal" | "hosted_page" | "js_api")) => {
            (CancellationKind::Voluntary, Initiator::Customer)
        }
        (None, _) => (CancellationKind::Voluntary, Initiator::Unknown),
    };
    let is_silent = of_system.is_none() && chosen.is_none();
    let code_of_chosen = chosen.as_deref().filter(|_| of_system.is_none()).and_then(reason_code);
    let code = code_of_system.or(code_of_chosen).or(is_silent.then_some("unspecified"));
    let (provider_reason, field) = match (of_system, chosen) {
        (Some(reason), _) => (Some(reason), Some("subscription.cancel_reason")),
        (None, Some(reason)) => (Some(reason), Some("subscription.cancel_reason_code")),
        (None, None) => (None, None),
    };
    let effective_at = effective_at(object);
    Cancellation {
        kind,
        initiator,
        phase,
        requested_at: object.time("cancel_schedule_created_at"),
        effective_at,
        at_period_end: effective_at.map(|at| Some(at) == object.time("current_term_end")),
        reason_code: code.map(str::to_owned),
        reason_group: code.and_then(reason_group).map(str::to_owned),
        provider_reason,
        provider_reason_field: field.map(str::to_owned),
        comment: object.text("cancel_comment").map(|text| text.chars().take(COMMENT_CHARS_MAX).collect()),
    }
}

/// Ends what is deleted while it runs: Chargebee tells it as it was before. Customers cannot delete.
pub(crate) fn delete(block: &mut Subscription, cancellation: &mut Cancellation, at: Option<Time>) {
    block.status = Some("canceled".to_owned());
    block.cancel_at = None;
    block.cancel_at_period_end = None;
    block.canceled_at = block.canceled_at.or(at);
    block.ended_at = at;
    cancellation.effective_at = at;
    cancellation.at_period_end = None;
    if cancellation.provider_reason.is_none() {
        cancellation.initiator = Initiator::Merchant;
        cancellation.reason_code = Some("merchant_initiated".to_owned());
        cancellation.reason_group = Some("merchant".to_owned());
    }
}
