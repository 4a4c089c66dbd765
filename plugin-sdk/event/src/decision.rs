//! Whether a planned end of a subscription still stands, by what was told of it.

use crate::time::Time;

/// An end is planned. Some providers tell it again with every update until then.
pub const CANCEL_SCHEDULED: &str = "subscription.cancel_scheduled";
/// The end is not planned any more.
pub const CANCEL_UNSCHEDULED: &str = "subscription.cancel_unscheduled";
/// The end has come.
pub const CANCELED: &str = "subscription.canceled";
/// It is signed, or begins: after a trial, or as it was planned.
pub const ACTIVATED: &str = "subscription.activated";
/// Its beginning is planned.
pub const SCHEDULED: &str = "subscription.scheduled";
/// The trial is over.
pub const TRIAL_ENDED: &str = "subscription.trial_ended";

/// When the planned end was decided that was told and still stands: neither has it come, nor was it taken back, nor was the
/// subscription signed anew. Neither a renewal nor the end of a pause ends a decision: an end may be planned for many
/// periods ahead. `last_seen` is when the last event of a canonical type happened; `trial_end` is asked where nothing that
/// was seen tells it.
///
/// ```
/// use billhook_event::{Time, decision};
///
/// let seen = |kind: &str| (kind == decision::CANCEL_SCHEDULED).then(|| Time::from_secs(5));
/// assert_eq!(decision::standing(seen, || None), Some(Time::from_secs(5)));
/// ```
pub fn standing(
    last_seen: impl Fn(&str) -> Option<Time>,
    trial_end: impl FnOnce() -> Option<Time>,
) -> Option<Time> {
    let decided = last_seen(CANCEL_SCHEDULED)?;
    let is_told_by = |kind| last_seen(kind).is_some_and(|at| at >= decided);
    let is_over = [CANCEL_UNSCHEDULED, CANCELED].into_iter().any(is_told_by);
    // What becomes active at the end of the trial in which it was decided, or as it was planned, is not signed anew.
    let is_planned = || {
        last_seen(SCHEDULED).is_some()
            || is_told_by(TRIAL_ENDED)
            || trial_end().is_some_and(|at| at > decided)
    };
    let is_signed = || last_seen(ACTIVATED).is_some_and(|at| at > decided) && !is_planned();
    (!is_over && !is_signed()).then_some(decided)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_stands_until_the_end_or_until_the_subscription_goes_on() {
        for (told, trial_end, stands) in [
            (&[("cancel_scheduled", 5)][..], None, true),
            (&[("cancel_scheduled", 5), ("cancel_unscheduled", 5)], None, false),
            (&[("cancel_scheduled", 5), ("canceled", 9)], None, false),
            (&[("canceled", 4), ("cancel_scheduled", 5), ("renewed", 9)], None, true),
            (&[("cancel_scheduled", 5), ("activated", 5)], None, true),
            (&[("cancel_scheduled", 5), ("activated", 6)], None, false),
            (&[("cancel_scheduled", 5), ("activated", 6)], Some(6), true),
            (&[("cancel_scheduled", 5), ("activated", 6)], Some(5), false),
            (&[("cancel_scheduled", 5), ("trial_ended", 6), ("activated", 6)], None, true),
            (&[("trial_ended", 4), ("cancel_scheduled", 5), ("activated", 6)], None, false),
            (&[("scheduled", 4), ("cancel_scheduled", 5), ("activated", 6)], None, true),
            (&[("cancel_scheduled", 5), ("resumed", 6)], None, true),
            (&[("activated", 6)], None, false),
        ] {
            let seen = |kind: &str| {
                let told = told.iter().find(|(name, _)| Some(*name) == kind.strip_prefix("subscription."));
                told.map(|(_, at)| Time::from_secs(*at))
            };
            let decided = standing(seen, || trial_end.map(Time::from_secs));
            assert_eq!(decided, stands.then(|| Time::from_secs(5)), "{told:?}, {trial_end:?}");
        }
    }
}
