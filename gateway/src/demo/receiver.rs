//! The demo's own endpoint: it verifies every signature and counts what it got.

use crate::model::signature::{self, Signed};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How far off a signed time may be (Standard Webhooks 1.0.0).
const TOLERANCE: Duration = Duration::from_secs(300);

/// The path that takes everything.
pub const STEADY: &str = "/hooks/billing";
/// The path that is down for the first request.
pub const FLAKY: &str = "/hooks/crm";

/// What arrived at the demo's endpoint.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    /// How often each `webhook-id` arrived.
    pub ids: BTreeMap<String, u32>,
    /// Requests whose signature was not right.
    pub forged: u32,
    /// Requests that the flaky path refused before it took any.
    pub failed: u32,
}

/// The demo's own endpoint.
#[derive(Debug)]
pub struct Receiver {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    key: Vec<u8>,
    clock: crate::clock::Clock,
    /// Held for one update.
    arrivals: Mutex<Arrivals>,
}

impl Receiver {
    /// Listens on a free port and verifies with `secret`.
    pub async fn start(secret: &str, clock: crate::clock::Clock) -> anyhow::Result<Receiver> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let addr = listener.local_addr()?;
        let key = signature::standard_key(secret)?;
        let shared = Arc::new(Shared { key, clock, arrivals: Mutex::default() });
        let router = Router::new()
            .route(STEADY, post(receive))
            .route(FLAKY, post(fail_once))
            .with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            // It ends with the demo; an error before that shows as deliveries that fail.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Receiver { addr, shared, task })
    }

    /// What arrived so far.
    pub fn arrivals(&self) -> Arrivals {
        self.shared.arrivals.lock().expect("no holder of this lock panics").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers 503 to the first request, and then as [`receive`].
async fn fail_once(shared: State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    {
        let mut arrivals = shared.arrivals.lock().expect("no holder of this lock panics");
        if arrivals.failed == 0 {
            arrivals.failed += 1;
            return StatusCode::SERVICE_UNAVAILABLE;
        }
    }
    receive(shared, headers, body).await
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let id = header("webhook-id").to_owned();
    let signed = Signed {
        id: &id,
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
        body: &body,
    };
    let keys = std::slice::from_ref(&shared.key);
    let authentic = signature::verify_v1(keys, signed, shared.clock.now(), TOLERANCE).is_ok();
    let mut arrivals = shared.arrivals.lock().expect("no holder of this lock panics");
    if !authentic {
        arrivals.forged += 1;
        return StatusCode::UNAUTHORIZED;
    }
    *arrivals.ids.entry(id).or_default() += 1;
    StatusCode::OK
}
