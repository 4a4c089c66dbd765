//! `GET /api/v1/events`, `GET /api/v1/events/{id}`.

use crate::admin::cursor::List;
use crate::admin::error::ApiError;
use crate::admin::jobs::check_type;
use crate::admin::params::{Id, OfEvent, Params, rows};
use crate::admin::{Admin, view, webhooks};
use crate::api::Story;
use crate::api::event::{Event, EventQuery};
use crate::api::page::Page;
use crate::store::{EventFilter, Page as StorePage};
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// A page of events, newest first.
pub(crate) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<EventQuery>,
) -> Result<Json<Page<Event>>, ApiError> {
    check_type(query.kind.as_deref()).map_err(ApiError::BadQuery)?;
    let list = List::new("events", &[query.kind.as_deref(), query.source.as_deref()]);
    let page = StorePage { after: list.key(query.after.as_deref())?, n: rows(query.limit)? };
    let filter = EventFilter { kind: query.kind, source: query.source };
    let listing = admin.store.list_events(filter, page).await?;
    let items = listing.rows.into_iter().map(view::event).collect();
    Ok(Json(Page { items, next: listing.next.map(|key| list.cursor(&key)) }))
}

/// The whole story of the webhook behind an event.
pub(crate) async fn show(
    State(admin): State<Arc<Admin>>,
    OfEvent(id): OfEvent,
) -> Result<Json<Story>, ApiError> {
    let webhook = admin.store.webhook_of(id).await?;
    let webhook = webhook.ok_or_else(|| ApiError::Missing { what: "event", id: id.to_string() })?;
    webhooks::show(State(admin), Id(webhook)).await
}
