//! What of an event the choice goes by. The event has some fifty members more, which are passed over unread.

use crate::rank::Facts;
use crate::reason::Said;
use billhook_plugin::Fields;
use billhook_plugin::model::subscription::reason_group;

const SECONDS_PER_DAY: u64 = 86_400;

/// An event, as far as it is read.
#[derive(Debug)]
pub(crate) struct About<'a> {
    event: Fields<'a>,
    subscription: Option<Fields<'a>>,
    kind: Option<String>,
    initiator: Option<String>,
    reason: Option<String>,
    comment: Option<String>,
    code: Option<String>,
}

impl<'a> About<'a> {
    pub(crate) fn of(event: Fields<'a>) -> About<'a> {
        let cancellation = event.fields("cancellation").unwrap_or_default();
        About {
            subscription: event.fields("subscription"),
            kind: cancellation.text("kind"),
            initiator: cancellation.text("initiator"),
            reason: cancellation.text("provider_reason"),
            comment: cancellation.text("comment"),
            code: cancellation.text("reason_code"),
            event,
        }
    }

    /// Whether it is a cancellation that nobody wanted; where the provider does not say so, its reason code may.
    pub(crate) fn is_involuntary(&self) -> bool {
        match self.kind.as_deref() {
            Some("involuntary") => true,
            Some("unknown") => self.code.as_deref().and_then(reason_group) == Some("involuntary"),
            _ => false,
        }
    }

    /// Whether the seller decided it: no customer is to be won back.
    pub(crate) fn is_of_merchant(&self) -> bool {
        self.initiator.as_deref() == Some("merchant")
    }

    /// What is known of the reason.
    pub(crate) fn said(&self) -> Said<'_> {
        Said { reason: self.reason.as_deref(), comment: self.comment.as_deref(), code: self.code.as_deref() }
    }

    /// What is known of the customer.
    pub(crate) fn facts(&self) -> Facts {
        let Some(subscription) = &self.subscription else { return Facts::default() };
        let now =
            self.event.time("occurred_at").or_else(|| self.event.time("received_at")).unwrap_or_default();
        let since_start = |start| u32::try_from(now.since(start).as_secs() / SECONDS_PER_DAY).ok();
        let plan = subscription.fields("plan").unwrap_or_default();
        let days = subscription.whole("tenure_days");
        Facts {
            tenure_days: days.or_else(|| since_start(subscription.time("started_at")?)),
            trialing: subscription.text("status").as_deref() == Some("trialing")
                || subscription.time("trial_end").is_some_and(|end| end > now),
            mrr: subscription.get("mrr").and_then(|mrr| serde_json::from_str(mrr.raw()).ok()),
            interval: plan.text("interval"),
            plan: [plan.text("id"), plan.text("name")].into_iter().flatten().collect(),
        }
    }
}
