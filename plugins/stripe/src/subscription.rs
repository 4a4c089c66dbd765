//! Subscriptions and their cancellation.

use crate::envelope::id_of;
use crate::money;
use billhook_plugin::model::subscription::{COMMENT_CHARS_MAX, reason_group};
use billhook_plugin::model::{Cancellation, CancellationKind, Initiator, Phase, Plan, Subscription};
use billhook_plugin::{Fields, Json, Notes, Time};
use std::slice;

/// How many items of a subscription are read.
const ITEMS_MAX: usize = 100;

/// The items of a subscription.
pub(crate) fn items<'a>(object: &Fields<'a>) -> Vec<Fields<'a>> {
    let data = object.pointer("/items/data").and_then(Json::items).unwrap_or_default();
    data.into_iter().take(ITEMS_MAX).filter_map(Json::fields).collect()
}

/// Whether there are more items than `read`: an event may have the first ones only.
fn has_more(object: &Fields<'_>, read: &[Fields<'_>]) -> bool {
    object.pointer("/items/has_more").and_then(Json::flag) == Some(true)
        || object
            .pointer("/items/data")
            .and_then(Json::count)
            .is_some_and(|count| count as usize > read.len())
}

/// The current period.
pub(crate) fn period(object: &Fields<'_>) -> (Option<Time>, Option<Time>) {
    period_of(object, &items(object))
}

/// Since 2025-03-31 (basil) the items have it, before that the subscription. Of items with several intervals it is that
/// which ends first.
fn period_of(object: &Fields<'_>, items: &[Fields<'_>]) -> (Option<Time>, Option<Time>) {
    let ends = |item: &&Fields<'_>| item.time("current_period_end");
    let item = items.iter().filter(|item| ends(item).is_some()).min_by_key(ends);
    let read = |field: &str| object.time(field).or_else(|| item?.time(field));
    (read("current_period_start"), read("current_period_end"))
}

/// When the newest of the current periods began: after a renewal, the one that is new.
pub(crate) fn newest_start(object: &Fields<'_>) -> Option<Time> {
    let starts = || items(object).iter().filter_map(|item| item.time("current_period_start")).max();
    object.time("current_period_start").or_else(starts)
}

/// The subscription block.
pub(crate) fn subscription(object: &Fields<'_>, now: Option<Time>, notes: &mut Notes) -> Subscription {
    let provider_status = object.text("status");
    let status = provider_status.as_deref().map(|status| match status {
        "incomplete" => "incomplete",
        "incomplete_expired" => "expired",
        "trialing" => "trialing",
        "active" => "active",
        "past_due" => "past_due",
        "unpaid" => "unpaid",
        "paused" => "paused",
        "canceled" => "canceled",
        _ => {
            notes.unknown("status", status);
            "unknown"
        }
    });
    let currency = object.text("currency");
    let items = items(object);
    let (mut plans, metered) = plans(object, &items, currency.as_deref(), notes);
    let mut mrr = Plan::mrr(&plans);
    if mrr.is_some() && has_more(object, &items) {
        notes.add("`items` has more than was read: `mrr` is left out");
        mrr = None;
    }
    plans.extend(metered);
    let (current_period_start, current_period_end) = period_of(object, &items);
    let mut block = Subscription {
        id: object.text("id"),
        status: status.map(str::to_owned),
        provider_status,
        plan: plans.into_iter().next(),
        started_at: ["start_date", "start", "created"].iter().find_map(|field| object.time(field)),
        trial_start: object.time("trial_start"),
        trial_end: object.time("trial_end"),
        current_period_start,
        current_period_end,
        cancel_at: object.time("cancel_at"),
        cancel_at_period_end: is_at_period_end(object, &items),
        canceled_at: object.time("canceled_at"),
        ended_at: object.time("ended_at"),
        resumes_at: object.fields("pause_collection").and_then(|pause| pause.time("resumes_at")),
        mrr_source: mrr.is_some().then(|| "computed".to_owned()),
        mrr,
        ..Subscription::default()
    };
    block.tenure_days = block.days_since_start(now);
    block
}

