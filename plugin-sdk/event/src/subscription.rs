//! Subscriptions and how they end.

use crate::{Money, Time};
use serde::{Deserialize, Serialize};

/// The subscription an event is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subscription {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The id that the operator's own system gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// `incomplete`, `scheduled`, `trialing`, `active`, `past_due`, `unpaid`, `paused`, `canceled`, `expired`
    /// or `unknown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The provider's own word for `status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_status: Option<String>,
    /// What is subscribed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When its trial began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_start: Option<Time>,
    /// When its trial ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trial_end: Option<Time>,
    /// Start of the paid period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_period_start: Option<Time>,
    /// End of the paid period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_period_end: Option<Time>,
    /// When access will end, if that is decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_at: Option<Time>,
    /// Whether it ends with the paid period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_at_period_end: Option<bool>,
    /// When the cancellation was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canceled_at: Option<Time>,
    /// When access ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// When it was paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Time>,
    /// When it resumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumes_at: Option<Time>,
    /// Monthly recurring revenue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mrr: Option<Money>,
    /// Where `mrr` is from: `provider`, `computed` or `config`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mrr_source: Option<String>,
    /// Days since it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenure_days: Option<u32>,
    /// The subscription that this one is part of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<String>,
}

/// What is subscribed to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Plan {
    /// The provider's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The product it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    /// `day`, `week`, `month`, `quarter`, `half_year`, `year` or `one_time`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// How many intervals make one period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval_count: Option<u32>,
    /// Seats or units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u64>,
    /// Price of one unit for one period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<Money>,
}

/// How and why a subscription ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cancellation {
    /// Whether somebody wanted it.
    pub kind: CancellationKind,
    /// Who decided.
    pub initiator: Initiator,
    /// Decided, or in effect.
    pub phase: Phase,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// When access ends or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_at: Option<Time>,
    /// Whether access ends with the paid period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_period_end: Option<bool>,
    /// One of the canonical codes, such as `too_expensive` (see [`reason_group`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    /// The group of `reason_code`: `price`, `product`, `usage`, `competitor`, `service`, `other`,
    /// `involuntary` or `merchant`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_group: Option<String>,
    /// The reason verbatim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_reason: Option<String>,
    /// The provider's field that it was found in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_reason_field: Option<String>,
    /// What the customer wrote, at most [`COMMENT_CHARS_MAX`] characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The longest comment that is kept, in characters.
pub const COMMENT_CHARS_MAX: usize = 2000;

/// Whether a cancellation was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancellationKind {
    /// The customer or merchant wanted it.
    Voluntary,
    /// A payment or a rule ended it: dunning, not retention.
    Involuntary,
    /// The provider does not tell.
    Unknown,
}

/// Who decided a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initiator {
    /// The customer.
    Customer,
    /// The seller.
    Merchant,
    /// The provider's own rules.
    System,
    /// A bank.
    Bank,
    /// An app store.
    Store,
    /// The provider does not tell.
    Unknown,
}

/// How far a cancellation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Decided; access goes on.
    Requested,
    /// Access has ended.
    Effective,
}

/// The group of a canonical cancel reason code; `None` if the code is not canonical.
pub fn reason_group(code: &str) -> Option<&'static str> {
    Some(match code {
        "too_expensive" | "price_increase" => "price",
        "missing_features" | "low_quality" | "too_complex" => "product",
        "unused" | "no_longer_needed" | "temporary_pause" => "usage",
        "switched_service" => "competitor",
        "customer_service" => "service",
        "other" | "unspecified" => "other",
        "payment_failed"
        | "payment_method_missing"
        | "payment_timeout"
        | "dispute"
        | "fraud"
        | "compliance"
        | "configuration" => "involuntary",
        "merchant_initiated" | "refunded" | "retention_policy" | "replaced" => "merchant",
        _ => return None,
    })
}
