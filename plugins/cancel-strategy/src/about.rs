//! What of an event the choice goes by. The event has some fifty members more, which are passed over unread.

use crate::rank::Facts;
use crate::reason::Said;
use billhook_plugin::model::CancellationKind;
use billhook_plugin::model::subscription::reason_group;
use billhook_plugin::{Money, Time};
use serde::Deserialize;

const SECONDS_PER_DAY: u64 = 86_400;

/// An event, as far as it is read.
#[derive(Debug, Deserialize)]
pub(crate) struct About {
    received_at: Time,
    occurred_at: Option<Time>,
    cancellation: Option<Cancellation>,
    subscription: Option<Subscription>,
}

#[derive(Debug, Deserialize)]
struct Cancellation {
    kind: CancellationKind,
    reason_code: Option<String>,
    provider_reason: Option<String>,
    comment: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Subscription {
    tenure_days: Option<u32>,
    status: Option<String>,
    started_at: Option<Time>,
    trial_end: Option<Time>,
    mrr: Option<Money>,
    plan: Option<Plan>,
}

#[derive(Debug, Deserialize)]
struct Plan {
    id: Option<String>,
    name: Option<String>,
    interval: Option<String>,
}

impl About {
    /// Whether it is a cancellation that nobody wanted; where the provider does not say so, its reason code may.
    pub(crate) fn is_involuntary(&self) -> bool {
        let Some(cancellation) = &self.cancellation else { return false };
        match cancellation.kind {
            CancellationKind::Involuntary => true,
            CancellationKind::Voluntary => false,
            CancellationKind::Unknown => {
                cancellation.reason_code.as_deref().and_then(reason_group) == Some("involuntary")
            }
        }
    }

    /// What is known of the reason.
    pub(crate) fn said(&self) -> Said<'_> {
        let Some(cancellation) = &self.cancellation else { return Said::default() };
        Said {
            reason: cancellation.provider_reason.as_deref(),
            comment: cancellation.comment.as_deref(),
            code: cancellation.reason_code.as_deref(),
        }
    }

    /// What is known of the customer.
    pub(crate) fn facts(self) -> Facts {
        let Some(subscription) = self.subscription else { return Facts::default() };
        let now = self.occurred_at.unwrap_or(self.received_at);
        let since_start = |start| u32::try_from(now.since(start).as_secs() / SECONDS_PER_DAY).ok();
        let (id, name, interval) =
            subscription.plan.map_or((None, None, None), |plan| (plan.id, plan.name, plan.interval));
        Facts {
            tenure_days: subscription.tenure_days.or_else(|| since_start(subscription.started_at?)),
            trialing: subscription.status.as_deref() == Some("trialing")
                || subscription.trial_end.is_some_and(|end| end > now),
            mrr: subscription.mrr,
            interval,
            plan: [id, name].into_iter().flatten().collect(),
        }
    }
}
