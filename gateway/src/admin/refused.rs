//! `GET /api/v1/refused`, `GET /api/v1/refused/{id}`, `POST /api/v1/refused/{id}/retry`.

use crate::admin::cursor::List;
use crate::admin::error::ApiError;
use crate::admin::params::{Id, Params, rows};
use crate::admin::{Admin, view};
use crate::api::Content;
use crate::api::page::Page;
use crate::api::refused::{Readmitted, Refused, RefusedDetail, RefusedQuery};
use crate::model::id::RefusedId;
use crate::model::refused::Readmission;
use crate::store::Page as StorePage;
use axum::Json;
use axum::extract::State;
use std::sync::Arc;

/// A page of refused requests, newest first.
pub(crate) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<RefusedQuery>,
) -> Result<Json<Page<Refused>>, ApiError> {
    let list = List::new("refused", &[query.source.as_deref()]);
    let page = StorePage { after: list.key(query.after.as_deref())?, n: rows(query.limit)? };
    let listing = admin.store.list_refused(query.source, page).await?;
    let items = listing.rows.into_iter().map(|(id, head)| view::refused(id, head)).collect();
    Ok(Json(Page { items, next: listing.next.map(|key| list.cursor(&key)) }))
}

/// A refused request with what was kept of its body.
pub(crate) async fn show(
    State(admin): State<Arc<Admin>>,
    Id(id): Id<RefusedId>,
) -> Result<Json<RefusedDetail>, ApiError> {
    let request = admin.store.refused(id).await?.ok_or_else(|| missing(id))?;
    let body = Content::of(&request.body);
    Ok(Json(RefusedDetail { refused: view::refused(id, request.head), body }))
}

/// Authenticates a refused request again, and takes it if it is authentic now.
pub(crate) async fn retry(
    State(admin): State<Arc<Admin>>,
    Id(id): Id<RefusedId>,
) -> Result<Json<Readmitted>, ApiError> {
    match (admin.readmit)(id).await? {
        Readmission::Accepted(webhook) => Ok(Json(Readmitted { webhook, duplicate: false })),
        Readmission::Duplicate(webhook) => Ok(Json(Readmitted { webhook, duplicate: true })),
        Readmission::StillRefused(why) => Err(ApiError::StillRefused { id: id.to_string(), why }),
        Readmission::Unknown => Err(missing(id)),
    }
}

fn missing(id: RefusedId) -> ApiError {
    ApiError::Missing { what: "refused request", id: id.to_string() }
}
