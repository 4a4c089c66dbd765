//! Plays fixtures in the gateway's own sandbox.

use crate::cli::plugin::subject::Subject;
use crate::model::id::WebhookId;
use crate::model::webhook::WebhookHead;
use crate::plugins::manifest::Manifest;
use crate::plugins::watch::{Usage, watched};
use crate::plugins::{
    Call, CallError, Compiler, EventInput, Limits, Options, Plugin, Plugins, Spec, Verdict, WebhookInput,
};
use anyhow::{Context, ensure};
use billhook_event::Verified;
use billhook_fixture::{About, Answer, Fixture, Input, Kind, Post};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// Calls that run at once: fixtures are played one after the other.
const INSTANCES: usize = 1;

/// The sandbox with one component in it.
pub(super) struct Stage {
    plugins: Plugins,
    name: String,
    component: Bytes,
    manifest: Manifest,
    /// Where its machine code is kept while this is: a fixture's configuration loads it again.
    _cache: TempDir,
}

/// A call that was made.
pub(super) struct Played {
    pub(super) answer: Answer,
    pub(super) usage: Usage,
    /// From before the fresh instance until after it is dropped.
    pub(super) wall: Duration,
}

impl Stage {
    /// The sandbox as a gateway runs it.
    pub(super) fn open(subject: &Subject) -> anyhow::Result<Stage> {
        Stage::with(subject, Plugins::start)
    }

    /// A slower one that counts instructions.
    pub(super) fn counting(subject: &Subject) -> anyhow::Result<Stage> {
        Stage::with(subject, Plugins::start_counting)
    }

    fn with(
        subject: &Subject,
        start: impl FnOnce(Options) -> Result<Plugins, crate::plugins::LoadError>,
    ) -> anyhow::Result<Stage> {
        let cache = tempfile::tempdir().context("cannot create a directory for machine code")?;
        let cache_dir = Some(cache.path().to_owned());
        Ok(Stage {
            plugins: start(Options { cache_dir, compiler: Compiler::InProcess, instances: INSTANCES })?,
            name: subject.name.clone(),
            component: subject.component.clone(),
            manifest: Manifest::of(&subject.name, &subject.component)?,
            _cache: cache,
        })
    }

    /// The component with a fixture's configuration, granted what it asks for.
    pub(super) fn load(&self, fixture: &Fixture) -> anyhow::Result<Plugin> {
        let kind = fixture.kind.name();
        ensure!(
            self.manifest.kinds.iter().any(|known| known.name() == kind),
            "it is for `{kind}`, which `{}` does not export",
            self.manifest.name
        );
        Ok(self.plugins.load(Spec {
            name: self.name.clone(),
            component: self.component.clone(),
            sha256: None,
            config: fixture.config.clone(),
            grants: self.manifest.grants.clone(),
            limits: Limits::default(),
        })?)
    }

    /// Plays a fixture once.
    pub(super) async fn play(&self, fixture: &Fixture) -> anyhow::Result<Played> {
        play(&self.load(fixture)?, fixture).await
    }
}

/// Calls a plugin that is loaded.
pub(super) async fn play(plugin: &Plugin, fixture: &Fixture) -> anyhow::Result<Played> {
    let call = Call { now: fixture.now, seed: [0; 16] };
    let (answer, usage, wall) = match &fixture.input {
        Input::Webhook(given) => {
            let webhook = webhook(given);
            timed(plugin.normalize(&call, &webhook), Answer::Drafts).await
        }
        Input::Event(about) if fixture.kind == Kind::Filter => {
            let event = event(about)?;
            timed(plugin.filter(&call, &event), verdict).await
        }
        Input::Event(about) => {
            let event = event(about)?;
            timed(plugin.map(&call, &event), |patch| Answer::Patch(patch.map(Box::new))).await
        }
        // Here `Plugin::verify` and `Plugin::transform` are called, once there are any.
        Input::Request(_) | Input::Outgoing(_) => {
            anyhow::bail!("`{}` is not hosted by this version", fixture.kind)
        }
    };
    Ok(Played { answer, usage, wall })
}

async fn timed<T>(
    call: impl Future<Output = Result<T, CallError>>,
    shown: impl FnOnce(T) -> Answer,
) -> (Answer, Usage, Duration) {
    let started = Instant::now();
    let (answer, usage) = watched(call).await;
    let wall = started.elapsed();
    let answer = match answer {
        Ok(answer) => shown(answer),
        Err(CallError::Invalid(why)) => Answer::Invalid(why),
        Err(CallError::Unavailable(why)) => Answer::Unavailable(why),
        Err(CallError::Other(why)) => Answer::Other(why),
        Err(CallError::Trap(why)) => Answer::Trap(why),
        Err(CallError::Limit(why)) => Answer::Limit(why),
    };
    (answer, usage, wall)
}

fn verdict(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Keep => Answer::Keep,
        Verdict::Drop(why) => Answer::Drop(why),
    }
}

fn event(about: &About) -> anyhow::Result<Arc<EventInput>> {
    Ok(Arc::new(EventInput {
        json: serde_json::to_vec(&about.event).context("the event cannot be written")?.into(),
        event: about.event.clone(),
        webhook: webhook(&about.webhook),
        seen: about.seen.clone(),
        replayed: about.event.replayed,
    }))
}

fn webhook(given: &Post) -> Arc<WebhookInput> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&given.query).finish();
    let head = WebhookHead {
        source: given.source.clone(),
        provider: given.provider.clone(),
        received_at: given.received_at,
        path: given.path.clone(),
        query,
        headers: given.headers.clone(),
        event_name: given.event_name.clone(),
        delivery_id: given.delivery_id.clone(),
        verified: Verified::Signature,
        sha256: Sha256::digest(&given.body).into(),
        body_len: given.body.len() as u64,
        remote: None,
    };
    Arc::new(WebhookInput { id: WebhookId([0; 16]), head, body: Bytes::from(given.body.clone()) })
}
