//! Subscriptions and how they end.

use crate::decision::{CANCEL_SCHEDULED, CANCELED};
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

impl Subscription {
    /// Whole days from its start to `now`; `None` where the start is not known or lies ahead.
    pub fn days_since_start(&self, now: Option<Time>) -> Option<u32> {
        let (start, now) = (self.started_at?, now?);
        (now >= start).then(|| u32::try_from(now.since(start).as_secs() / 86_400).ok())?
    }
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

impl Plan {
    /// What `plans` bring in a month together: unit amounts by quantities (one, where none is told) over the months of
    /// their intervals, a year being 12 months, 52 weeks or 365 days. Exact, and rounded half to even at the end;
    /// discounts are not in it.
    ///
    /// A plan that is paid once brings nothing. `None` without plans, where one of them has no amount or interval,
    /// where their currencies differ, and where the sum does not fit.
    pub fn mrr(plans: &[Plan]) -> Option<Money> {
        let first = plans.first()?.unit_amount.as_ref()?;
        let (mut sum, mut unit) = (0i128, 1i128);
        for plan in plans {
            let amount = plan.unit_amount.as_ref()?;
            if (&amount.currency, amount.exponent) != (&first.currency, first.exponent) {
                return None;
            }
            // Periods in a year.
            let periods = match plan.interval.as_deref()? {
                "day" => 365,
                "week" => 52,
                "month" => 12,
                "quarter" => 4,
                "half_year" => 2,
                "year" => 1,
                "one_time" => 0,
                _ => return None,
            };
            let months = 12 * i128::from(plan.interval_count.unwrap_or(1).max(1));
            let amount = i128::from(amount.amount_minor)
                .checked_mul(plan.quantity.unwrap_or(1).into())?
                .checked_mul(periods)?;
            sum = sum.checked_mul(months)?.checked_add(amount.checked_mul(unit)?)?;
            unit = unit.checked_mul(months)?;
            let common = divisor(sum, unit);
            (sum, unit) = (sum / common, unit / common);
        }
        let (whole, rest) = (sum.div_euclid(unit), sum.rem_euclid(unit));
        let is_up = rest > unit - rest || (rest == unit - rest && whole % 2 != 0);
        let amount_minor = i64::try_from(whole + i128::from(is_up)).ok()?;
        Some(Money { amount_minor, original: amount_minor.to_string(), ..first.clone() })
    }
}

/// The greatest common divisor; `b` is positive, and so is it.
fn divisor(a: i128, b: i128) -> i128 {
    if a == 0 { b } else { divisor(b % a, a).abs() }
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

impl Phase {
    /// How far the cancellation is that an event of a canonical type tells; `None` if it tells none.
    pub fn of_kind(kind: &str) -> Option<Phase> {
        match kind {
            CANCEL_SCHEDULED => Some(Phase::Requested),
            CANCELED => Some(Phase::Effective),
            _ => None,
        }
    }
}

/// No code, a provider's neither, has more bytes than this.
pub const REASON_WORD_BYTES_MAX: usize = 24;

/// The canonical reason codes of a cancellation, each with its group.
const REASONS: &[(&str, &str)] = &[
    ("too_expensive", "price"),
    ("price_increase", "price"),
    ("missing_features", "product"),
    ("low_quality", "product"),
    ("too_complex", "product"),
    ("unused", "usage"),
    ("no_longer_needed", "usage"),
    ("temporary_pause", "usage"),
    ("switched_service", "competitor"),
    ("customer_service", "service"),
    ("other", "other"),
    ("unspecified", "other"),
    ("payment_failed", "involuntary"),
    ("payment_method_missing", "involuntary"),
    ("payment_timeout", "involuntary"),
    ("dispute", "involuntary"),
    ("fraud", "involuntary"),
    ("compliance", "involuntary"),
    ("configuration", "involuntary"),
    ("merchant_initiated", "merchant"),
    ("refunded", "merchant"),
    ("retention_policy", "merchant"),
    ("replaced", "merchant"),
];

/// The group of a canonical cancel reason code; `None` if the code is not canonical.
pub fn reason_group(code: &str) -> Option<&'static str> {
    REASONS.iter().find(|(known, _)| *known == code).map(|(_, group)| *group)
}

/// A reason as a code would be written, in lower case and with `_` between its words. `None` for what is longer than
/// [`REASON_WORD_BYTES_MAX`]: nobody calls a reason so.
pub fn reason_word(reason: &str) -> Option<String> {
    let reason = reason.trim();
    (reason.len() <= REASON_WORD_BYTES_MAX).then(|| reason.to_lowercase().replace(['-', ' '], "_"))
}

/// The canonical code that a reason is, in any case and with its words joined by `_`, `-` or a space: `Too Expensive`
/// is `too_expensive`. `None` for what people write otherwise: that is left to the plugins after the normalizer.
pub fn reason_code(reason: &str) -> Option<&'static str> {
    let word = reason_word(reason)?;
    REASONS.iter().find(|(known, _)| *known == word).map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::{Plan, REASONS, Subscription, reason_code, reason_group};
    use crate::{Money, Time};

