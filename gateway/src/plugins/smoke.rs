//! Tries a version before it takes the place of one that works.

use crate::model::Time;
use crate::model::id::WebhookId;
use crate::model::webhook::WebhookHead;
use crate::plugins::imports::Input;
use crate::plugins::kv::Staging;
use crate::plugins::manifest::{Kind, Smoke};
use crate::plugins::{Call, CallError, EventInput, Kv, Plugin, WebhookInput, call};
use billhook_event::Event;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Why a trial did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SmokeError {
    /// The version does not do what its manifest says.
    #[error("{0}")]
    Fails(String),
    /// Something that it asked was not there, which says nothing of the version.
    #[error("{0}")]
    Unavailable(String),
}

impl From<CallError> for SmokeError {
    fn from(error: CallError) -> SmokeError {
        match error {
            CallError::Unavailable(_) => SmokeError::Unavailable(error.to_string()),
            _ => SmokeError::Fails(error.to_string()),
        }
    }
}

impl SmokeError {
    /// The same, with more before what it says.
    fn after(self, before: &str) -> SmokeError {
        match self {
            SmokeError::Fails(why) => SmokeError::Fails(format!("{before}: {why}")),
            SmokeError::Unavailable(why) => SmokeError::Unavailable(format!("{before}: {why}")),
        }
    }
}

/// Makes the calls that the manifest asks for, each entry with buckets that are empty; without any, one instance is made.
///
/// # Errors
/// With what came of the first call that did not succeed.
pub async fn smoke(plugin: &Plugin, now: Time) -> Result<(), SmokeError> {
    let call = || Call { kv: Kv::Staged(Arc::new(Staging::of_trial())), ..Call::new(now, [0; 16]) };
    let manifest = plugin.manifest();
    if manifest.smoke.is_empty() {
        let input = Input::Webhook(webhook(plugin, &Smoke::default(), now));
        let made = call::instantiate(&plugin.0, &call(), input).await;
        return made.map_err(|error| SmokeError::from(error).after("no instance of it can be made"));
    }
    for (n, smoke) in (1..).zip(&manifest.smoke) {
        let tried = match &smoke.event {
            None => normalize(plugin, &call(), smoke).await,
            Some(fields) => event(plugin, &call(), smoke, fields).await,
        };
        tried.map_err(|error| error.after(&format!("it fails entry {n} of `[[smoke]]` in its manifest")))?;
    }
    Ok(())
}

/// Waits for a trial in a thread of a runtime that may block.
pub(super) fn blocking<T>(trial: impl Future<Output = T>) -> T {
    tokio::runtime::Handle::current().block_on(trial)
}

async fn normalize(plugin: &Plugin, call: &Call, smoke: &Smoke) -> Result<(), SmokeError> {
    let webhook = webhook(plugin, smoke, call.now);
    let drafts = plugin.normalize(call, &webhook).await?;
    match (drafts.first(), &smoke.kind) {
        (None, _) => Err(SmokeError::Fails("it gives no draft".to_owned())),
        (Some(draft), Some(kind)) if draft.kind != *kind => {
            Err(SmokeError::Fails(format!("it gives `{}`, not `{kind}`", draft.kind)))
        }
        (Some(_), _) => Ok(()),
    }
}

async fn event(plugin: &Plugin, call: &Call, smoke: &Smoke, fields: &str) -> Result<(), SmokeError> {
    let webhook = webhook(plugin, smoke, call.now);
    let mut event: Value = json!({
        "id": webhook.id.to_string().replace("whk_", "evt_"), "schema_version": 1, "type": "provider.test",
        "source": "smoke", "provider": webhook.head.provider, "provider_event_type": "smoke",
        "received_at": call.now, "ordering_key": "smoke", "verified": "none",
        "raw": { "webhook": webhook.id.to_string(), "sha256": hex::encode([0; 32]), "bytes": 0 },
    });
    let none = |error: serde_json::Error| SmokeError::Fails(format!("its `event` is none: {error}"));
    let fields: Map<String, Value> = serde_json::from_str(fields).map_err(none)?;
    if let Some(event) = event.as_object_mut() {
        event.extend(fields);
    }
    let event: Event = serde_json::from_value(event).map_err(none)?;
    let json = serde_json::to_vec(&event).map_err(none)?.into();
    let webhook = Some(webhook);
    let input = Arc::new(EventInput { event, json, webhook, seen: BTreeMap::new(), replayed: false });
    for kind in plugin.kinds() {
        let asked = match kind {
            Kind::Filter => plugin.filter(call, &input).await.map(|_| ()),
            Kind::Map => plugin.map(call, &input).await.map(|_| ()),
            Kind::Verify | Kind::Normalize | Kind::Transform => Ok(()),
        };
        asked.map_err(|error| SmokeError::from(error).after(&format!("as {kind}")))?;
    }
    Ok(())
}

fn webhook(plugin: &Plugin, smoke: &Smoke, now: Time) -> Arc<WebhookInput> {
    let body = Bytes::from(smoke.body.clone().unwrap_or_default());
    let provider = plugin.manifest().providers.first().map_or("smoke", |provider| &provider.name);
    let headers = smoke.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone().into_bytes()));
    let head = WebhookHead {
        query: smoke.query.clone(),
        headers: headers.collect(),
        event_name: smoke.event_name.clone(),
        ..WebhookHead::of("smoke", provider, now, &body)
    };
    Arc::new(WebhookInput { id: WebhookId::new(now, 0), head: Arc::new(head), body })
}
