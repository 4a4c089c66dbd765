//! `GET /api/v1/endpoints`.

use crate::admin::error::ApiError;
use crate::admin::{Admin, EndpointInfo, view};
use crate::api::endpoint::{Endpoint, Endpoints, Gate};
use crate::model::endpoint;
use crate::store::{DeliveryFilter, Page};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// Up to how many waiting deliveries are counted for an endpoint.
const WAITING_COUNTED_MAX: usize = 100;

/// Every configured endpoint and how it is doing.
pub(crate) async fn list(State(admin): State<Arc<Admin>>) -> Result<Json<Endpoints>, ApiError> {
    let mut items = Vec::with_capacity(admin.endpoints.len());
    for endpoint in &admin.endpoints {
        items.push(status(&admin, endpoint).await?);
    }
    Ok(Json(Endpoints { items }))
}

async fn status(admin: &Admin, info: &EndpointInfo) -> Result<Endpoint, ApiError> {
    let gate = match admin.store.gate(info.id).await?.gate {
        endpoint::Gate::Open => Gate::Open,
        endpoint::Gate::Trial { at, wait } => Gate::Trial { at, wait_ms: view::millis(wait) },
        endpoint::Gate::Paused => Gate::Paused,
        endpoint::Gate::Disabled { why } => Gate::Disabled { why },
    };
    let filter = DeliveryFilter { state: Some("waiting".to_owned()), endpoint: Some(info.id) };
    let page = Page { after: Vec::new(), n: WAITING_COUNTED_MAX };
    let waiting = admin.store.list_deliveries(filter, page).await?;
    Ok(Endpoint {
        id: info.id,
        name: info.name.clone(),
        url: info.url.clone(),
        public_keys: info.public_keys.clone(),
        waiting: waiting.rows.len() as u64,
        waiting_more: waiting.next.is_some(),
        gate,
    })
}
