//! Whether the loops go round: what a probe of the process asks.
//!
//! A probe wakes every loop. A loop that has not begun a pass since the wake of an earlier probe, for longer than any
//! pass takes, is stuck: nothing is asked of a loop for this but what it does anyway.

use crate::worker::Wake;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a loop may take to begin a pass after it was woken.
pub const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The loops of a gateway. A clone is of the same.
#[derive(Clone, Debug, Default)]
pub struct Pulses(Arc<Mutex<Vec<Loop>>>);

/// Says how one loop ends.
#[derive(Debug)]
pub struct Pulse {
    pulses: Pulses,
    place: usize,
}

/// A loop, as probes saw it.
#[derive(Debug)]
struct Loop {
    name: &'static str,
    wake: Wake,
    /// It ended, and not by being stopped.
    ended: bool,
    /// The wake of a probe, and when that was.
    probed: Option<(u64, Instant)>,
}

/// What is wrong with which loops.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ill {
    /// They ended for good.
    pub ended: Vec<&'static str>,
    /// They have not begun a pass for [`STUCK_AFTER`], though they were woken.
    pub stuck: Vec<&'static str>,
}

impl Pulses {
    fn loops(&self) -> MutexGuard<'_, Vec<Loop>> {
        // Each holder only looks or sets a field, so a panic elsewhere leaves them whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A loop begins that `wake` wakes.
    pub fn begin(&self, name: &'static str, wake: &Wake) -> Pulse {
        let mut loops = self.loops();
        loops.push(Loop { name, wake: wake.clone(), ended: false, probed: None });
        Pulse { pulses: self.clone(), place: loops.len() - 1 }
    }

    /// Looks at every loop, and wakes it. A loop is found stuck by the second look at the earliest.
    pub fn ill(&self, now: Instant) -> Ill {
        let mut ill = Ill::default();
        for of in self.loops().iter_mut() {
            if of.ended {
                ill.ended.push(of.name);
            } else if of.is_stuck(now) {
                ill.stuck.push(of.name);
            }
        }
        ill
    }
}

impl Loop {
    fn is_stuck(&mut self, now: Instant) -> bool {
        match self.probed {
            Some((wake, since)) if self.wake.heard() < wake => now.duration_since(since) >= STUCK_AFTER,
            Some(_) | None => {
                self.probed = Some((self.wake.ask(), now));
                false
            }
        }
    }
}

impl Pulse {
    /// The loop has ended, and not by being stopped.
    pub fn ended(self) {
        if let Some(of) = self.pulses.loops().get_mut(self.place) {
            of.ended = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_go_round_is_told_by_name_until_it_does() {
        let pulses = Pulses::default();
        let ((well, mut goes_round), (hung, mut hangs)) = (Wake::new(), Wake::new());
        let _pulses = [("well", &well), ("hung", &hung)].map(|(name, wake)| pulses.begin(name, wake));
        let begun = Instant::now();
        let stuck_after = |secs| {
            let ill = pulses.ill(begun + Duration::from_secs(secs));
            assert!(ill.ended.is_empty());
            ill.stuck
        };
        for secs in [0, 10, 29] {
            assert!(stuck_after(secs).is_empty(), "{secs}");
            goes_round.heard();
        }
        hung.wake();
        assert_eq!(stuck_after(30), ["hung"]);
        goes_round.heard();
        assert_eq!(stuck_after(60), ["hung"]);
        hangs.heard();
        assert!(stuck_after(61).is_empty(), "the other one was woken a second ago");
        assert_eq!(stuck_after(91), ["well", "hung"]);
    }

    #[test]
    fn a_loop_that_has_ended_is_told_by_name() {
        let pulses = Pulses::default();
        let (wake, _woken) = Wake::new();
        let [first, _second] = ["first", "second"].map(|name| pulses.begin(name, &wake));
        first.ended();
        assert_eq!(pulses.ill(Instant::now()), Ill { ended: vec!["first"], stuck: Vec::new() });
    }
}
