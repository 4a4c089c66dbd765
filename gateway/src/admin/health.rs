//! `GET /healthz`, `GET /readyz`, `GET /api/v1/stats`.

use crate::admin::error::ApiError;
use crate::admin::{Admin, Phase};
use crate::api;
use crate::model::stats::Stats;
use crate::store::Health;
use crate::worker::pulse::Ill;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use std::sync::Arc;
use tokio::time::Instant;

/// The process answers.
pub(crate) async fn alive() -> Json<api::Health> {
    Json(api::Health { status: "ok".to_owned(), loops: Vec::new() })
}

/// The gateway takes webhooks and works them off: it does not stop, the store can write, and every loop
/// goes round. What keeps it from that is told by name.
pub(crate) async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<api::Health>) {
    let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let Ill { ended, stuck } = admin.pulses.ill(Instant::now());
    let (word, loops) = match (*admin.phase.borrow(), admin.store.health()) {
        (Phase::Stopping, _) => ("stopping", Vec::new()),
        (Phase::Up, Health::Failed(_)) => ("failed", named(&["committer"])),
        (Phase::Up, _) if !ended.is_empty() => ("failed", named(&ended)),
        (Phase::Up, Health::Stuck) => ("stuck", named(&["committer"])),
        (Phase::Up, _) if !stuck.is_empty() => ("stuck", named(&stuck)),
        (Phase::Up, Health::Full) => ("full", Vec::new()),
        (Phase::Up, Health::Well) => ("ok", Vec::new()),
    };
    let status = if word == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(api::Health { status: word.to_owned(), loops }))
}

/// Counters and sizes.
pub(crate) async fn stats(State(admin): State<Arc<Admin>>) -> Result<Json<Stats>, ApiError> {
    Ok(Json(admin.store.stats().await?))
}
