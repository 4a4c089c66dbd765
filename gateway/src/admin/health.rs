//! `GET /healthz`, `GET /readyz`, `GET /api/v1/stats`.

use crate::admin::Admin;
use crate::admin::error::ApiError;
use crate::api;
use crate::store::Health;
use axum::Json;
use axum::extract::State;
use http::StatusCode;
use std::sync::Arc;

/// The process answers.
pub(crate) async fn alive() -> Json<api::Health> {
    Json(api::Health { status: "ok".to_owned() })
}

/// The gateway takes webhooks: it is started, it does not stop, and the store can write.
pub(crate) async fn ready(State(admin): State<Arc<Admin>>) -> (StatusCode, Json<api::Health>) {
    let (status, word) = match (*admin.ready.borrow(), admin.store.health()) {
        (_, Health::Failed(_)) => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
        (false, Health::Well | Health::Full) => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        (true, Health::Full) => (StatusCode::SERVICE_UNAVAILABLE, "full"),
        (true, Health::Well) => (StatusCode::OK, "ok"),
    };
    (status, Json(api::Health { status: word.to_owned() }))
}

/// Counters and sizes.
pub(crate) async fn stats(State(admin): State<Arc<Admin>>) -> Result<Json<api::Stats>, ApiError> {
    let stats = admin.store.stats().await?;
    Ok(Json(api::Stats {
        webhooks: stats.webhooks,
        duplicates: stats.duplicates,
        undispatched: stats.undispatched,
        webhooks_dead: stats.webhooks_dead,
        events: stats.events,
        waiting: stats.waiting,
        delivered: stats.delivered,
        dead: stats.dead,
        disk_bytes: stats.disk_bytes,
    }))
}
