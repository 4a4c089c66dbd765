//! `GET /api/v1/dead-letters`, `POST /api/v1/dead-letters/redrive`.

use crate::admin::cursor::List;
use crate::admin::error::ApiError;
use crate::admin::params::{Params, body, rows};
use crate::admin::{Admin, view};
use crate::api::page::Page;
use crate::api::redrive::{DeadLetter, DeadLetterQuery, Redrive, Redriven};
use crate::model::delivery::DeliveryState;
use crate::model::webhook::WebhookState;
use crate::store::{self, DeliveryFilter, Page as StorePage};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use std::sync::Arc;

/// The most that one request redrives; the answer says whether more is left.
const REDRIVE_MAX: usize = 500;

/// What a body must be.
const REDRIVE: &str = "a redrive: send one of {\"delivery\": \"dlv_...\"}, {\"webhook\": \"whk_...\"}, \
                       {\"endpoint\": \"NAME\"}, {\"all\": true}";

/// The first byte of a list's key: which of the two lists it is in.
const WEBHOOKS: u8 = 0;
const DELIVERIES: u8 = 1;

/// A page of dead letters: webhooks, then deliveries, each newest first.
pub(crate) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<DeadLetterQuery>,
) -> Result<Json<Page<DeadLetter>>, ApiError> {
    let list = List::new("dead-letters", &[]);
    let n = rows(query.limit)?;
    let key = list.key(query.after.as_deref())?;
    let (items, next) = match key.split_first() {
        None => dead_webhooks(&admin, Vec::new(), n).await?,
        Some((&WEBHOOKS, after)) => dead_webhooks(&admin, after.to_vec(), n).await?,
        Some((&DELIVERIES, after)) => dead_deliveries(&admin, after.to_vec(), n).await?,
        Some(_) => return Err(ApiError::BadCursor),
    };
    Ok(Json(Page { items, next: next.map(|key| list.cursor(&key)) }))
}

type Rows = (Vec<DeadLetter>, Option<Vec<u8>>);

/// Dead webhooks; where they end, the page goes on with deliveries.
async fn dead_webhooks(admin: &Admin, after: Vec<u8>, n: usize) -> Result<Rows, ApiError> {
    let listing = admin.store.list_webhooks(true, StorePage { after, n }).await?;
    let mut items: Vec<_> =
        listing.rows.into_iter().map(|row| DeadLetter::Webhook(Box::new(view::webhook(row)))).collect();
    if let Some(key) = listing.next {
        return Ok((items, Some([&[WEBHOOKS][..], &key].concat())));
    }
    let left = n.saturating_sub(items.len());
    if left == 0 {
        return Ok((items, Some(vec![DELIVERIES])));
    }
    let (deliveries, next) = dead_deliveries(admin, Vec::new(), left).await?;
    items.extend(deliveries);
    Ok((items, next))
}

async fn dead_deliveries(admin: &Admin, after: Vec<u8>, n: usize) -> Result<Rows, ApiError> {
    let filter = DeliveryFilter { state: Some("dead".to_owned()), endpoint: None };
    let listing = admin.store.list_deliveries(filter, StorePage { after, n }).await?;
    let items =
        listing.rows.into_iter().map(|row| DeadLetter::Delivery(Box::new(admin.delivery(row)))).collect();
    Ok((items, listing.next.map(|key| [&[DELIVERIES][..], &key].concat())))
}

/// Gives dead letters another life, at most [`REDRIVE_MAX`] of each kind.
pub(crate) async fn redrive(
    State(admin): State<Arc<Admin>>,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Redriven>, ApiError> {
    let wanted =
        body(given, REDRIVE)?.ok_or_else(|| ApiError::BadBody(format!("the body is not {REDRIVE}")))?;
    let redriven = match wanted {
        Redrive::Delivery(id) => {
            let deliveries = deliveries(&admin, store::Redrive::Delivery(id), REDRIVE_MAX).await?;
            if deliveries.deliveries == 0 {
                let missing = || ApiError::Missing { what: "delivery", id: id.to_string() };
                let state = admin.store.delivery(id).await?.ok_or_else(missing)?.state;
                return Err(ApiError::NotDead { id: id.to_string(), state: delivery_word(&state) });
            }
            deliveries
        }
        Redrive::Webhook(id) => {
            let webhooks = webhooks(&admin, store::Redrive::Webhook(id)).await?;
            if webhooks.webhooks == 0 {
                let missing = || ApiError::Missing { what: "webhook", id: id.to_string() };
                let state = admin.store.webhook(id).await?.ok_or_else(missing)?.state;
                return Err(ApiError::NotDead { id: id.to_string(), state: webhook_word(&state).to_owned() });
            }
            webhooks
        }
        Redrive::Endpoint(name) => {
            let endpoint = admin.endpoint_named(&name)?;
            deliveries(&admin, store::Redrive::Deliveries(endpoint), REDRIVE_MAX).await?
        }
        Redrive::All(true) => {
            let mut all = webhooks(&admin, store::Redrive::Webhooks).await?;
            // Those of an endpoint that is no longer configured would only wait for it, seen by nobody.
            let mut left = REDRIVE_MAX;
            for endpoint in &admin.endpoints {
                // Where none is left to move, it still tells whether there are more.
                let select = store::Redrive::Deliveries(endpoint.id);
                let redriven = deliveries(&admin, select, left).await?;
                left = left.saturating_sub(redriven.deliveries as usize);
                all.deliveries += redriven.deliveries;
                all.more |= redriven.more;
            }
            all
        }
        Redrive::All(false) => {
            return Err(ApiError::BadBody("`all` is false: say true, or what to redrive".to_owned()));
        }
    };
    tracing::info!(deliveries = redriven.deliveries, webhooks = redriven.webhooks, "dead letters redriven");
    Ok(Json(redriven))
}

async fn deliveries(admin: &Admin, select: store::Redrive, n: usize) -> Result<Redriven, ApiError> {
    let moved = admin.store.redrive(select, admin.clock.now(), n).await?;
    if moved.count > 0 {
        admin.deliver.wake();
    }
    Ok(Redriven { deliveries: moved.count as u64, webhooks: 0, more: moved.more })
}

async fn webhooks(admin: &Admin, select: store::Redrive) -> Result<Redriven, ApiError> {
    let moved = admin.store.redrive(select, admin.clock.now(), REDRIVE_MAX).await?;
    if moved.count > 0 {
        admin.dispatch.wake();
    }
    Ok(Redriven { deliveries: 0, webhooks: moved.count as u64, more: moved.more })
}

/// A delivery that is dead and moved nothing has a newer delivery in its place.
fn delivery_word(state: &DeliveryState) -> String {
    match state {
        DeliveryState::Dead { .. } => "redriven already".to_owned(),
        DeliveryState::Waiting { .. } | DeliveryState::Delivered { .. } | DeliveryState::Skipped { .. } => {
            state.name().to_owned()
        }
    }
}

fn webhook_word(state: &WebhookState) -> &'static str {
    match state {
        WebhookState::Undispatched { .. } => "undispatched",
        WebhookState::Dispatched { .. } => "dispatched",
        WebhookState::Dead { .. } => "redriven already",
    }
}
