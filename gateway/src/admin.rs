//! The admin API: what an operator may ask of a running gateway, and what may be changed: gates, secrets, deliveries
//! that have ended, refused requests, and in bulk by jobs.
//!
//! It stands on a private listener. A request passes, in this order: the `Host` check (a web page that points a name
//! of its own at this address must not get in), the token, a bound on requests under way and a time limit, then its
//! handler. Handlers only translate: parameters to a verb of the store, rows to the wire types of [`crate::api`].
//! `/healthz` and `/readyz` ask for neither host nor token and tell nothing but words.

mod cursor;
mod dead_letters;
mod deliveries;
mod endpoints;
mod error;
mod events;
mod guard;
mod health;
mod jobs;
mod listen;
mod params;
mod plugins;
mod refused;
mod rehearsals;
mod rotation;
mod view;
mod webhooks;

pub use listen::serve;

use crate::admin::error::ApiError;
use crate::clock::Clock;
use crate::dispatch::breaker::Breakers;
use crate::dispatch::rehearsal::{Rehearsal, Shadows};
use crate::model::id::{EndpointId, RefusedId};
use crate::model::refused::Readmission;
use crate::model::secret::Secret;
use crate::plugins::roster::Roster;
use crate::store;
use crate::worker::Wake;
use crate::worker::pulse::Pulses;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest request body.
pub const BODY_BYTES_MAX: usize = 64 * 1024;

/// Authenticates a refused request again: the way in does it, which is beside this part.
pub type Readmit = Arc<dyn Fn(RefusedId) -> store::Answer<'static, Readmission> + Send + Sync>;

/// What the admin API works with.
pub struct Admin {
    /// What the gateway keeps.
    pub store: store::Shared,
    /// The time, for redrives.
    pub clock: Clock,
    /// Wakes the pipeline after a webhook was redriven.
    pub dispatch: Wake,
    /// Wakes the deliveries after one was redriven.
    pub deliver: Wake,
    /// Wakes the replays after a job was asked for.
    pub replay: Wake,
    /// Takes refused requests after all.
    pub readmit: Readmit,
    /// The names of the configured sources.
    pub sources: Vec<String>,
    /// The configured endpoints, in the order of the configuration.
    pub endpoints: Vec<EndpointInfo>,
    /// The plugins.
    pub plugins: Arc<Roster>,
    /// Puts stored webhooks through candidates.
    pub rehearsal: Rehearsal,
    /// How shadows have done.
    pub shadows: Arc<Shadows>,
    /// Which plugins rest.
    pub breakers: Arc<Breakers>,
    /// The bearer token; an empty one lets nobody in.
    pub token: Secret,
    /// Whom a request may say it is for.
    pub listens_on: IpAddr,
    /// Whether the gateway takes part.
    pub phase: watch::Receiver<Phase>,
    /// How its loops are.
    pub pulses: Pulses,
}

/// How far a gateway is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It takes part.
    Up,
    /// It takes nothing more and finishes what is under way.
    Stopping,
}

/// What the admin API tells about a configured endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointInfo {
    /// Its id.
    pub id: EndpointId,
    /// Its name.
    pub name: String,
    /// Its URL without secrets.
    pub url: String,
    /// The secrets that the configuration gives it, if they can be rotated; else none.
    pub secrets: Vec<Secret>,
    /// How long it may stay on trial.
    pub disable_after: Duration,
}

impl Admin {
    /// The configured endpoint of this id.
    fn endpoint(&self, id: EndpointId) -> Option<&EndpointInfo> {
        self.endpoints.iter().find(|endpoint| endpoint.id == id)
    }

    /// The configured endpoint that a request names, by its name or its `ep_...`.
    fn configured(&self, text: &str) -> Result<&EndpointInfo, ApiError> {
        let named = self.endpoints.iter().find(|endpoint| endpoint.name == text);
        named.or_else(|| self.endpoint(text.parse().ok()?)).ok_or_else(|| ApiError::UnknownEndpoint {
            name: text.to_owned(),
            known: self.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect(),
        })
    }

    /// The endpoint that a request names: a configured one, or any `ep_...`.
    fn endpoint_named(&self, text: &str) -> Result<EndpointId, ApiError> {
        self.configured(text).map(|endpoint| endpoint.id).or_else(|unknown| text.parse().map_err(|_| unknown))
    }
}

/// Every route of the admin API.
pub fn router(admin: Admin) -> Router {
    let admin = Arc::new(admin);
    let api = Router::new()
        .route("/events", get(events::list))
        .route("/events/{id}", get(events::show))
        .route("/webhooks", get(webhooks::list))
        .route("/webhooks/{id}", get(webhooks::show))
        .route("/deliveries", get(deliveries::list))
        .route("/deliveries/{id}", get(deliveries::show))
        .route("/deliveries/{id}/resend", post(deliveries::resend))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/redrive", post(dead_letters::redrive))
        .route("/refused", get(refused::list))
        .route("/refused/{id}", get(refused::show))
        .route("/refused/{id}/retry", post(refused::retry))
        .route("/endpoints", get(endpoints::list))
        .route("/endpoints/{name}", get(endpoints::show))
        .route("/endpoints/{name}/pause", post(endpoints::pause))
        .route("/endpoints/{name}/resume", post(endpoints::resume))
        .route("/endpoints/{name}/enable", post(endpoints::enable))
        .route("/endpoints/{name}/test", post(endpoints::test))
        .route("/endpoints/{name}/rotate", post(rotation::rotate))
        .route("/jobs", get(jobs::list).post(jobs::add))
        .route("/jobs/count", post(jobs::count))
        .route("/jobs/{id}", get(jobs::show))
        .route("/jobs/{id}/cancel", post(jobs::cancel))
        .route("/shadows", get(rehearsals::shadows))
        .route("/plugins", get(plugins::list))
        .route("/plugins/{name}", get(plugins::show))
        .route("/stats", get(health::stats))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(guard::Load::new(), guard::bounded))
        .merge(plugins::changes())
        .merge(rehearsals::rehearsals())
        .layer(from_fn_with_state(guard::Door::new(&admin), guard::admitted));
    Router::new()
        .nest("/api/v1", api)
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .fallback(async || ApiError::NoRoute)
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(from_fn(guard::heard_out))
        .with_state(admin)
}
