//! `GET /api/v1/dead-letters`, `POST /api/v1/dead-letters/redrive`.

use crate::admin::cursor::List;
use crate::admin::error::ApiError;
use crate::admin::params::{Params, body, rows};
use crate::admin::{Admin, view};
use crate::api::page::Page;
use crate::api::redrive::{DeadLetter, DeadLetterQuery, Redrive, RedriveQuery, Redriven};
use crate::model::delivery::DeliveryState;
use crate::model::id::EndpointId;
use crate::model::webhook::WebhookState;
use crate::store::{self, DeliveryFilter, Page as StorePage};
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use bytes::Bytes;
use std::sync::Arc;

/// The most that one request redrives; the answer says where the next goes on.
const REDRIVE_MAX: usize = 500;

/// What a body must be.
const REDRIVE: &str = "a redrive: send one of {\"delivery\": \"dlv_...\"}, {\"webhook\": \"whk_...\"}, \
                       {\"endpoint\": \"NAME\"}, {\"all\": true}";

/// The first byte of a list's key: which of the two lists it is in; of a redrive the endpoint follows the second.
const WEBHOOKS: u8 = 0;
const DELIVERIES: u8 = 1;
/// Of the id of an endpoint.
const ENDPOINT_BYTES: usize = 16;

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

/// Gives dead letters another life, at most [`REDRIVE_MAX`].
pub(crate) async fn redrive(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<RedriveQuery>,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Redriven>, ApiError> {
    let wanted =
        body(given, REDRIVE)?.ok_or_else(|| ApiError::BadBody(format!("the body is not {REDRIVE}")))?;
    let of = match &wanted {
        Redrive::Endpoint(name) => Some(name.as_str()),
        Redrive::Delivery(_) | Redrive::Webhook(_) | Redrive::All(_) => None,
    };
    let list = List::new("redrive", &[of]);
    let after = list.key(query.after.as_deref())?;
    let page = StorePage { after, n: REDRIVE_MAX };
    let mut redriven = Redriven::default();
    let next = match wanted {
        Redrive::Delivery(id) => {
            some(&admin, store::Redrive::Delivery(id), page, &mut redriven).await?;
            if redriven.deliveries == 0 {
                let missing = || ApiError::Missing { what: "delivery", id: id.to_string() };
                let state = admin.store.delivery(id).await?.ok_or_else(missing)?.state;
                return Err(ApiError::NotDead { id: id.to_string(), state: delivery_word(&state) });
            }
            None
        }
        Redrive::Webhook(id) => {
            some(&admin, store::Redrive::Webhook(id), page, &mut redriven).await?;
            if redriven.webhooks == 0 {
                let missing = || ApiError::Missing { what: "webhook", id: id.to_string() };
                let state = admin.store.webhook(id).await?.ok_or_else(missing)?.state;
                return Err(ApiError::NotDead { id: id.to_string(), state: webhook_word(&state).to_owned() });
            }
            None
        }
        Redrive::Endpoint(name) => {
            let endpoint = admin.endpoint_named(&name)?;
            some(&admin, store::Redrive::Deliveries(endpoint), page, &mut redriven).await?
        }
        Redrive::All(true) => all(&admin, &page.after, &mut redriven).await?,
        Redrive::All(false) => {
            return Err(ApiError::BadBody("`all` is false: say true, or what to redrive".to_owned()));
        }
    };
    tracing::info!(deliveries = redriven.deliveries, webhooks = redriven.webhooks, "dead letters redriven");
    Ok(Json(Redriven { next: next.map(|key| list.cursor(&key)), ..redriven }))
}

/// A page of everything after `key`: webhooks, then the deliveries of one configured endpoint after the other, in the
/// order of their ids. Those of an endpoint that is no longer configured would only wait for it, seen by nobody.
async fn all(admin: &Admin, key: &[u8], sum: &mut Redriven) -> Result<Option<Vec<u8>>, ApiError> {
    let from = match key.split_first() {
        Some((&DELIVERIES, from)) => from,
        Some((&WEBHOOKS, _)) | None => {
            let page = StorePage { after: key.get(1..).unwrap_or_default().to_vec(), n: REDRIVE_MAX };
            if let Some(next) = some(admin, store::Redrive::Webhooks, page, sum).await? {
                return Ok(Some([&[WEBHOOKS][..], &next].concat()));
            }
            &[]
        }
        Some(_) => return Err(ApiError::BadCursor),
    };
    let mut endpoints: Vec<EndpointId> = admin.endpoints.iter().map(|endpoint| endpoint.id).collect();
    endpoints.sort();
    let (begun, last) = from.split_at_checked(ENDPOINT_BYTES).unwrap_or_default();
    for endpoint in endpoints.into_iter().filter(|endpoint| endpoint.bytes().as_slice() >= begun) {
        let after = if endpoint.bytes() == begun { last.to_vec() } else { Vec::new() };
        // Where none is left to move, it still tells whether there are more.
        let n = REDRIVE_MAX.saturating_sub((sum.webhooks + sum.deliveries) as usize);
        let select = store::Redrive::Deliveries(endpoint);
        if let Some(next) = some(admin, select, StorePage { after, n }, sum).await? {
            return Ok(Some([&[DELIVERIES][..], endpoint.bytes(), &next].concat()));
        }
    }
    Ok(None)
}

/// Redrives a page of one kind, and wakes whoever takes it on. Answers where the next begins.
async fn some(
    admin: &Admin,
    select: store::Redrive,
    page: StorePage,
    sum: &mut Redriven,
) -> Result<Option<Vec<u8>>, ApiError> {
    let (count, wake) = match select {
        store::Redrive::Webhook(_) | store::Redrive::Webhooks => (&mut sum.webhooks, &admin.dispatch),
        store::Redrive::Delivery(_) | store::Redrive::Deliveries(_) => (&mut sum.deliveries, &admin.deliver),
    };
    let moved = admin.store.redrive(select, admin.clock.now(), page).await?;
    if moved.count > 0 {
        wake.wake();
    }
    *count += moved.count as u64;
    Ok(moved.next)
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
