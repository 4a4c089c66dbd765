//! Subscriptions and their cancellation.

use billhook_plugin::model::subscription::{self, COMMENT_CHARS_MAX, reason_group};
use billhook_plugin::model::{Cancellation, CancellationKind, Initiator, Phase, Plan, Subscription};
use billhook_plugin::{Fields, Notes, Time};

/// Where Flexprice keeps what a customer said.
const REASON_FIELD: &str = "subscription.metadata.cancellation_reason";

fn status(object: &Fields<'_>) -> Option<String> {
    object
        .text("subscription_status")
        .or_else(|| object.text("status").filter(|status| canonical(status).is_some()))
}

/// The canonical word for a subscription's status.
fn canonical(status: &str) -> Option<&'static str> {
    Some(match status.to_ascii_lowercase().as_str() {
        "active" => "active",
        "trialing" => "trialing",
        "paused" => "paused",
        "cancelled" | "canceled" | "terminated" => "canceled",
        "incomplete" | "draft" => "incomplete",
        "pending" | "scheduled" => "scheduled",
        "past_due" => "past_due",
        "unpaid" => "unpaid",
        "expired" | "incomplete_expired" => "expired",
        _ => return None,
    })
}

/// Whether the subscription has ended.
pub(crate) fn is_canceled(object: &Fields<'_>) -> bool {
    status(object).is_some_and(|status| canonical(&status) == Some("canceled"))
}

/// Whether the subscription is in its trial.
pub(crate) fn is_trialing(object: &Fields<'_>) -> bool {
    status(object).is_some_and(|status| canonical(&status) == Some("trialing"))
}

/// Whether the subscription is paused.
pub(crate) fn is_paused(object: &Fields<'_>) -> bool {
    status(object).is_some_and(|status| canonical(&status) == Some("paused"))
        || object.text("pause_status").is_some_and(|status| status.eq_ignore_ascii_case("active"))
}

/// Whether the end of a running subscription is decided.
///
/// `subscription.updated` is the only event that Flexprice sends for a cancellation at the end of the period or at
/// a date; beside an immediate one it is sent too, but the subscription has ended by then.
pub(crate) fn is_cancel_scheduled(object: &Fields<'_>) -> bool {
    let later = || matches!(cancellation_type(object).as_deref(), Some("end_of_period" | "scheduled_date"));
    let decided =
        object.flag("cancel_at_period_end") == Some(true) || (object.time("cancel_at").is_some() && later());
    decided && !is_canceled(object)
}

fn cancellation_type(object: &Fields<'_>) -> Option<String> {
    object.fields("metadata")?.text("cancellation_type")
}

/// When access ends or ended.
pub(crate) fn effective_at(object: &Fields<'_>) -> Option<Time> {
    let stated = object.fields("metadata").and_then(|metadata| metadata.time("effective_date"));
    let ended = || if is_canceled(object) { ended_at(object) } else { None };
    let at_period_end = || {
        object
            .flag("cancel_at_period_end")
            .filter(|at_end| *at_end)
            .and_then(|_| object.time("current_period_end"))
    };
    stated.or_else(|| object.time("cancel_at")).or_else(ended).or_else(at_period_end)
}

/// When the cancellation was decided. For one at the end of the period it is the time of scheduling.
pub(crate) fn requested_at(object: &Fields<'_>) -> Option<Time> {
    object.time("cancelled_at").or_else(|| object.time("canceled_at"))
}

/// When the subscription ended: at once when it was decided so, else when it took effect.
pub(crate) fn canceled_at(object: &Fields<'_>) -> Option<Time> {
    match cancellation_type(object).as_deref() {
        Some("end_of_period" | "scheduled_date") => effective_at(object),
        _ => requested_at(object).or_else(|| ended_at(object)),
    }
}

fn ended_at(object: &Fields<'_>) -> Option<Time> {
    ["ended_at", "terminated_at", "end_date"].iter().find_map(|field| object.time(field))
}

/// When it began.
pub(crate) fn started_at(object: &Fields<'_>) -> Option<Time> {
    object.time("start_date").or_else(|| object.time("started_at"))
}

/// The subscription block. `kind` stands in for the status where the object has none.
pub(crate) fn subscription(object: &Fields<'_>, kind: &str, notes: &mut Notes) -> Subscription {
    let provider_status = status(object);
    let status = match provider_status.as_deref() {
        Some(word) => canonical(word).or_else(|| {
            notes.unknown("subscription_status", word);
            Some("unknown")
        }),
        None => match kind {
            "subscription.activated" | "subscription.resumed" => Some("active"),
            "subscription.canceled" => Some("canceled"),
            "subscription.paused" => Some("paused"),
            _ => None,
        },
    };
    let period = |field: &str, other: &str| object.time(field).or_else(|| object.time(other));
    let ended = status == Some("canceled");
    Subscription {
        id: object.text("id"),
        external_id: object.text("external_id"),
        status: status.map(str::to_owned),
        provider_status,
        plan: plan(object, notes),
        started_at: started_at(object),
        trial_start: object.time("trial_start"),
        trial_end: object.time("trial_end"),
        current_period_start: period("current_period_start", "billing_period_start"),
        current_period_end: period("current_period_end", "billing_period_end"),
        cancel_at: object.time("cancel_at"),
        cancel_at_period_end: object.flag("cancel_at_period_end"),
        canceled_at: requested_at(object),
        ended_at: if ended { ended_at(object) } else { None },
        paused_at: object.time("paused_at"),
        resumes_at: object.time("resumes_at"),
        mrr: None,
        mrr_source: None,
        tenure_days: None,
        parent_id: object.text("parent_subscription_id"),
    }
}

