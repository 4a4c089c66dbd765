//! What a plugin finds when it looks out: its input, log, clock and configuration.
//!
//! A call has one webhook, event (with its webhook), request or delivery, so every handle to a part of the input means
//! the same thing: such handles carry nothing, and dropping one does nothing. What a plugin opens itself (`secrets`,
//! `kv`, `http`) is kept in a table of the call.

mod http;
mod ingress;
mod kv;
mod outgoing;
mod secrets;

use crate::model::Time;
use crate::model::pointer::{self, Scalar};
use crate::plugins::bindings::host::billhook::plugin::{clock, config, events, log, types, webhooks};
use crate::plugins::cpu::Cpu;
use crate::plugins::imports::handles::{Event, Webhook};
use crate::plugins::text::one_line;
use crate::plugins::transform::OutgoingInput;
use crate::plugins::verify::RequestInput;
use crate::plugins::watch;
use crate::plugins::{Call, EventInput, Kv, Limits, Loaded, RUN_LOGS, WebhookInput};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tracing::{debug, error, info, trace, warn};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime::{Error, ResourceLimiter, Result};

/// After so many host calls the time is looked at, which is a call of the system: one of them may look through the whole
/// body, and a guest without a loop is asked nowhere else.
const CALLS_A_LOOK: u32 = 16;

/// What handles to the input stand for.
#[expect(unreachable_pub, reason = "the bindings re-export them")]
pub(super) mod handles {
    /// The webhook of the call.
    pub enum Webhook {}
    /// The event of the call.
    pub enum Event {}
    /// The request of the call.
    pub enum Request {}
    /// The delivery of the call.
    pub enum Outgoing {}
    pub use super::http::{HttpRequest, HttpResponse};
    pub use super::kv::Bucket;
    pub use super::secrets::Secret;
}

pub(super) use kv::Unanswered;

/// What the call is about.
pub(super) enum Input {
    Webhook(Arc<WebhookInput>),
    Event(Arc<EventInput>),
    Request(Arc<RequestInput>),
    /// With what was changed of it so far.
    Outgoing(Box<OutgoingInput>),
}

/// Everything that one call knows, has used and has left behind.
pub(super) struct State {
    plugin: Arc<Loaded>,
    cpu: Arc<Cpu>,
    pub(super) input: Input,
    pub(super) now: Time,
    kv: Kv,
    /// What the plugin has opened.
    opened: ResourceTable,
    http_calls: u32,
    /// Bytes of the requests that are open.
    http_bytes: usize,
    calls: u32,
    memory: usize,
    table_elements: usize,
    log_lines: usize,
    log_lines_dropped: usize,
    /// Those of the run.
    run_lines: Option<Arc<AtomicUsize>>,
    /// Why the webhook's body is not JSON, once asked for.
    json_problem: Option<Option<String>>,
    pub(super) random: Random,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
}

/// A limit of the call was reached; ends the call.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct LimitReached(pub(super) String);

impl State {
    pub(super) fn new(plugin: Arc<Loaded>, call: &Call, input: Input, cpu: Arc<Cpu>) -> State {
        let mut opened = ResourceTable::new();
        opened.set_max_capacity(plugin.limits.handles);
        State {
            random: Random::new(&call.seed, &plugin.digest),
            plugin,
            cpu,
            input,
            now: call.now,
            kv: call.kv.clone(),
            opened,
            http_calls: 0,
            http_bytes: 0,
            calls: 0,
            memory: 0,
            table_elements: 0,
            log_lines: 0,
            log_lines_dropped: 0,
            run_lines: call.lines.clone(),
            json_problem: None,
            stdout: Captured::default(),
            stderr: Captured::default(),
        }
    }

    fn limits(&self) -> &Limits {
        &self.plugin.limits
    }

    /// What a plugin writes to the stream `name` is kept here.
    pub(super) fn stream(&mut self, name: &str) -> Option<&mut Captured> {
        match name {
            "stdout" => Some(&mut self.stdout),
            "stderr" => Some(&mut self.stderr),
            _ => None,
        }
    }

