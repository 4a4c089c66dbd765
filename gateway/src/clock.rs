//! The one place that reads time.
//!
//! A system clock reads the machine's; a manual clock stands still until a test pushes it, and then wakes whoever
//! waited for the time it was pushed to.

use crate::model::Time;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Tells the time, and waits for one.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Manual(Arc<watch::Sender<Time>>),
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Clock {
        Clock(Kind::System)
    }

    /// A clock that shows `start` until it is pushed.
    pub fn manual(start: Time) -> Clock {
        Clock(Kind::Manual(Arc::new(watch::Sender::new(start))))
    }

    /// The time.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads wall time")]
    pub fn now(&self) -> Time {
        match &self.0 {
            Kind::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time::from_millis(since.as_millis().try_into().unwrap_or(u64::MAX))
            }
            Kind::Manual(time) => *time.borrow(),
        }
    }

    /// Pushes a manual clock forward by `duration` and wakes who waited until then. A system clock is left alone.
    pub fn advance(&self, duration: Duration) {
        if let Kind::Manual(time) = &self.0 {
            time.send_modify(|now| *now = now.plus(duration));
        }
    }

    /// Sets a manual clock, forward or back, as a machine's clock may be set. A system clock is left alone.
    pub fn set(&self, to: Time) {
        if let Kind::Manual(time) = &self.0 {
            time.send_replace(to);
        }
    }

    /// Returns once the clock shows `at` or later. Dropping the future is safe.
    pub async fn sleep_until(&self, at: Time) {
        match &self.0 {
            // Long waits are cut so that a wall clock that is set back or forward is noticed within a minute.
            Kind::System => {
                while let wait = at.since(self.now())
                    && !wait.is_zero()
                {
                    tokio::time::sleep(wait.min(Duration::from_secs(60))).await;
                }
            }
            Kind::Manual(time) => {
                // The sender is in `self`, so the channel is open for as long as this future is.
                let _ = time.subscribe().wait_for(|now| *now >= at).await;
            }
        }
    }
}
