//! What the plugins of an endpoint make of a request before it is signed: filters say whether it is sent, transforms
//! change it, in the order of the configuration. Equal events give equal requests, in every attempt.

use crate::deliver::endpoints::Target;
use crate::deliver::format::Content;
use crate::model::Time;
use crate::model::attempt::{Failure, Outcome};
use crate::model::profile::Signature;
use crate::model::retry::PLUGIN_WAITS;
use crate::model::webhook::Header;
use crate::plugins::manifest::Kind;
use crate::plugins::{
    Call, CallError, EventInput, Failed, Kv, Outgoing, OutgoingInput, Plugin, Sending, Slot, Verdict,
    WebhookInput,
};
use crate::store::{DeliveryLease, Shared, StoreError};
use billhook_event::Event;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::Arc;
use url::Url;

/// A filter or transform of an endpoint.
#[derive(Clone)]
pub struct Step {
    /// The plugin.
    pub plugin: Slot,
    /// Whether a request goes out without it when it keeps failing, rather than into the dead letter.
    pub skip_on_failure: bool,
}

/// A request as it will be signed, and where it goes.
pub(super) struct Made {
    pub(super) url: Url,
    pub(super) content: Content,
}

/// Has the plugins of an endpoint make what is sent, or says why nothing is.
pub(super) async fn transform(
    store: &Shared,
    target: &Target,
    lease: &DeliveryLease,
    content: Content,
    at: Time,
) -> Result<Made, Outcome> {
    if target.steps.is_empty() {
        return Ok(Made { url: target.endpoint.url.clone(), content });
    }
    // Apart: few endpoints have any, and every attempt would be as large.
    Box::pin(through_steps(store, target, lease, content, at)).await
}

async fn through_steps(
    store: &Shared,
    target: &Target,
    lease: &DeliveryLease,
    content: Content,
    at: Time,
) -> Result<Made, Outcome> {
    let own = &target.endpoint.url;
    let unreadable = |why: String| Outcome::Failed(Failure::Unreadable(why));
    let about = Arc::new(about(store, lease).await.map_err(unreadable)?);
    let failures = failures(store, lease).await.map_err(|error| unreadable(error.to_string()))?;
    let reserved = reserved(target);
    let (hidden, request) = split(content, &reserved);
    let kv = Kv::ReadOnly(Some(Arc::clone(store)));
    let call = Call { kv, ..Call::new(at, lease.delivery.event.0) };
    let mut asked = OutgoingInput {
        delivery: lease.delivery.id.to_string(),
        endpoint: target.endpoint.name.clone(),
        about,
        request,
        reserved,
    };
    for Step { plugin, skip_on_failure } in &target.steps {
        let plugin = &plugin.now();
        for kind in [Kind::Filter, Kind::Transform] {
            if !plugin.kinds().contains(&kind) {
                continue;
            }
            match ask(plugin, kind, &call, &asked).await {
                Ok(Sending::Send(request)) => asked.request = request,
                Ok(Sending::Drop(why)) => {
                    return Err(Outcome::Skipped(format!(
                        "the plugin `{}` dropped it: {why}",
                        plugin.name()
                    )));
                }
                Err(source) => {
                    let failed = plugin.failed(kind, subject(&asked), source);
                    let ends = failed.is_final() || failures as usize >= PLUGIN_WAITS.len();
                    if !(ends && *skip_on_failure) {
                        return Err(Outcome::Failed(failure(&failed, failures + 1, ends)));
                    }
                    tracing::warn!(delivery = asked.delivery, why = %failed, "sent without the plugin");
                }
            }
        }
    }
    let elsewhere = || unreadable("a transform's path leads elsewhere".to_owned());
    let url = asked.request.url(own).ok_or_else(elsewhere)?;
    Ok(Made { url, content: join(hidden, asked.request) })
}

fn failure(failed: &Failed, failures: u32, ends: bool) -> Failure {
    Failure::Plugin { why: failed.to_string(), failures, ends }
}

