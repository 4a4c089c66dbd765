//! What an update of a subscription shows, and how a subscription ends.

use crate::catalogue::kind_of;
use crate::envelope::Envelope;
use crate::object::reference;
use billhook_plugin::model::{Cancellation, CancellationKind, Initiator, Phase, Subscription};
use billhook_plugin::{Fields, Json};

/// The canonical type of the event about `object`: an update is the end of a subscription that lived before, the new
/// life of one that had ended, a decision about its end, or a change of plan, if it shows one against what was before.
/// Of several it is the first.
pub(crate) fn refined(envelope: &Envelope<'_>, object: &Fields<'_>) -> &'static str {
    let kind = kind_of(&envelope.name);
    let Some(before) = envelope.previous.and_then(Json::fields) else { return kind };
    if kind != "subscription.updated" {
        return kind;
    }
    let status = |of: &Fields<'_>| of.text("status").map_or("unknown", |status| status_of(&status));
    let at_period_end = |of: &Fields<'_>| of.flag("cancelAtPeriodEnd");
    let is_other = |name: &str| {
        reference(&before, name)
            .is_some_and(|before| reference(object, name).is_some_and(|now| now != before))
    };
    let was = status(&before);
    let had_ended = matches!(was, "canceled" | "expired");
    let lived = !had_ended && was != "unknown";
    match (status(object), at_period_end(&before), at_period_end(object)) {
        ("canceled", ..) if lived => "subscription.canceled",
        ("expired", ..) if lived => "subscription.expired",
        ("active" | "trialing" | "past_due" | "unpaid" | "paused", ..) if had_ended => {
            "subscription.activated"
        }
        (_, Some(false), Some(true)) => "subscription.cancel_scheduled",
        (_, Some(true), Some(false)) => "subscription.cancel_unscheduled",
        _ if ["plan", "product"].into_iter().any(is_other) => "subscription.plan_changed",
        _ => kind,
    }
}

/// Abowire's state of a subscription in canonical words.
pub(crate) fn status_of(word: &str) -> &'static str {
    match word.to_ascii_lowercase().as_str() {
        "active" | "enabled" => "active",
        "trial" | "trialing" => "trialing",
        "pending" | "incomplete" => "incomplete",
        "scheduled" => "scheduled",
        "past_due" => "past_due",
        "unpaid" => "unpaid",
        "paused" => "paused",
        "canceled" | "cancelled" => "canceled",
        "expired" => "expired",
        _ => "unknown",
    }
}

/// The cancellation block of an event of this type. Abowire tells no reason, and of an end not whether somebody wanted
/// it.
pub(crate) fn cancellation(kind: &str, subscription: &Subscription) -> Option<Cancellation> {
    let phase = match kind {
        "subscription.cancel_scheduled" => Phase::Requested,
        "subscription.canceled" | "subscription.expired" => Phase::Effective,
        _ => return None,
    };
    let is_ahead = phase == Phase::Requested;
    let at_period_end = subscription.cancel_at_period_end.filter(|_| is_ahead);
    let planned = subscription.current_period_end.filter(|_| at_period_end == Some(true));
    Some(Cancellation {
        kind: if is_ahead { CancellationKind::Voluntary } else { CancellationKind::Unknown },
        initiator: Initiator::Unknown,
        phase,
        requested_at: None,
        effective_at: if is_ahead { planned } else { subscription.ended_at },
        at_period_end,
        reason_code: Some("unspecified".to_owned()),
        reason_group: Some("other".to_owned()),
        provider_reason: None,
        provider_reason_field: None,
        comment: None,
    })
}
