//! What an update of a subscription was about. Stripe has one event for all updates and puts what stood there before
//! into `previous_attributes`.

use crate::envelope::{Envelope, id_of};
use crate::subscription::{effective_at, items, period};
use billhook_plugin::model::Phase;
use billhook_plugin::{Fields, Json};
use std::collections::BTreeSet;

/// The canonical types of an event of a subscription, most telling last; `of_name` if nothing tells more.
pub(crate) fn kinds(envelope: &Envelope<'_>, of_name: &'static str) -> Vec<&'static str> {
    let object = &envelope.object;
    let status = object.text("status").unwrap_or_default();
    match (envelope.name.as_str(), &envelope.previous) {
        ("customer.subscription.created", _) => match status.as_str() {
            "trialing" => vec![of_name, "subscription.trial_started"],
            "active" => vec![of_name, "subscription.activated"],
            _ => vec![of_name],
        },
        ("customer.subscription.updated", Some((_, previous))) => {
            let kinds = changes(object, previous, &status);
            if kinds.is_empty() { vec![of_name] } else { kinds }
        }
        _ => vec![of_name],
    }
}

fn changes(object: &Fields<'_>, previous: &Fields<'_>, status: &str) -> Vec<&'static str> {
    let before = previous.text("status");
    let mut kinds = match (before.as_deref(), status) {
        (Some("trialing"), "active") => vec!["subscription.trial_ended", "subscription.activated"],
        // `customer.subscription.paused` tells the pause.
        (Some("trialing"), "paused") => vec!["subscription.trial_ended"],
        (Some("trialing"), "past_due") => vec!["subscription.trial_ended", "subscription.past_due"],
        (Some("incomplete"), "active") => vec!["subscription.activated"],
        (Some("incomplete"), "trialing") => vec!["subscription.trial_started"],
        (Some("incomplete"), "incomplete_expired") => vec!["subscription.expired"],
        (Some(before), "past_due") if before != "past_due" => vec!["subscription.past_due"],
        _ => Vec::new(),
    };
    // The first period that is paid is no renewal, and neither is the first after a pause.
    let begins = matches!(before.as_deref(), Some("trialing" | "incomplete" | "paused"));
    if !begins && is_renewed(object, previous) {
        kinds.push("subscription.renewed");
    }
    if is_other_plan(object, previous) {
        kinds.push("subscription.plan_changed");
    }
    kinds.extend(decision(object, previous));
    kinds
}

/// What became of the decision to end it.
fn decision(object: &Fields<'_>, previous: &Fields<'_>) -> Option<&'static str> {
    if has_ended(object) {
        return None;
    }
    match (was_ending(object, previous), is_ending(object)) {
        (false, true) => Some("subscription.cancel_scheduled"),
        (true, false) => Some("subscription.cancel_unscheduled"),
        // Who cancels in the customer portal is asked why afterwards: the decision is told again, with its reason. Another
        // day makes it another decision.
        (true, true) if is_reason_new(object, previous) || is_moved(object, previous) => {
            Some("subscription.cancel_scheduled")
        }
        _ => None,
    }
}

/// Whether the end has come. Nothing changes afterwards but the reason.
pub(crate) fn has_ended(object: &Fields<'_>) -> bool {
    object.get("ended_at").is_some()
        || matches!(object.text("status").as_deref(), Some("canceled" | "incomplete_expired"))
}

/// Whether the end is decided.
fn is_ending(object: &Fields<'_>) -> bool {
    object.flag("cancel_at_period_end") == Some(true) || object.get("cancel_at").is_some()
}

/// Whether it was before.
fn was_ending(object: &Fields<'_>, previous: &Fields<'_>) -> bool {
    had_flag(object, previous) || before(object, previous, "cancel_at").is_some()
}

fn had_flag(object: &Fields<'_>, previous: &Fields<'_>) -> bool {
    before(object, previous, "cancel_at_period_end").and_then(Json::flag) == Some(true)
}

/// A member as it was before: what is not in `previous` is as it was.
fn before<'a>(object: &Fields<'a>, previous: &Fields<'a>, field: &str) -> Option<Json<'a>> {
    let is_changed = previous.iter().any(|(name, _)| name == field);
    if is_changed { previous.get(field) } else { object.get(field) }
}

/// Whether the end is on another day than before.
pub(crate) fn is_moved(object: &Fields<'_>, previous: &Fields<'_>) -> bool {
    let of_period = || period(previous).1.or_else(|| period(object).1).filter(|_| had_flag(object, previous));
    let before = before(object, previous, "cancel_at").and_then(Json::time).or_else(of_period);
    let days = before.zip(effective_at(object, Phase::Requested));
    days.is_some_and(|(before, now)| before.date() != now.date())
}

fn is_reason_new(object: &Fields<'_>, previous: &Fields<'_>) -> bool {
    let Some(before) = previous.fields("cancellation_details") else { return false };
    let now = object.fields("cancellation_details").unwrap_or_default();
    let told = |field: &str| {
        before.iter().any(|(name, _)| name == field)
            && id_of(&now, field).is_some()
            && id_of(&now, field) != id_of(&before, field)
    };
    ["feedback", "feedback_option", "comment"].into_iter().any(told)
}

/// Whether a new period follows the one before: of the subscription, or of an item that is billed at an interval of its
/// own.
fn is_renewed(object: &Fields<'_>, previous: &Fields<'_>) -> bool {
    let before = items(previous);
    let is_item_renewed = |item: &Fields<'_>| {
        let id = item.text("id");
        let before = before.iter().find(|before| id.is_some() && before.text("id") == id);
        before.is_some_and(|before| follows(item, before))
    };
    follows(object, previous) || items(object).iter().any(is_item_renewed)
}

/// Whether its period follows the one of `previous`. A period that begins before the last one ended is that of another
/// plan or of an anchor that was moved.
fn follows(object: &Fields<'_>, previous: &Fields<'_>) -> bool {
    let Some(start) = period(object).0 else { return false };
    match period(previous) {
        (_, Some(end_before)) => start >= end_before,
        (Some(start_before), None) => start > start_before,
        (None, None) => false,
    }
}

/// Whether the prices are others; another quantity of the same is no other plan.
fn is_other_plan(object: &Fields<'_>, previous: &Fields<'_>) -> bool {
    let before = prices(previous);
    !before.is_empty() && before != prices(object)
}

fn prices(object: &Fields<'_>) -> BTreeSet<String> {
    let of_items: BTreeSet<_> = items(object)
        .iter()
        .filter_map(|item| item.text_at("/price/id").or_else(|| item.text_at("/plan/id")))
        .collect();
    match of_items.is_empty() {
        true => object.text_at("/plan/id").into_iter().collect(),
        false => of_items,
    }
}
