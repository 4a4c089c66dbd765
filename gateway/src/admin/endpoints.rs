//! `GET /api/v1/endpoints`, `GET /api/v1/endpoints/{name}`, and `POST` of its `/pause`, `/resume`, `/enable`,
//! `/test`.

use crate::admin::error::ApiError;
use crate::admin::params::{Name, body};
use crate::admin::{Admin, EndpointInfo, view};
use crate::api::endpoint::{By, Endpoint, Endpoints, Signing, Tested, Turn, Turned};
use crate::model::id::{DeliveryId, EventId};
use crate::model::rotation::{self, Live};
use crate::model::{endpoint, ping, signature};
use crate::store::{GateRow, RotationRow};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use std::sync::Arc;

/// Up to how many waiting deliveries are counted for an endpoint.
const WAITING_COUNTED_MAX: usize = 100;
/// How often a gate is read again because somebody else changed it meanwhile.
const TURN_TRIES: u32 = 5;
/// The longest reason that is kept, in bytes.
const WHY_BYTES_MAX: usize = 500;

/// Every configured endpoint and how it is doing.
pub(crate) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Endpoints>, ApiError> {
    let mut items = Vec::with_capacity(admin.endpoints.len());
    for endpoint in &admin.endpoints {
        items.push(status(&admin, endpoint).await?);
    }
    Ok(Json(Endpoints { items }))
}

/// One endpoint.
pub(crate) async fn show(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
) -> Result<Json<Endpoint>, ApiError> {
    Ok(Json(status(&admin, admin.configured(&name)?).await?))
}

/// Closes the gate by hand.
pub(crate) async fn pause(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Endpoint>, ApiError> {
    turn(&admin, &name, given, |gate| match gate {
        endpoint::Gate::Open | endpoint::Gate::Trial { .. } => Ok(endpoint::Gate::Paused),
        endpoint::Gate::Paused => Ok(gate),
        endpoint::Gate::Disabled => Err("it is disabled, and holds what it is owed"),
    })
    .await
}

/// Opens the gate that was closed by hand.
pub(crate) async fn resume(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Endpoint>, ApiError> {
    turn(&admin, &name, given, |gate| match gate {
        endpoint::Gate::Paused => Ok(endpoint::Gate::Open),
        endpoint::Gate::Open | endpoint::Gate::Trial { .. } => Ok(gate),
        endpoint::Gate::Disabled => Err("it is disabled, not paused: enable it"),
    })
    .await
}

/// Opens the gate that the gateway closed, or is about to.
pub(crate) async fn enable(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Endpoint>, ApiError> {
    turn(&admin, &name, given, |gate| match gate {
        endpoint::Gate::Disabled | endpoint::Gate::Trial { .. } => Ok(endpoint::Gate::Open),
        endpoint::Gate::Open => Ok(gate),
        endpoint::Gate::Paused => Err("it is paused, not disabled: resume it"),
    })
    .await
}

/// Turns a gate as it is by now; what is as it should be stays.
async fn turn(
    admin: &Admin,
    name: &str,
    given: Result<Bytes, BytesRejection>,
    to: impl Fn(endpoint::Gate) -> Result<endpoint::Gate, &'static str>,
) -> Result<Json<Endpoint>, ApiError> {
    let info = admin.configured(name)?;
    let Turn { why } =
        body(given, "a turn of a gate: send nothing, or {\"why\": \"...\"}")?.unwrap_or_default();
    if why.as_ref().is_some_and(|why| why.len() > WHY_BYTES_MAX) {
        return Err(ApiError::BadBody(format!("`why` is longer than {WHY_BYTES_MAX} bytes")));
    }
    for _ in 0..TURN_TRIES {
        let row = admin.store.gate(info.id).await?;
        let gate =
            to(row.gate.clone()).map_err(|why| ApiError::WrongGate { name: info.name.clone(), why })?;
        if gate == row.gate {
            return Ok(Json(status(admin, info).await?));
        }
        let turned = endpoint::Turned { by: endpoint::By::Operator, why: why.clone(), at: admin.clock.now() };
        if admin.store.set_gate(info.id, gate.clone(), turned, row.version).await?.is_some() {
            tracing::info!(endpoint = info.name, ?gate, why, "an operator turned a gate");
            admin.deliver.wake();
            return Ok(Json(status(admin, info).await?));
        }
    }
    Err(ApiError::GateMoves(info.name.clone()))
}

/// Sends a test event to one endpoint, whatever it subscribes to.
pub(crate) async fn test(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
) -> Result<Json<Tested>, ApiError> {
    let (id, now) = (admin.configured(&name)?.id, admin.clock.now());
    let (webhook, dispatch) = ping::ping(id, now, rand::random());
    let event = EventId::derive(webhook.id, 0);
    admin.store.place(webhook, dispatch, now).await?;
    admin.deliver.wake();
    Ok(Json(Tested { event, delivery: DeliveryId::derive(event, id, 0) }))
}

pub(super) async fn status(admin: &Admin, info: &EndpointInfo) -> Result<Endpoint, ApiError> {
    let GateRow { gate, turned, .. } = admin.store.gate(info.id).await?;
    let RotationRow { rotation, .. } = admin.store.rotation(info.id).await?;
    let live = rotation::live(rotation.as_deref(), &info.secrets, admin.clock.now());
    let disabled_at = gate.notice(admin.clock.now(), info.disable_after);
    let turned = turned.map(|endpoint::Turned { by, why, at }| {
        let by = match by {
            endpoint::By::Gateway => By::Gateway,
            endpoint::By::Operator => By::Operator,
        };
        Turned { by, why, at }
    });
    let waiting = admin.store.waiting(info.id, WAITING_COUNTED_MAX + 1).await?;
    Ok(Endpoint {
        id: info.id,
        name: info.name.clone(),
        url: info.url.clone(),
        public_keys: live.iter().filter_map(|live| signature::public_key_of(&live.secret)).collect(),
        signing: live.iter().map(signing).collect(),
        waiting: waiting.min(WAITING_COUNTED_MAX) as u64,
        waiting_more: waiting > WAITING_COUNTED_MAX,
        gate: view::gate(gate),
        turned,
        disabled_at,
    })
}

fn signing(live: &Live) -> Signing {
    let is_private = live.secret.reveal().starts_with(signature::PRIVATE_KEY_PREFIX);
    Signing {
        version: if is_private { "v1a" } else { "v1" }.to_owned(),
        sha256: rotation::fingerprint(&live.secret),
        rotated_at: live.made,
        until: live.until,
    }
}