/// What a call is about, for people.
fn subject(asked: &OutgoingInput) -> String {
    let event = &asked.about;
    let webhook =
        event.webhook.as_ref().map_or_else(|| event.event.id.clone(), |webhook| webhook.id.to_string());
    format!("{webhook} for the endpoint `{}`", asked.endpoint)
}

async fn ask(plugin: &Plugin, kind: Kind, call: &Call, asked: &OutgoingInput) -> Result<Sending, CallError> {
    match kind {
        Kind::Filter => Ok(match plugin.filter(call, &asked.about).await? {
            Verdict::Keep => Sending::Send(asked.request.clone()),
            Verdict::Drop(why) => Sending::Drop(why),
        }),
        _ => plugin.transform(call, asked.clone()).await,
    }
}

/// The event with what there is to know of it beside it.
async fn about(store: &Shared, lease: &DeliveryLease) -> Result<EventInput, String> {
    let event: Event =
        serde_json::from_slice(&lease.event).map_err(|error| format!("the event cannot be read: {error}"))?;
    let told = |error: StoreError| format!("what a plugin may ask cannot be read: {error}");
    let seen = match event.entity() {
        Some(entity) => store.entity(&event.source, &entity).await.map_err(told)?.last,
        None => Default::default(),
    };
    let webhook = webhook(store, lease).await.map_err(told)?;
    Ok(EventInput {
        replayed: event.replayed,
        event,
        json: lease.event.clone(),
        webhook: webhook.map(Arc::new),
        seen: seen.into_iter().map(|(kind, (at, _))| (kind, at)).collect(),
    })
}

async fn webhook(store: &Shared, lease: &DeliveryLease) -> Result<Option<WebhookInput>, StoreError> {
    let Some(id) = store.webhook_of(lease.delivery.event).await? else { return Ok(None) };
    let Some(webhook) = store.webhook(id).await? else { return Ok(None) };
    let body = store.body(id).await?;
    Ok(body.map(|body| WebhookInput { id, head: Arc::new(webhook.head), body }))
}

/// How often in a row a plugin failed at this delivery until now.
async fn failures(store: &Shared, lease: &DeliveryLease) -> Result<u32, StoreError> {
    if lease.delivery.attempts == 0 {
        return Ok(0);
    }
    let attempts = store.attempts(lease.delivery.id).await?;
    let by_plugin = |outcome: &Outcome| matches!(outcome, Outcome::Failed(Failure::Plugin { .. }));
    let in_row = attempts.iter().rev().take_while(|attempt| by_plugin(&attempt.outcome)).count();
    Ok(in_row.try_into().unwrap_or(u32::MAX))
}

/// Headers that the endpoint's configuration sets, whatever a plugin says.
fn reserved(target: &Target) -> Vec<String> {
    let manner = &target.endpoint.manner;
    let mut names: Vec<String> = manner.headers.keys().map(|name| name.as_str().to_owned()).collect();
    if let Signature::Body { header, .. } = &manner.signature {
        names.push(header.as_str().to_owned());
    }
    names
}

/// What a plugin may change, and the headers that it may not.
fn split(content: Content, reserved: &[String]) -> (HeaderMap, Outgoing) {
    let Content { body, headers } = content;
    let mut hidden = HeaderMap::new();
    let mut content_type = String::new();
    let mut shown: Vec<Header> = Vec::new();
    for (name, value) in &headers {
        if name == header::CONTENT_TYPE {
            content_type = String::from_utf8_lossy(value.as_bytes()).into_owned();
        } else if name.as_str().starts_with("webhook-") || reserved.iter().any(|known| known == name.as_str())
        {
            hidden.append(name.clone(), value.clone());
        } else {
            shown.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
        }
    }
    (hidden, Outgoing { body, content_type, headers: shown, path: None })
}

/// The request as it was made. What is no header was not let in, or was one when it came.
fn join(hidden: HeaderMap, request: Outgoing) -> Content {
    let mut headers = hidden;
    for (name, value) in request.headers {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_bytes(&value).ok());
        if let Some((name, value)) = header {
            headers.append(name, value);
        }
    }
    if let Ok(content_type) = HeaderValue::from_str(&request.content_type)
        && !content_type.is_empty()
    {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    Content { body: request.body, headers }
}
