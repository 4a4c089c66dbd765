//! `GET /api/v1/deliveries`, `GET /api/v1/deliveries/{id}`, `POST /api/v1/deliveries/{id}/resend`.

use crate::admin::Admin;
use crate::admin::cursor::List;
use crate::admin::error::ApiError;
use crate::admin::params::{Id, Params, rows, word};
use crate::api::delivery::{Delivery, DeliveryQuery, DeliveryStory, Resent};
use crate::api::page::Page;
use crate::model::id::DeliveryId;
use crate::store::{self, DeliveryFilter, Page as StorePage};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// A page of deliveries, newest first.
pub(crate) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<DeliveryQuery>,
) -> Result<Json<Page<Delivery>>, ApiError> {
    word("state", query.state.as_deref(), &["waiting", "delivered", "skipped", "dead"])?;
    let list = List::new("deliveries", &[query.state.as_deref(), query.endpoint.as_deref()]);
    let page = StorePage { after: list.key(query.after.as_deref())?, n: rows(query.limit)? };
    let endpoint = query.endpoint.map(|name| admin.endpoint_named(&name)).transpose()?;
    let listing = admin.store.list_deliveries(DeliveryFilter { state: query.state, endpoint }, page).await?;
    let items = listing.rows.into_iter().map(|row| admin.delivery(row)).collect();
    Ok(Json(Page { items, next: listing.next.map(|key| list.cursor(&key)) }))
}

/// A delivery with its attempts.
pub(crate) async fn show(
    State(admin): State<Arc<Admin>>,
    Id(id): Id<DeliveryId>,
) -> Result<Json<DeliveryStory>, ApiError> {
    let delivery = admin.store.delivery(id).await?;
    let delivery = delivery.ok_or_else(|| ApiError::Missing { what: "delivery", id: id.to_string() })?;
    // Read after the delivery: an attempt that ends in between is shown, and the counter is one behind it.
    let attempts = admin.store.attempts(id).await?;
    let held = admin.held(std::iter::once(&delivery)).await?;
    Ok(Json(admin.delivery_story(delivery, attempts, &held)))
}

/// Sends what has ended once more.
pub(crate) async fn resend(
    State(admin): State<Arc<Admin>>,
    Id(id): Id<DeliveryId>,
) -> Result<Json<Resent>, ApiError> {
    match admin.store.resend(id, admin.clock.now()).await? {
        store::Resent::New(delivery) => {
            tracing::info!(%id, %delivery, "a delivery is sent again");
            admin.deliver.wake();
            Ok(Json(Resent { delivery, new: true }))
        }
        store::Resent::Waits(delivery) if delivery == id => Err(ApiError::StillWaits(id.to_string())),
        store::Resent::Waits(delivery) => Ok(Json(Resent { delivery, new: false })),
        store::Resent::Unknown => Err(ApiError::Missing { what: "delivery", id: id.to_string() }),
    }
}