    /// Counts a call of a host function.
    pub(super) fn count_call(&mut self) -> Result<()> {
        self.calls += 1;
        let most = self.limits().host_calls;
        if self.calls > most {
            return Err(Error::new(LimitReached(format!("{most} host calls (`host_calls`)"))));
        }
        if self.calls.is_multiple_of(CALLS_A_LOOK) { self.check_time() } else { Ok(()) }
    }

    /// Ends the call when its time on the processor is up.
    pub(super) fn check_time(&self) -> Result<()> {
        self.cpu.tick();
        let most = self.limits().cpu;
        if self.cpu.spent() > most {
            let told = format!("{} ms on the processor (`cpu`)", most.as_millis());
            return Err(Error::new(LimitReached(told)));
        }
        Ok(())
    }

    /// Host calls so far.
    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    /// Bytes of all memories together: they never shrink, so it is also the most they took.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Log lines that were dropped.
    pub(super) fn log_lines_dropped(&self) -> usize {
        self.log_lines_dropped
    }

    fn webhook(&mut self) -> Result<&WebhookInput> {
        self.count_call()?;
        self.input.webhook().ok_or_else(|| none("webhook"))
    }

    fn event(&mut self) -> Result<&EventInput> {
        self.count_call()?;
        self.input.event().map(|event| &**event).ok_or_else(|| none("event"))
    }

    /// The webhook's body if it is JSON.
    fn json_body(&mut self) -> Result<Option<&str>> {
        if self.problem()?.is_some() {
            return Ok(None);
        }
        Ok(self.input.webhook().and_then(|webhook| std::str::from_utf8(&webhook.body).ok()))
    }

    fn problem(&mut self) -> Result<Option<&str>> {
        if self.json_problem.is_none() {
            self.json_problem = Some(pointer::problem(&self.webhook()?.body));
        } else {
            self.count_call()?;
        }
        Ok(self.json_problem.as_ref().and_then(Option::as_deref))
    }
}

impl Input {
    fn event(&self) -> Option<&Arc<EventInput>> {
        match self {
            Input::Event(event) => Some(event),
            Input::Outgoing(outgoing) => Some(&outgoing.about),
            Input::Webhook(_) | Input::Request(_) => None,
        }
    }

    fn webhook(&self) -> Option<&WebhookInput> {
        match self {
            Input::Webhook(webhook) => Some(webhook),
            Input::Event(_) | Input::Outgoing(_) => self.event()?.webhook.as_deref(),
            Input::Request(_) => None,
        }
    }
}

/// A handle comes from us only, and none is given to what a call does not have.
fn none(what: &str) -> Error {
    Error::msg(format!("this call has no {what}"))
}

/// The text of the event; it is ours, so it is UTF-8.
fn event_json(event: &EventInput) -> Result<&str> {
    std::str::from_utf8(&event.json).map_err(Error::new)
}

fn wit_scalar(scalar: Scalar) -> types::Scalar {
    match scalar {
        Scalar::Null => types::Scalar::Null,
        Scalar::Bool(value) => types::Scalar::Boolean(value),
        Scalar::Number(text) => types::Scalar::Number(text),
        Scalar::Text(text) => types::Scalar::Text(text),
    }
}

impl types::Host for State {}
impl webhooks::Host for State {}
impl events::Host for State {}

impl webhooks::HostWebhook for State {
    fn id(&mut self, _: Resource<Webhook>) -> Result<String> {
        Ok(self.webhook()?.id.to_string())
    }

    fn source(&mut self, _: Resource<Webhook>) -> Result<String> {
        Ok(self.webhook()?.head.source.clone())
    }

    fn provider(&mut self, _: Resource<Webhook>) -> Result<String> {
        Ok(self.webhook()?.head.provider.clone())
    }

    fn event_name(&mut self, _: Resource<Webhook>) -> Result<Option<String>> {
        Ok(self.webhook()?.head.event_name.clone())
    }

    fn delivery_id(&mut self, _: Resource<Webhook>) -> Result<Option<String>> {
        Ok(self.webhook()?.head.delivery_id.clone())
    }

    fn received_at(&mut self, _: Resource<Webhook>) -> Result<u64> {
        Ok(self.webhook()?.head.received_at.millis())
    }

