//! Plays fixtures in the gateway's own sandbox.

use crate::cli::plugin::subject::Subject;
use crate::model::id::WebhookId;
use crate::model::secret::Secret;
use crate::model::webhook::WebhookHead;
use crate::plugins::kv::Staging;
use crate::plugins::manifest::Manifest;
use crate::plugins::smoke::smoke;
use crate::plugins::watch::{Usage, watched};
use crate::plugins::{
    Call, CallError, Compiler, Component, EventInput, Judgement, Kv, Limits, Options, Outgoing,
    OutgoingInput, Plugin, Plugins, RequestInput, Sending, Spec, Verdict, WebhookInput,
};
use anyhow::{Context, ensure};
use billhook_event::Verified;
use billhook_fixture::{About, Answer, Departure, Fixture, Input, Kind, Knock, Post, Proof, Reply, Sent};
use bytes::Bytes;
use std::collections::BTreeMap;
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
    component: Component,
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
            plugins: start(Options {
                cache_dir,
                compiler: Compiler::InProcess,
                instances: INSTANCES,
                ..Options::default()
            })?,
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
            config: fixture.config.clone(),
            grants: self.manifest.grants.clone(),
            secrets: secrets(fixture),
            limits: Limits::of(&self.manifest.grants),
        })?)
    }

    /// What the manifest's `[[smoke]]` asks for, configured as for a fixture: how many entries there are, and what failed.
    /// `None`: it asks for nothing.
    pub(super) async fn smoke(&self, fixture: &Fixture) -> Option<(usize, anyhow::Result<()>)> {
        let entries = self.manifest.smoke.len();
        let tried = async { Ok(smoke(&self.load(fixture)?, fixture.now).await?) };
        if entries == 0 { None } else { Some((entries, tried.await)) }
    }

    /// Plays a fixture once.
    pub(super) async fn play(&self, fixture: &Fixture) -> anyhow::Result<Played> {
        play(&self.load(fixture)?, fixture).await
    }
}

/// Calls a plugin that is loaded.
pub(super) async fn play(plugin: &Plugin, fixture: &Fixture) -> anyhow::Result<Played> {
    // As where a gateway makes the call, except that nothing is kept.
    let kv = match fixture.kind {
        Kind::Transform => Kv::ReadOnly(None),
        _ => Kv::Staged(Arc::new(Staging::of_trial())),
    };
    let call = Call { kv, ..Call::new(fixture.now, [0; 16]) };
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
        Input::Request(given) => timed(plugin.verify(&call, &request(given)?), judged).await,
        Input::Outgoing(given) => timed(plugin.transform(&call, outgoing(given)?), sent).await,
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

fn judged(judgement: Judgement) -> Answer {
    match judgement {
        Judgement::Authentic(proof) => Answer::Authentic(Proof {
            method: proof.method,
            delivery_id: proof.delivery_id,
            sent_at: proof.sent_at,
            extra: proof.extra.into_iter().collect(),
        }),
        Judgement::Refused(why) => Answer::Refused(why),
        Judgement::Answer(reply) => Answer::Answer(Reply {
            status: reply.status.as_u16(),
            content_type: String::from_utf8_lossy(reply.content_type.as_bytes()).into_owned(),
            body: billhook_fixture::Bytes(reply.body.to_vec()),
        }),
    }
}

fn sent(sending: Sending) -> Answer {
    let shown = |(name, value): (String, Vec<u8>)| (name, billhook_fixture::Bytes(value));
    match sending {
        Sending::Drop(why) => Answer::Drop(why),
        Sending::Send(request) => Answer::Send(Sent {
            path: request.path,
            headers: request.headers.into_iter().map(shown).collect(),
            content_type: request.content_type,
            body: billhook_fixture::Bytes(request.body.to_vec()),
        }),
    }
}

/// The secrets that a fixture names, newest first.
fn secrets(fixture: &Fixture) -> BTreeMap<String, Vec<Secret>> {
    let live = |values: &Vec<String>| values.iter().map(Secret::new).collect();
    fixture.secrets.iter().map(|(name, values)| (name.clone(), live(values))).collect()
}

fn request(given: &Knock) -> anyhow::Result<Arc<RequestInput>> {
    let remote = given.remote_address.as_deref().map(str::parse).transpose();
    Ok(Arc::new(RequestInput {
        source: given.source.clone(),
        provider: given.provider.clone(),
        method: given.method.clone(),
        path: given.path.clone(),
        query: given.query.clone(),
        headers: given.headers.clone(),
        body: Bytes::from(given.body.clone()),
        received_at: given.received_at,
        remote: remote.context("`remote_address` is no address")?,
    }))
}

/// The standard request about an event, as a gateway would sign it.
fn outgoing(given: &Departure) -> anyhow::Result<OutgoingInput> {
    let about = event(&given.about)?;
    let at = about.event.happened_at();
    let kind = serde_json::Value::from(about.event.kind.as_str());
    let head = format!("{{\"type\":{kind},\"timestamp\":\"{at}\",\"data\":");
    let body = [head.as_bytes(), &about.json, b"}"].concat().into();
    Ok(OutgoingInput {
        delivery: "dlv_00000000000000000000000000".to_owned(),
        endpoint: given.endpoint.clone(),
        about,
        request: Outgoing {
            body,
            content_type: "application/json".to_owned(),
            headers: Vec::new(),
            path: None,
        },
        reserved: Vec::new(),
    })
}

fn event(about: &About) -> anyhow::Result<Arc<EventInput>> {
    Ok(Arc::new(EventInput {
        json: serde_json::to_vec(&about.event).context("the event cannot be written")?.into(),
        event: about.event.clone(),
        webhook: Some(webhook(&about.webhook)),
        seen: about.seen.clone(),
        replayed: about.event.replayed,
    }))
}

fn webhook(given: &Post) -> Arc<WebhookInput> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&given.query).finish();
    let head = WebhookHead {
        path: given.path.clone(),
        query,
        headers: given.headers.clone(),
        event_name: given.event_name.clone(),
        delivery_id: given.delivery_id.clone(),
        verified: Verified::Signature,
        ..WebhookHead::of(&given.source, &given.provider, given.received_at, &given.body)
    };
    Arc::new(WebhookInput {
        id: WebhookId([0; 16]),
        head: Arc::new(head),
        body: Bytes::from(given.body.clone()),
    })
}
