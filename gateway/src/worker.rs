//! Runs a pass over stored state when it is woken, when something falls due, and until it is told to stop.
//!
//! A pass takes no input: a wake says only "look again", so fresh, late and crash-recovered work take one path.

pub mod pulse;

use futures_util::FutureExt;
use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Wakes a worker. Waking carries no data, may happen at any time and costs next to nothing.
#[derive(Clone, Debug)]
pub struct Wake {
    asked: watch::Sender<u64>,
    rested: watch::Receiver<u64>,
    heard: Arc<AtomicU64>,
}

/// The worker's side of a [`Wake`]. A clone takes over where the original stood.
#[derive(Clone, Debug)]
pub struct Woken {
    asked: watch::Receiver<u64>,
    rested: watch::Sender<u64>,
    heard: Arc<AtomicU64>,
}

impl Wake {
    /// A wake and the side that waits for it.
    pub fn new() -> (Wake, Woken) {
        let ((asked, hears), (rests, rested)) = (watch::channel(0), watch::channel(0));
        let heard = Arc::<AtomicU64>::default();
        (Wake { asked, rested, heard: Arc::clone(&heard) }, Woken { asked: hears, rested: rests, heard })
    }

    /// Has the worker look again.
    pub fn wake(&self) {
        self.ask();
    }

    /// Has the worker look again. Answers which wake it is.
    fn ask(&self) -> u64 {
        let mut wake = 0;
        self.asked.send_modify(|n| {
            *n += 1;
            wake = *n;
        });
        wake
    }

    /// The last wake that the worker took as heard before a pass.
    fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// Wakes the worker and returns once a whole pass that began after that found nothing due and nothing under
    /// way, or when the worker is gone. Dropping the future is safe.
    pub async fn settled(&self) {
        self.wake();
        let asked = *self.asked.borrow();
        // An error means that the worker is gone, and what is gone rests.
        let _ = self.rested.clone().wait_for(|rested| *rested >= asked).await;
    }
}

impl Woken {
    /// Returns at once if there was a wake since the last call, else at the next. Dropping the future loses none.
    pub async fn woken(&mut self) {
        // An error means that nobody is left to wake us: then only due times do.
        if self.asked.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// To be called before a pass: takes the wakes so far as heard and says which was the last.
    pub fn heard(&mut self) -> u64 {
        let heard = *self.asked.borrow_and_update();
        self.heard.store(heard, Relaxed);
        heard
    }

    /// To be called after a pass that found nothing due while nothing was under way; `heard` is what
    /// [`Woken::heard`] said before it.
    pub fn rest(&self, heard: u64) {
        self.rested.send_if_modified(|rested| std::mem::replace(rested, heard.max(*rested)) < heard);
    }
}

/// Tells everyone who holds the [`Stop`] to stop, also by being dropped.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Says when to stop.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A stop, and who tells it.
    pub fn new() -> (Stopper, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Stopper(sender), Stop(receiver))
    }

    /// Returns once it is time to stop. Dropping the future is safe.
    pub async fn stopped(&self) {
        // An error means that the stopper was dropped: that is a stop too.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }
}

impl Stopper {
    /// Stops them.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

/// How often and how soon a loop that panics is started again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The wait after the first panic; it doubles.
    pub wait_min: Duration,
    /// The longest wait.
    pub wait_max: Duration,
    /// This many panics in a row are the end.
    pub panics_max: u32,
    /// A loop that ran for this long is taken to be well again.
    pub well_after: Duration,
}

impl Default for Patience {
    /// 100 ms doubling to 10 s, ten panics with less than a minute between them.
    fn default() -> Patience {
        Patience {
            wait_min: Duration::from_millis(100),
            wait_max: Duration::from_secs(10),
            panics_max: 10,
            well_after: Duration::from_secs(60),
        }
    }
}