    fn header(&mut self, _: Resource<Webhook>, name: String) -> Result<Vec<Vec<u8>>> {
        let headers = self.webhook()?.head.headers.iter();
        Ok(headers.filter(|(n, _)| n.eq_ignore_ascii_case(&name)).map(|(_, value)| value.clone()).collect())
    }

    fn headers(&mut self, _: Resource<Webhook>) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(self.webhook()?.head.headers.clone())
    }

    fn query_values(&mut self, _: Resource<Webhook>, name: String) -> Result<Vec<String>> {
        let pairs = url::form_urlencoded::parse(self.webhook()?.head.query.as_bytes());
        Ok(pairs.filter(|(n, _)| *n == name).map(|(_, value)| value.into_owned()).collect())
    }

    fn body(&mut self, _: Resource<Webhook>) -> Result<Vec<u8>> {
        Ok(self.webhook()?.body.to_vec())
    }

    fn body_length(&mut self, _: Resource<Webhook>) -> Result<u64> {
        Ok(self.webhook()?.body.len() as u64)
    }

    fn json_problem(&mut self, _: Resource<Webhook>) -> Result<Option<String>> {
        Ok(self.problem()?.map(str::to_owned))
    }

    fn get(&mut self, _: Resource<Webhook>, pointer: String) -> Result<Option<types::Scalar>> {
        Ok(self.json_body()?.and_then(|json| pointer::scalar(json, &pointer)).map(wit_scalar))
    }

    fn get_json(&mut self, _: Resource<Webhook>, pointer: String) -> Result<Option<Vec<u8>>> {
        Ok(self
            .json_body()?
            .and_then(|json| pointer::find(json, &pointer))
            .map(|json| json.as_bytes().to_vec()))
    }

    fn count(&mut self, _: Resource<Webhook>, pointer: String) -> Result<Option<u32>> {
        Ok(self.json_body()?.and_then(|json| pointer::count(json, &pointer)))
    }

    fn drop(&mut self, _: Resource<Webhook>) -> Result<()> {
        Ok(())
    }
}

impl events::HostEvent for State {
    fn id(&mut self, _: Resource<Event>) -> Result<String> {
        Ok(self.event()?.event.id.clone())
    }

    fn event_type(&mut self, _: Resource<Event>) -> Result<String> {
        Ok(self.event()?.event.kind.clone())
    }

    fn provider(&mut self, _: Resource<Event>) -> Result<String> {
        Ok(self.event()?.event.provider.clone())
    }

    fn source(&mut self, _: Resource<Event>) -> Result<String> {
        Ok(self.event()?.event.source.clone())
    }

    fn received_at(&mut self, _: Resource<Event>) -> Result<u64> {
        Ok(self.event()?.event.received_at.millis())
    }

    fn occurred_at(&mut self, _: Resource<Event>) -> Result<Option<u64>> {
        Ok(self.event()?.event.occurred_at.map(Time::millis))
    }

    fn replayed(&mut self, _: Resource<Event>) -> Result<bool> {
        Ok(self.event()?.replayed)
    }

    fn get(&mut self, _: Resource<Event>, pointer: String) -> Result<Option<types::Scalar>> {
        Ok(pointer::scalar(event_json(self.event()?)?, &pointer).map(wit_scalar))
    }

    fn get_json(&mut self, _: Resource<Event>, pointer: String) -> Result<Option<Vec<u8>>> {
        Ok(pointer::find(event_json(self.event()?)?, &pointer).map(|json| json.as_bytes().to_vec()))
    }

    fn json(&mut self, _: Resource<Event>) -> Result<Vec<u8>> {
        Ok(self.event()?.json.to_vec())
    }

    fn raw(&mut self, _: Resource<Event>) -> Result<Option<Resource<Webhook>>> {
        Ok(self.event()?.webhook.is_some().then(|| Resource::new_own(0)))
    }

    fn last_seen(&mut self, _: Resource<Event>, kind: String) -> Result<Option<u64>> {
        Ok(self.event()?.seen.get(&kind).map(|at| at.millis()))
    }

    fn drop(&mut self, _: Resource<Event>) -> Result<()> {
        Ok(())
    }
}

impl clock::Host for State {
    fn now(&mut self) -> Result<u64> {
        self.count_call()?;
        Ok(self.now.millis())
    }
}

