//! `GET /api/v1/plugins`, `GET /api/v1/plugins/{name}`, and `POST` of its `/load`, `/swap`, `/rollback`.
//!
//! A component is the body as it is. Compiling it takes a while, so these routes have limits of their own.

use crate::admin::error::ApiError;
use crate::admin::params::{Name, Params, body};
use crate::admin::{Admin, guard};
use crate::api::plugin::{LoadQuery, Plugin, PluginDetail, Plugins, Rollback, SwapQuery};
use crate::plugins::COMPONENT_BYTES_MAX;
use crate::plugins::roster::Errand;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use http::StatusCode;
use std::sync::Arc;
use std::time::Duration;

/// The most components that are taken in at once.
const CHANGES_MAX: usize = 2;
/// The longest that one may take, with all that it waits for: longer than the compiler may.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(150);
/// The longest reason that is kept, in bytes.
const WHY_BYTES_MAX: usize = 500;

/// The routes that change which version serves.
pub(crate) fn changes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/plugins/{name}/load", post(load))
        .route("/plugins/{name}/swap", post(swap))
        .route("/plugins/{name}/rollback", post(rollback))
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(COMPONENT_BYTES_MAX))
        .layer(from_fn_with_state(guard::Load::of(CHANGES_MAX, CHANGE_TIMEOUT), guard::bounded))
}

/// Every plugin and how it is doing.
pub(crate) async fn list(State(admin): State<Arc<Admin>>) -> Json<Plugins> {
    let mut items = admin.plugins.list();
    rests(&admin, &mut items);
    Json(Plugins { items })
}

/// One plugin and what served before.
pub(crate) async fn show(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
) -> Result<Json<PluginDetail>, ApiError> {
    let mut found = admin.plugins.show(&name)?;
    rests(&admin, std::slice::from_mut(&mut found.plugin));
    Ok(Json(found))
}

/// Tells of each until when it rests.
fn rests(admin: &Admin, plugins: &mut [Plugin]) {
    let (resting, now) = (admin.breakers.resting(), admin.clock.now());
    for plugin in plugins {
        plugin.rests_until = resting.get(&plugin.name).copied().filter(|until| *until > now);
    }
}

/// Loads a plugin that is not there yet.
async fn load(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
    Params(LoadQuery { sha256, config, grants, why }): Params<LoadQuery>,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<PluginDetail>, ApiError> {
    let (errand, component) = (errand(sha256, why)?, component(given)?);
    let config = config.as_deref().map(serde_json::from_str).transpose();
    let config = config.map_err(|error| ApiError::BadQuery(format!("`config` is not JSON: {error}")))?;
    let grants = grants.iter().flat_map(|list| list.split(',')).filter(|grant| !grant.is_empty());
    let grants = grants.map(str::to_owned).collect();
    let config = config.unwrap_or(serde_json::Value::Null);
    Ok(Json(admin.plugins.load(&name, component, config, grants, errand).await?))
}

/// Has another version serve.
async fn swap(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
    Params(SwapQuery { sha256, why }): Params<SwapQuery>,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<PluginDetail>, ApiError> {
    let (errand, component) = (errand(sha256, why)?, component(given)?);
    Ok(Json(admin.plugins.swap(&name, component, errand).await?))
}

/// Has the version serve that served before.
async fn rollback(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<PluginDetail>, ApiError> {
    let Rollback { why } =
        body(given, "a roll back: send nothing, or {\"why\": \"...\"}")?.unwrap_or_default();
    let Errand { why, .. } = errand(None, why)?;
    Ok(Json(admin.plugins.rollback(&name, why).await?))
}

fn errand(sha256: Option<String>, why: Option<String>) -> Result<Errand, ApiError> {
    if why.as_ref().is_some_and(|why| why.len() > WHY_BYTES_MAX) {
        return Err(ApiError::BadQuery(format!("`why` is longer than {WHY_BYTES_MAX} bytes")));
    }
    let digest = |text: String| {
        let mut digest = [0; 32];
        let read = hex::decode_to_slice(text, &mut digest).map(|()| digest);
        read.map_err(|_| ApiError::BadQuery("`sha256` is not the 64 hex digits of a SHA-256".to_owned()))
    };
    Ok(Errand { sha256: sha256.map(digest).transpose()?, why })
}

/// The body as it is.
pub(crate) fn component(given: Result<Bytes, BytesRejection>) -> Result<Bytes, ApiError> {
    let given = given.map_err(|why| match why.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge(COMPONENT_BYTES_MAX),
        _ => ApiError::BadBody(why.body_text()),
    })?;
    match given.is_empty() {
        true => Err(ApiError::BadBody("the body is empty: send the component".to_owned())),
        false => Ok(given),
    }
}