    fn plan(amount: i64, quantity: u64, interval: &str, count: u32) -> Plan {
        Plan {
            interval: Some(interval.to_owned()),
            interval_count: Some(count),
            quantity: Some(quantity),
            unit_amount: Money::from_minor(amount, "USD"),
            ..Plan::default()
        }
    }

    #[test]
    fn revenue_is_reckoned_for_a_month_and_rounded_once() {
        let cases: [(&[Plan], Option<i64>); 15] = [
            (&[plan(1000, 1, "month", 1)], Some(1000)),
            (&[plan(1000, 3, "month", 1)], Some(3000)),
            (&[plan(12_000, 1, "year", 1)], Some(1000)),
            (&[plan(100, 1, "year", 1)], Some(8)),
            (&[plan(6, 1, "year", 1)], Some(0)),
            (&[plan(18, 1, "year", 1)], Some(2)),
            (&[plan(-18, 1, "year", 1)], Some(-2)),
            (&[plan(900, 1, "quarter", 1), plan(600, 1, "half_year", 1)], Some(400)),
            (&[plan(300, 1, "month", 3)], Some(100)),
            (&[plan(1200, 1, "week", 1)], Some(5200)),
            (&[plan(12, 1, "day", 1)], Some(365)),
            // A third of a cent three times is a cent.
            (&[plan(1, 1, "quarter", 1), plan(1, 1, "quarter", 1), plan(1, 1, "quarter", 1)], Some(1)),
            (&[plan(1000, 1, "month", 1), plan(5000, 1, "one_time", 1)], Some(1000)),
            (&[plan(1000, 1, "fortnight", 1)], None),
            (&[plan(i64::MAX, u64::MAX, "day", 1), plan(i64::MAX, u64::MAX, "day", 1)], None),
        ];
        for (plans, expected) in cases {
            assert_eq!(Plan::mrr(plans).map(|money| money.amount_minor), expected, "{plans:?}");
        }
        assert_eq!(Plan::mrr(&[]), None);
        let euros = Plan { unit_amount: Money::from_minor(1, "EUR"), ..plan(1, 1, "month", 1) };
        assert_eq!(Plan::mrr(&[plan(1, 1, "month", 1), euros]), None);
        assert_eq!(Plan::mrr(&[Plan { unit_amount: None, ..plan(1, 1, "month", 1) }]), None);
    }

    #[test]
    fn a_code_is_known_in_any_spelling_and_a_sentence_is_none() {
        let cases = [
            ("too_expensive", Some("too_expensive")),
            (" Too Expensive ", Some("too_expensive")),
            ("SWITCHED-service", Some("switched_service")),
            ("Too expensive for our team size", None),
            ("", None),
        ];
        for (reason, expected) in cases {
            assert_eq!(reason_code(reason), expected, "{reason:?}");
            assert_eq!(reason_group(reason).is_some(), reason == "too_expensive", "{reason:?}");
        }
        assert_eq!(reason_group("payment_failed"), Some("involuntary"));
        for (code, _) in REASONS {
            assert_eq!(reason_code(&format!(" {} ", code.to_uppercase())), Some(*code));
        }
    }

    #[test]
    fn days_are_whole_and_never_negative() {
        let since = |start: Option<u64>, now: Option<u64>| {
            let started_at = start.map(Time::from_secs);
            Subscription { started_at, ..Subscription::default() }.days_since_start(now.map(Time::from_secs))
        };
        assert_eq!(since(Some(1000), Some(1000 + 86_400 * 3 - 1)), Some(2));
        assert_eq!(since(Some(1000), Some(1000 + 86_400 * 3)), Some(3));
        assert_eq!(since(Some(1000), Some(999)), None);
        assert_eq!((since(None, Some(1)), since(Some(1), None)), (None, None));
    }
}