impl config::Host for State {
    fn json(&mut self) -> Result<Vec<u8>> {
        self.count_call()?;
        Ok(self.plugin.config.to_vec())
    }
}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String, fields: Vec<(String, String)>) -> Result<()> {
        self.count_call()?;
        let stream = fields.first().filter(|(name, _)| name == "stream");
        if let Some(captured) = stream.and_then(|(_, stream)| self.stream(stream)) {
            captured.write(message.as_bytes());
            return Ok(());
        }
        let Limits { log_lines, log_line, .. } = *self.limits();
        let is_over = |lines: &Arc<AtomicUsize>| lines.fetch_add(1, Relaxed) >= RUN_LOGS * log_lines;
        if self.log_lines >= log_lines || self.run_lines.as_ref().is_some_and(is_over) {
            self.log_lines_dropped += 1;
            return Ok(());
        }
        self.log_lines += 1;
        let message = one_line(&message, log_line);
        let mut rest = log_line.saturating_sub(message.len());
        let mut shown = String::new();
        for (name, value) in &fields {
            if rest == 0 {
                break;
            }
            let field = one_line(&format!("{name}={value}"), rest);
            rest = rest.saturating_sub(field.len() + 1);
            shown.push_str(if shown.is_empty() { "" } else { " " });
            shown.push_str(&field);
        }
        watch::log(level, &message, &shown);
        let plugin = &*self.plugin.reference.name;
        match level {
            log::Level::Trace => trace!(target: "plugin", plugin, fields = shown, "{message}"),
            log::Level::Debug => debug!(target: "plugin", plugin, fields = shown, "{message}"),
            log::Level::Info => info!(target: "plugin", plugin, fields = shown, "{message}"),
            log::Level::Warn => warn!(target: "plugin", plugin, fields = shown, "{message}"),
            log::Level::Error => error!(target: "plugin", plugin, fields = shown, "{message}"),
        }
        Ok(())
    }
}

/// All memories count together, and so do all tables: wasmtime's own limiter counts each alone.
impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current));
        let most = self.limits().memory;
        if memory > most {
            return Err(Error::new(LimitReached(format!("{most} bytes of memory (`memory`)"))));
        }
        self.memory = memory;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        let most = crate::plugins::engine::TABLE_ELEMENTS_MAX;
        if elements > most {
            return Err(Error::new(LimitReached(format!("{most} table elements"))));
        }
        self.table_elements = elements;
        Ok(true)
    }
}

/// Bytes that look random and are the same in every run of the same webhook through the same component: SHA-256 of a
/// key and a counter.
pub(super) struct Random {
    key: [u8; 32],
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Random {
    fn new(seed: &[u8; 16], digest: &[u8; 32]) -> Random {
        let key = Sha256::new().chain_update(seed).chain_update(digest).finalize().into();
        Random { key, counter: 0, block: [0; 32], used: 32 }
    }

    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                self.block = Sha256::new()
                    .chain_update(self.key)
                    .chain_update(self.counter.to_be_bytes())
                    .finalize()
                    .into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    pub(super) fn u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The last bytes that a plugin wrote to a stream: a panic's message comes at the end.
#[derive(Default)]
pub(super) struct Captured(Vec<u8>);

impl Captured {
    /// What was written before these is dropped.
    const BYTES_MAX: usize = 64 << 10;

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * Self::BYTES_MAX {
            self.0.drain(..self.0.len() - Self::BYTES_MAX);
        }
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0[self.0.len().saturating_sub(Self::BYTES_MAX)..])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn randomness_depends_on_seed_and_component_and_not_on_how_it_is_asked_for() {
        let take = |seed: [u8; 16], digest: [u8; 32], cuts: &[usize]| {
            let mut random = Random::new(&seed, &digest);
            let mut all = Vec::new();
            for len in cuts {
                let mut bytes = vec![0; *len];
                random.fill(&mut bytes);
                all.extend(bytes);
            }
            all
        };
        let whole = take([1; 16], [2; 32], &[100]);
        assert_eq!(whole, take([1; 16], [2; 32], &[1, 31, 33, 0, 35]));
        assert_ne!(whole, take([3; 16], [2; 32], &[100]));
        assert_ne!(whole, take([1; 16], [3; 32], &[100]));
    }
}