/// Why a supervised loop ended for good.
#[derive(Debug, thiserror::Error)]
pub enum Ended<E> {
    /// It gave up by itself.
    #[error("the {name} loop failed")]
    Failed {
        /// Which.
        name: &'static str,
        /// Why.
        #[source]
        why: E,
    },
    /// It kept panicking.
    #[error("the {name} loop panicked {panics} times in a row, the last time: {why}")]
    Panicked {
        /// Which.
        name: &'static str,
        /// How often.
        panics: u32,
        /// What the last panic said.
        why: String,
    },
}

/// Runs the loop that `start` gives until it returns. A panic costs what was under way, which stored state brings
/// back, and the loop is started again as `patience` says; an error ends it.
pub async fn supervise<F, E>(
    name: &'static str,
    patience: Patience,
    mut start: impl FnMut() -> F,
) -> Result<(), Ended<E>>
where
    F: Future<Output = Result<(), E>>,
{
    let mut panics = 0;
    loop {
        let started = Instant::now();
        let why = match unwound(start()).await {
            Ok(ended) => return ended.map_err(|why| Ended::Failed { name, why }),
            Err(panic) => said(&*panic),
        };
        panics = if started.elapsed() >= patience.well_after { 1 } else { panics + 1 };
        if panics >= patience.panics_max {
            return Err(Ended::Panicked { name, panics, why });
        }
        let wait = patience.wait_min.saturating_mul(1 << (panics - 1).min(20)).min(patience.wait_max);
        tracing::error!(
            name,
            panics,
            why,
            wait_ms = wait.as_millis() as u64,
            "a loop panicked and is started again"
        );
        tokio::time::sleep(wait).await;
    }
}

/// Polls `future` to its end; a panic in it is an error, see [`said`].
pub fn unwound<F: Future>(future: F) -> impl Future<Output = Result<F::Output, Box<dyn Any + Send>>> {
    // After a panic the future is never polled again, so nobody sees what it left half done.
    AssertUnwindSafe(future).catch_unwind()
}

/// What a panic said.
pub fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    #[tokio::test]
    async fn settled_waits_for_a_pass_that_began_after_it() {
        let (wake, mut woken) = Wake::new();
        let before = woken.heard();
        let mut settled = pin!(wake.settled());
        assert!(futures_poll(settled.as_mut()).await.is_pending());
        woken.rest(before);
        assert!(futures_poll(settled.as_mut()).await.is_pending(), "a pass that began before does not count");
        woken.woken().await;
        let heard = woken.heard();
        woken.rest(heard);
        settled.await;
        drop(woken);
        wake.settled().await;
    }

    async fn futures_poll<F: Future + Unpin>(mut future: F) -> Poll<F::Output> {
        poll_fn(|context| Poll::Ready(pin!(&mut future).poll(context))).await
    }

    #[tokio::test]
    async fn a_loop_that_panics_is_started_again_and_given_up_after_ten_times() {
        let patience = Patience { wait_min: Duration::ZERO, ..Patience::default() };
        for (panics, ends_well) in [(0, true), (9, true), (10, false)] {
            let mut runs = 0;
            let ended = supervise("test", patience, || {
                runs += 1;
                let run = runs;
                async move {
                    assert!(run > panics, "run {run}");
                    Ok::<(), Infallible>(())
                }
            })
            .await;
            match ended {
                Ok(()) => assert!(ends_well && runs == panics + 1, "{panics}"),
                Err(Ended::Panicked { panics: 10, why, .. }) => {
                    assert!(!ends_well && why == "run 10", "{panics}: {why}")
                }
                Err(error) => panic!("{panics}: {error}"),
            }
        }
    }

    #[tokio::test]
    async fn an_error_ends_a_loop_at_once() {
        let mut runs = 0;
        let ended = supervise("test", Patience::default(), || {
            runs += 1;
            async { Err(std::fmt::Error) }
        });
        assert!(matches!(ended.await, Err(Ended::Failed { name: "test", .. })));
        assert_eq!(runs, 1);
    }

    #[tokio::test]
    async fn a_stop_is_told_by_word_and_by_drop() {
        let (stopper, stop) = Stop::new();
        stopper.stop();
        stop.stopped().await;
        let (stopper, stop) = Stop::new();
        drop(stopper);
        stop.stopped().await;
    }
}
