//! `GET /api/v1/webhooks`, `GET /api/v1/webhooks/{id}`.

use crate::admin::cursor::List;
use crate::admin::error::ApiError;
use crate::admin::params::{Id, Params, rows, word};
use crate::admin::{Admin, view};
use crate::api::Story;
use crate::api::page::Page;
use crate::api::webhook::{Webhook, WebhookQuery};
use crate::model::id::WebhookId;
use crate::store::Page as StorePage;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// A page of webhooks, newest first.
pub(crate) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<WebhookQuery>,
) -> Result<Json<Page<Webhook>>, ApiError> {
    word("state", query.state.as_deref(), &["dead"])?;
    let list = List::new("webhooks", &[query.state.as_deref()]);
    let page = StorePage { after: list.key(query.after.as_deref())?, n: rows(query.limit)? };
    let listing = admin.store.list_webhooks(query.state.is_some(), page).await?;
    let items = listing.rows.into_iter().map(view::webhook).collect();
    Ok(Json(Page { items, next: listing.next.map(|key| list.cursor(&key)) }))
}

/// The whole story of a webhook.
pub(crate) async fn show(
    State(admin): State<Arc<Admin>>,
    Id(id): Id<WebhookId>,
) -> Result<Json<Story>, ApiError> {
    let story = admin.store.story(id).await?;
    let story = story.ok_or_else(|| ApiError::Missing { what: "webhook", id: id.to_string() })?;
    Ok(Json(admin.story(story, admin.clock.now()).await?))
}
