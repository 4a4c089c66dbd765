//! The deliver pass: sends what is due, records what came of it, and looks again.
//!
//! The loop owns all it remembers: how every endpoint fared (`lane`), and the attempts under way, each a task that
//! sends (`attempt`), then a task that records. It leases fairly: each endpoint has one slot of its own and the
//! rest is shared evenly, none of them getting the last, so an endpoint that hangs delays nobody else. What a pass finds
//! is only what the store says is due, so fresh, retried, resent and crash-recovered deliveries take one path.
//!
//! Not guaranteed: order, unless the endpoint asks for it (then the store hands out one event of an entity at a time),
//! and that a delivery is sent once. An attempt that was not recorded before the process died is made again, under the
//! same `webhook-id`.

mod attempt;
mod endpoints;
mod format;
mod lane;
mod pace;
mod pass;
mod signer;
mod transform;
mod turning;

pub use crate::deliver::endpoints::{BadEndpoint, Endpoints};
pub use crate::deliver::transform::Step;

use crate::clock::Clock;
use crate::deliver::pass::Pass;
use crate::model::Time;
use crate::outbound::Outbound;
use crate::store::{Shared, StoreError};
use crate::worker::{Stop, Woken};
use std::sync::Arc;

/// The most attempts under way at once, beside one for each endpoint. Each keeps an event and an answer in memory.
const IN_FLIGHT_MAX: usize = 256;

/// Delivers. Cloning it is cheap.
#[derive(Clone)]
pub struct Deliver {
    store: Shared,
    clock: Clock,
    outbound: Outbound,
    endpoints: Arc<Endpoints>,
}

impl Deliver {
    /// The parts it works with.
    pub fn new(store: Shared, clock: Clock, outbound: Outbound, endpoints: Arc<Endpoints>) -> Deliver {
        Deliver { store, clock, outbound, endpoints }
    }

    /// Runs until `stop`, then leases nothing more and returns when what is under way has ended: each attempt is
    /// bounded by its endpoint's timeout. Fails when the store is closed. Dropping the future gives up what is under
    /// way and returns the leases: it will be sent again.
    pub async fn run(self, mut woken: Woken, stop: Stop) -> Result<(), StoreError> {
        let mut pass = Pass::new(&self);
        loop {
            let heard = woken.heard();
            let next = pass.look().await?;
            if pass.is_idle() {
                woken.rest(heard);
            }
            tokio::select! {
                biased;
                () = stop.stopped() => break,
                ended = pass.ended(), if !pass.is_idle() => ended?,
                () = woken.woken() => {}
                () = due(&self.clock, next) => {}
            }
        }
        while !pass.is_idle() {
            pass.ended().await?;
        }
        Ok(())
    }
}

async fn due(clock: &Clock, next: Option<Time>) {
    match next {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