/// What is subscribed to, a plan for each item: those that are paid whatever is used of them, and those that are metered.
fn plans(
    object: &Fields<'_>,
    items: &[Fields<'_>],
    currency: Option<&str>,
    notes: &mut Notes,
) -> (Vec<Plan>, Vec<Plan>) {
    // Before items there was one plan.
    let of = if items.is_empty() && object.get("plan").is_some() { slice::from_ref(object) } else { items };
    let (mut licensed, mut metered) = (Vec::new(), Vec::new());
    for item in of {
        let (plan, is_metered) = plan(item, currency, notes);
        if is_metered { &mut metered } else { &mut licensed }.push(plan);
    }
    (licensed, metered)
}

/// The plan of an item, and whether it is metered.
fn plan(item: &Fields<'_>, currency: Option<&str>, notes: &mut Notes) -> (Plan, bool) {
    let price = item.fields("price").unwrap_or_default();
    let plan = item.fields("plan").unwrap_or_default();
    let recurring = price.fields("recurring").unwrap_or_default();
    let interval = recurring.text("interval").or_else(|| plan.text("interval"));
    let interval = interval.filter(|interval| {
        let is_known = ["day", "week", "month", "year"].contains(&interval.as_str());
        if !is_known {
            notes.unknown("interval", interval);
        }
        is_known
    });
    // A price below a cent has a decimal only, and one in tiers has none.
    let unit_amount = match (price.get("unit_amount").is_some(), plan.get("amount").is_some()) {
        (true, _) => money::amount(notes, &price, "unit_amount", currency),
        (false, true) => money::amount(notes, &plan, "amount", currency),
        (false, false) => None,
    };
    let usage = recurring.text("usage_type").or_else(|| plan.text("usage_type"));
    let package = price.fields("transform_quantity").or_else(|| plan.fields("transform_usage"));
    let quantity = item.whole("quantity");
    let plan = Plan {
        id: price.text("id").or_else(|| plan.text("id")),
        name: price.text("nickname").or_else(|| plan.text("nickname")).or_else(|| price.text("lookup_key")),
        product_id: id_of(&price, "product").or_else(|| id_of(&plan, "product")),
        interval,
        interval_count: recurring.whole("interval_count").or_else(|| plan.whole("interval_count")),
        quantity: quantity.map(|units| package.and_then(|of| packages(units, &of)).unwrap_or(units)),
        unit_amount,
    };
    (plan, usage.as_deref() == Some("metered"))
}

/// How many packages are billed for `units`, where a price is that of a package.
fn packages(units: u64, package: &Fields<'_>) -> Option<u64> {
    let size = package.whole::<u64>("divide_by").filter(|size| *size > 0)?;
    let is_down = package.text("round").as_deref() == Some("down");
    Some(if is_down { units / size } else { units.div_ceil(size) })
}

/// Whether access ends with a period. In flexible billing mode the customer portal tells that as a date alone, that at
/// which the last of the items' periods ends.
fn is_at_period_end(object: &Fields<'_>, items: &[Fields<'_>]) -> Option<bool> {
    let flag = object.flag("cancel_at_period_end");
    let Some(at) = object.time("cancel_at") else { return flag };
    let ends_then = |of: &Fields<'_>| of.time("current_period_end") == Some(at);
    if ends_then(object) || items.iter().any(ends_then) { Some(true) } else { flag }
}

/// When access ends or ended.
pub(crate) fn effective_at(object: &Fields<'_>, phase: Phase) -> Option<Time> {
    let at_period_end =
        || object.flag("cancel_at_period_end").filter(|at_end| *at_end).and_then(|_| period(object).1);
    match phase {
        Phase::Effective => object.time("ended_at").or_else(|| object.time("canceled_at")),
        Phase::Requested => object.time("cancel_at").or_else(at_period_end),
    }
}

/// The cancellation block. `feedback` is what the customer chose, or `feedback_option` where the choices are the merchant's
/// own; `reason` is the mechanism that led to the end.
pub(crate) fn cancellation(object: &Fields<'_>, phase: Phase, notes: &mut Notes) -> Cancellation {
    let details = object.fields("cancellation_details").unwrap_or_default();
    let (feedback, reason) = (details.text("feedback"), details.text("reason"));
    let option = id_of(&details, "feedback_option");
    let code_of_feedback = feedback.as_deref().map(|feedback| match feedback {
        "too_expensive" => "too_expensive",
        "missing_features" => "missing_features",
        "low_quality" => "low_quality",
        "too_complex" => "too_complex",
        "unused" => "unused",
        "switched_service" => "switched_service",
        "customer_service" => "customer_service",
        "other" => "other",
        _ => {
            notes.unknown("cancellation_details.feedback", feedback);
            "other"
        }
    });
    let code_of_choice = code_of_feedback.or(option.is_some().then_some("other"));
    // A choice of the merchant's own tells more than that it is none of Stripe's.
    let feedback = feedback.filter(|feedback| feedback != "other" || option.is_none());
    let of_customer = (CancellationKind::Voluntary, Initiator::Customer);
    let ((kind, initiator), code_of_reason) = match reason.as_deref() {
        Some("payment_failed") => {
            ((CancellationKind::Involuntary, Initiator::System), Some("payment_failed"))
        }
        Some("payment_disputed") => ((CancellationKind::Involuntary, Initiator::Bank), Some("dispute")),
        Some("canceled_by_retention_policy") => {
            ((CancellationKind::Voluntary, Initiator::Merchant), Some("retention_policy"))
        }
        _ if code_of_choice.is_some() => (of_customer, None),
        Some("cancellation_requested") => ((CancellationKind::Voluntary, Initiator::Unknown), None),
        Some(reason) => {
            notes.unknown("cancellation_details.reason", reason);
            ((CancellationKind::Unknown, Initiator::Unknown), None)
        }
        None => ((CancellationKind::Unknown, Initiator::Unknown), None),
    };
    let code = code_of_reason.or(code_of_choice).unwrap_or("unspecified");
    let (provider_reason, field) = match (code_of_reason, feedback, option, reason) {
        (None, Some(feedback), ..) => (Some(feedback), Some("cancellation_details.feedback")),
        (None, None, Some(option), _) => (Some(option), Some("cancellation_details.feedback_option")),
        (.., Some(reason)) => (Some(reason), Some("cancellation_details.reason")),
        (.., None) => (None, None),
    };
    Cancellation {
        kind,
        initiator,
        phase,
        requested_at: object.time("canceled_at"),
        effective_at: effective_at(object, phase),
        at_period_end: is_at_period_end(object, &items(object)),
        reason_code: Some(code.to_owned()),
        reason_group: reason_group(code).map(str::to_owned),
        provider_reason,
        provider_reason_field: field.map(str::to_owned),
        comment: details.text("comment").map(|text| text.chars().take(COMMENT_CHARS_MAX).collect()),
    }
}