fn plan(object: &Fields<'_>, notes: &mut Notes) -> Option<Plan> {
    let nested = object.fields("plan").unwrap_or_default();
    let interval = match object.text("billing_period") {
        Some(period) => interval(&period).or_else(|| {
            notes.unknown("billing_period", &period);
            None
        }),
        None => None,
    };
    let once = object.text("billing_cadence").is_some_and(|cadence| cadence.eq_ignore_ascii_case("ONETIME"));
    let lookup_key = object.text("lookup_key").or_else(|| nested.text("lookup_key"));
    let id = object.text("plan_id").or_else(|| nested.text("id")).or_else(|| object.text("plan_code"));
    let plan = Plan {
        id: id.or_else(|| lookup_key.clone()),
        name: nested.text("name").or_else(|| object.text("plan_name")).or(lookup_key),
        product_id: None,
        interval: if once { Some("one_time") } else { interval }.map(str::to_owned),
        interval_count: object.whole("billing_period_count"),
        quantity: object.whole("quantity"),
        unit_amount: None,
    };
    (plan != Plan::default()).then_some(plan)
}

fn interval(billing_period: &str) -> Option<&'static str> {
    Some(match billing_period.to_ascii_uppercase().as_str() {
        "DAILY" => "day",
        "WEEKLY" => "week",
        "MONTHLY" => "month",
        "QUARTERLY" => "quarter",
        "HALF_YEARLY" => "half_year",
        "ANNUAL" | "YEARLY" => "year",
        "ONETIME" => "one_time",
        _ => return None,
    })
}

/// The cancellation block of a cancellation that is decided (`phase` requested) or in effect.
pub(crate) fn cancellation(object: &Fields<'_>, phase: Phase) -> Cancellation {
    let metadata = object.fields("metadata").unwrap_or_default();
    let reason = metadata.text("cancellation_reason");
    let code = match &reason {
        Some(reason) => reason_code(reason),
        None => Some("unspecified"),
    };
    let group = code.and_then(reason_group);
    let (kind, initiator) = match group {
        Some("involuntary") => (CancellationKind::Involuntary, Initiator::System),
        Some("merchant") => (CancellationKind::Voluntary, Initiator::Merchant),
        _ => (CancellationKind::Voluntary, Initiator::Unknown),
    };
    let at_period_end = match metadata.text("cancellation_type").as_deref() {
        Some(how) => Some(how == "end_of_period"),
        None => object.flag("cancel_at_period_end"),
    };
    // A code is no comment; what people write is both the verbatim reason and the comment.
    let is_comment = code.is_none();
    Cancellation {
        kind,
        initiator,
        phase,
        requested_at: requested_at(object),
        effective_at: effective_at(object),
        at_period_end,
        reason_code: code.map(str::to_owned),
        reason_group: group.map(str::to_owned),
        comment: reason
            .as_ref()
            .filter(|_| is_comment)
            .map(|text| text.chars().take(COMMENT_CHARS_MAX).collect()),
        provider_reason_field: reason.as_ref().map(|_| REASON_FIELD.to_owned()),
        provider_reason: reason,
    }
}

/// The canonical code that a reason names, if it is a code or tells of a payment that failed, which systems write as
/// they please. What else people write, such as `Too expensive`, is left to the plugins after this one, which may look for
/// other words in it than codes have.
fn reason_code(reason: &str) -> Option<&'static str> {
    let word = subscription::reason_word(reason)?;
    let is_code = word.eq_ignore_ascii_case(reason.trim());
    let voluntary = match word.as_str() {
        "technical_issues" => Some("low_quality"),
        "not_using_enough" => Some("unused"),
        "dont_need_anymore" => Some("no_longer_needed"),
        "switching_competitor" => Some("switched_service"),
        "poor_support" => Some("customer_service"),
        word => subscription::reason_code(word),
    };
    match word.as_str() {
        "payment_failure"
        | "non_payment"
        | "nonpayment"
        | "unpaid"
        | "past_due"
        | "dunning"
        | "unpaid_invoice"
        | "unpaid_invoices"
        | "grace_period_expired"
        | "overdue_invoices" => Some("payment_failed"),
        _ => voluntary.filter(|code| is_code || *code == "payment_failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::{interval, reason_code};

    #[test]
    fn codes_are_recognised_and_sentences_are_not() {
        let cases = [
            ("too_expensive", Some("too_expensive")),
            ("Too_Expensive", Some("too_expensive")),
            ("TOO EXPENSIVE", None),
            ("Missing features", None),
            ("switching_competitor", Some("switched_service")),
            ("switching-competitor", None),
            ("non-payment", Some("payment_failed")),
            ("Payment failed", Some("payment_failed")),
            ("Too expensive for our team size", None),
            ("", None),
        ];
        for (reason, expected) in cases {
            assert_eq!(reason_code(reason), expected, "{reason:?}");
        }
    }

    #[test]
    fn billing_periods_become_intervals() {
        let cases = [
            ("MONTHLY", Some("month")),
            ("ANNUAL", Some("year")),
            ("WEEKLY", Some("week")),
            ("DAILY", Some("day")),
            ("QUARTERLY", Some("quarter")),
            ("HALF_YEARLY", Some("half_year")),
            ("ONETIME", Some("one_time")),
            ("FORTNIGHTLY", None),
        ];
        for (period, expected) in cases {
            assert_eq!(interval(period), expected, "{period}");
        }
    }
}
