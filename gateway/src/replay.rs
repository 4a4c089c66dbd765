//! The replay pass: takes the jobs that operators asked for further, step by step, at the rate that each was given.
//!
//! A step is one commit of the store, cursor included: the pass remembers only when each job may go on, so a restart
//! costs nothing but that wait.

use crate::clock::Clock;
use crate::model::Time;
use crate::model::id::JobId;
use crate::model::job::{Job, RUNNING_MAX, What};
use crate::store::{Shared, StoreError};
use crate::worker::{Stop, Wake, Woken};
use std::collections::HashMap;
use std::time::Duration;

/// The most that one step moves: it is one commit, and webhooks wait for it.
const STEP_MAX: u64 = 100;
/// How long a job waits that cannot be taken further, and the pass when the store cannot answer.
const STORE_WAIT: Duration = Duration::from_secs(5);

/// Runs the replay pass. Cloning it is cheap.
#[derive(Clone)]
pub struct Replay {
    store: Shared,
    clock: Clock,
    dispatch: Wake,
    deliver: Wake,
}

impl Replay {
    /// A pass that wakes `dispatch` and `deliver` for what it moved.
    pub fn new(store: Shared, clock: Clock, dispatch: Wake, deliver: Wake) -> Replay {
        Replay { store, clock, dispatch, deliver }
    }

    /// Runs until `stop`; a step that is being committed then is committed.
    ///
    /// # Errors
    /// The store's, when it is closed; anything that passes is waited for.
    pub async fn run(self, mut woken: Woken, stop: Stop) -> Result<(), StoreError> {
        let mut pace = HashMap::new();
        loop {
            let heard = woken.heard();
            let next = tokio::select! {
                biased;
                () = stop.stopped() => return Ok(()),
                next = self.steps(&mut pace) => match next {
                    Ok(next) => next,
                    Err(error @ StoreError::Closed(_)) => return Err(error),
                    Err(error) => {
                        tracing::error!(%error, "cannot read which jobs go on");
                        Some(self.clock.now().plus(STORE_WAIT))
                    }
                }
            };
            if next.is_some_and(|next| next <= self.clock.now()) {
                continue;
            }
            woken.rest(heard);
            tokio::select! {
                () = stop.stopped() => return Ok(()),
                () = woken.woken() => {}
                () = self.clock.sleep_until(next.unwrap_or(Time::MAX)) => {}
            }
        }
    }

    /// Takes every job that may go on one step further; says when the next may. One that cannot be taken further keeps
    /// nobody from it.
    async fn steps(&self, pace: &mut HashMap<JobId, Time>) -> Result<Option<Time>, StoreError> {
        let jobs = self.store.running_jobs(RUNNING_MAX).await?;
        pace.retain(|id, _| jobs.iter().any(|job| job.id == *id));
        let mut next: Option<Time> = None;
        for job in jobs {
            let now = self.clock.now();
            let mut at = pace.get(&job.id).copied().unwrap_or(now);
            if at <= now {
                let wait = match self.step(&job, now).await {
                    Ok(moved) => job.rate.lasting(moved),
                    Err(error @ StoreError::Closed(_)) => return Err(error),
                    Err(error) => {
                        tracing::error!(job = %job.id, %error, "cannot take a job further");
                        STORE_WAIT
                    }
                };
                at = now.plus(wait);
                pace.insert(job.id, at);
            }
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        Ok(next)
    }

    /// One step of one job; how much it moved.
    async fn step(&self, job: &Job, now: Time) -> Result<u64, StoreError> {
        let n = job.rate.burst().min(STEP_MAX);
        let Some(after) = self.store.step_job(job.id, now, n.try_into().unwrap_or(1)).await? else {
            return Ok(0);
        };
        let moved = after.moved.saturating_sub(job.moved);
        if moved > 0 {
            match job.what {
                What::Resend | What::Redrive => self.deliver.wake(),
                What::Reprocess { .. } => self.dispatch.wake(),
            }
        }
        if !after.is_running() {
            tracing::info!(job = %after.id, looked = after.looked, moved = after.moved, state = ?after.state, "a job ended");
        }
        Ok(moved)
    }
}
