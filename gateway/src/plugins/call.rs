//! One call: a permit, a fresh store and instance, limits, and what a failure is told as.
//!
//! Processor time is the thread's own while the call is polled, so a busy machine does not use up a plugin's time.
//! Where the guest runs, it is asked at every tick of the engine whether its time is up, and it then yields to the
//! runtime: other tasks go on beside a plugin that loops. Host functions return quickly, and look at the time themselves
//! now and then: between their calls a guest need not be anywhere where it is asked.

use crate::plugins::bindings::host::billhook::plugin::types::Failure;
use crate::plugins::bindings::map;
use crate::plugins::bindings::transform::exports::billhook::plugin::transform;
use crate::plugins::cpu::Cpu;
use crate::plugins::engine::{Host, STACK_BYTES};
use crate::plugins::imports::{Input, LimitReached, State, Unanswered};
use crate::plugins::kv::{Kv, Stage};
use crate::plugins::manifest::Kind;
use crate::plugins::text::{SHOWN_MAX, one_line};
use crate::plugins::transform::OutgoingInput;
use crate::plugins::verify::{RequestInput, judgement};
use crate::plugins::wasi::Exited;
use crate::plugins::watch;
use crate::plugins::{
    Call, CallError, EventInput, Judgement, Loaded, Sending, Verdict, WebhookInput, output,
};
use billhook_event::{Draft, Patch};
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tracing::{debug, warn};
use wasmtime::component::{Resource, ResourceTableError};
use wasmtime::{Error, FrameInfo, Store, Trap, UpdateDeadline, WasmBacktrace};

/// What a plugin's export returns: the guest's own answer inside what the machine made of it.
type Outcome<T> = wasmtime::Result<Result<T, Failure>>;

/// At most this many frames of a trap are told: the innermost that are the plugin's own.
const FRAMES_SHOWN: usize = 4;

/// Never knows what plugins keep: nobody vouches for what it is asked about. Where all instances are in use it does not
/// wait for longer than a call may take, since the sender does.
pub(super) async fn verify(
    plugin: &Arc<Loaded>,
    call: &Call,
    request: &Arc<RequestInput>,
) -> Result<Judgement, CallError> {
    let pre = plugin.linked.verify.as_ref().ok_or_else(|| not_a(plugin, Kind::Verify))?;
    let call = Call { kv: Kv::None, ..call.clone() };
    let begins = Run::begin(plugin, &call, Input::Request(Arc::clone(request)));
    let busy = |_| CallError::Unavailable("all instances of plugins are in use".to_owned());
    let mut run = tokio::time::timeout(plugin.limits.wall, begins).await.map_err(busy)??;
    let outcome = bounded(plugin, &run.cpu, async {
        let instance = pre.instantiate_async(&mut run.store).await?;
        instance.billhook_plugin_verify().call_verify(&mut run.store, Resource::new_borrow(0)).await
    });
    let outcome = outcome.await;
    run.end(outcome, judgement)
}

pub(super) async fn normalize(
    plugin: &Arc<Loaded>,
    call: &Call,
    webhook: &Arc<WebhookInput>,
) -> Result<Vec<Draft>, CallError> {
    let pre = plugin.linked.normalize.as_ref().ok_or_else(|| not_a(plugin, Kind::Normalize))?;
    let mut run = Run::begin(plugin, call, Input::Webhook(Arc::clone(webhook))).await?;
    let outcome = bounded(plugin, &run.cpu, async {
        let instance = pre.instantiate_async(&mut run.store).await?;
        let normalize = instance.billhook_plugin_normalize();
        normalize.call_normalize(&mut run.store, Resource::new_borrow(0)).await
    });
    let outcome = outcome.await;
    run.end(outcome, |drafts| output::drafts(&drafts, &plugin.limits))
}

pub(super) async fn filter(
    plugin: &Arc<Loaded>,
    call: &Call,
    event: &Arc<EventInput>,
) -> Result<Verdict, CallError> {
    let pre = plugin.linked.filter.as_ref().ok_or_else(|| not_a(plugin, Kind::Filter))?;
    let mut run = Run::begin(plugin, call, Input::Event(Arc::clone(event))).await?;
    let outcome = bounded(plugin, &run.cpu, async {
        let instance = pre.instantiate_async(&mut run.store).await?;
        instance.billhook_plugin_filter().call_filter(&mut run.store, Resource::new_borrow(0)).await
    });
    let outcome = outcome.await;
    run.end(outcome, |verdict| Ok(output::verdict(verdict)))
}

pub(super) async fn map(
    plugin: &Arc<Loaded>,
    call: &Call,
    event: &Arc<EventInput>,
) -> Result<Option<Patch>, CallError> {
    let pre = plugin.linked.map.as_ref().ok_or_else(|| not_a(plugin, Kind::Map))?;
    let mut run = Run::begin(plugin, call, Input::Event(Arc::clone(event))).await?;
    let outcome = bounded(plugin, &run.cpu, async {
        let instance: map::MapPlugin = pre.instantiate_async(&mut run.store).await?;
        instance.billhook_plugin_map().call_map(&mut run.store, Resource::new_borrow(0)).await
    });
    let outcome = outcome.await;
    run.end(outcome, |patch| patch.map(|patch| output::patch(&patch, &plugin.limits)).transpose())
}

/// Makes an instance and calls nothing of it.
pub(super) async fn instantiate(plugin: &Arc<Loaded>, call: &Call, input: Input) -> Result<(), CallError> {
    let mut run = Run::begin(plugin, call, input).await?;
    let outcome = bounded(plugin, &run.cpu, async {
        plugin.linked.any.instantiate_async(&mut run.store).await.map(|_| Ok(()))
    });
    let outcome = outcome.await;
    run.end(outcome, Ok)
}

pub(super) async fn transform(
    plugin: &Arc<Loaded>,
    call: &Call,
    outgoing: OutgoingInput,
) -> Result<Sending, CallError> {
    let pre = plugin.linked.transform.as_ref().ok_or_else(|| not_a(plugin, Kind::Transform))?;
    let before = outgoing.request.clone();
    let mut run = Run::begin(plugin, call, Input::Outgoing(Box::new(outgoing))).await?;
    let outcome = bounded(plugin, &run.cpu, async {
        let instance = pre.instantiate_async(&mut run.store).await?;
        instance.billhook_plugin_transform().call_transform(&mut run.store, Resource::new_borrow(0)).await
    });
    let outcome = outcome.await;
    let changed = match &mut run.store.data_mut().input {
        Input::Outgoing(outgoing) => std::mem::replace(&mut outgoing.request, before),
        Input::Webhook(_) | Input::Event(_) | Input::Request(_) => before,
    };
    run.end(outcome, |verdict| match verdict {
        transform::Verdict::Send => output::outgoing(changed, &plugin.limits).map(Sending::Send),
        transform::Verdict::Drop(why) => Ok(Sending::Drop(one_line(&why, SHOWN_MAX))),
    })
}

fn not_a(plugin: &Loaded, kind: Kind) -> CallError {
    CallError::Other(format!("plugin `{}` does not export `{kind}`", plugin.reference.name))
}

/// A call that has its place in the pool.
struct Run<'a> {
    plugin: &'a Loaded,
    /// What its run has written to `kv` before this call, which goes back to it if it fails.
    kv: Option<(Kv, Stage)>,
    cpu: Arc<Cpu>,
    store: Store<State>,
    /// After the store: the place is free when the instance is gone.
    _permits: [SemaphorePermit<'a>; 2],
}

impl<'a> Run<'a> {
    async fn begin(plugin: &'a Arc<Loaded>, call: &Call, input: Input) -> Result<Run<'a>, CallError> {
        let host: &Host = &plugin.host;
        let closing = |_| CallError::Unavailable("the plugin engine is closing".to_owned());
        // Of its own share first: who waits there holds nothing of the pool.
        let own = plugin.share.acquire_many(plugin.places).await.map_err(closing)?;
        let place = host.permits.acquire_many(plugin.places).await.map_err(closing)?;
        let limits = &plugin.limits;
        let kv = match &call.kv {
            kv @ Kv::Staged(staging) => Some((kv.clone(), staging.begin())),
            Kv::None | Kv::ReadOnly(_) => None,
        };
        let cpu = Arc::new(Cpu::new());
        let state = State::new(Arc::clone(plugin), call, input, Arc::clone(&cpu));
        let mut store = Store::new(&host.engine, state);
        store.limiter(|state| state);
        store.set_hostcall_fuel(limits.output);
        store.set_max_component_handles(limits.handles);
        store.set_epoch_deadline(1);
        if host.counts {
            store.set_fuel(u64::MAX).map_err(|error| CallError::Other(error.to_string()))?;
        }
        store.epoch_deadline_callback(move |context| {
            context.data().check_time()?;
            // Tokio's own yield: a plain one would be polled again before anybody else.
            Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
        });
        Ok(Run { plugin, kv, cpu, store, _permits: [own, place] })
    }

    /// What the call gave, once `check` has taken it: what nobody can use is a failure too, and leaves nothing.
    fn end<T, U>(
        self,
        outcome: Outcome<T>,
        check: impl FnOnce(T) -> Result<U, CallError>,
    ) -> Result<U, CallError> {
        let state = self.store.data();
        let plugin = &*self.plugin.reference.name;
        let dropped = state.log_lines_dropped();
        if dropped > 0 {
            warn!(target: "plugin", plugin, dropped, "log lines over the limit were dropped");
        }
        for (stream, text) in [("stdout", state.stdout.text()), ("stderr", state.stderr.text())] {
            if !text.is_empty() {
                debug!(target: "plugin", plugin, stream, "{}", one_line(text.trim(), SHOWN_MAX));
            }
        }
        watch::note(|usage| {
            usage.cpu = self.cpu.spent();
            usage.memory = state.memory();
            usage.host_calls = state.calls();
            // A guest that is stopped in a loop has not said how many it ran.
            usage.instructions =
                self.store.get_fuel().ok().map(|left| u64::MAX - left).filter(|ran| *ran > 0);
            usage.log_lines_dropped = dropped;
            usage.stdout = state.stdout.text().into_owned();
            usage.stderr = state.stderr.text().into_owned();
        });
        let answer = match outcome {
            Ok(Ok(answer)) => check(answer),
            Ok(Err(Failure::Invalid(why))) => Err(CallError::Invalid(one_line(&why, SHOWN_MAX))),
            Ok(Err(Failure::Unavailable(why))) => Err(CallError::Unavailable(one_line(&why, SHOWN_MAX))),
            Ok(Err(Failure::Other(why))) => Err(CallError::Other(one_line(&why, SHOWN_MAX))),
            Err(error) => Err(explain(&error, self.plugin, state)),
        };
        if answer.is_err()
            && let Some((Kv::Staged(staging), before)) = self.kv
        {
            staging.reset(before);
        }
        self.plugin.tally.ended(&answer, state.now);
        answer
    }
}

/// Runs a call within its limits of time.
async fn bounded<T>(plugin: &Loaded, cpu: &Cpu, call: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    // Apart: the futures of all that is around it stay small, which are copied and kept for each webhook.
    let mut call = Box::pin(call);
    let begun = Instant::now();
    // Nearly every call is over within its first poll and before a tick. It needs no timer, and not the thread's clock,
    // which is a call of the system.
    if watch::is_on() {
        cpu.begin();
    }
    if let Poll::Ready(outcome) = poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await {
        return outcome;
    }
    cpu.end();
    let measured = poll_fn(|context| {
        cpu.begin();
        let poll = call.as_mut().poll(context);
        if poll.is_pending() {
            cpu.end();
        }
        poll
    });
    let wall = plugin.limits.wall;
    match tokio::time::timeout_at(begun + wall, measured).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(LimitReached(format!("{} ms on the clock (`wall`)", wall.as_millis())))),
    }
}

/// What an error of the machine means.
fn explain(error: &Error, plugin: &Loaded, state: &State) -> CallError {
    if let Some(unanswered) = error.downcast_ref::<Unanswered>() {
        return CallError::Unavailable(unanswered.to_string());
    }
    if let Some(limit) = error.downcast_ref::<LimitReached>() {
        return CallError::Limit(limit.to_string());
    }
    if let Some(Trap::StackOverflow) = error.downcast_ref::<Trap>() {
        return CallError::Limit(format!("a stack of {STACK_BYTES} bytes"));
    }
    let cause = error.root_cause().to_string();
    // These two errors of wasmtime have no public type.
    if cause.contains("fuel allocated for hostcalls") {
        let most = plugin.limits.output;
        return CallError::Limit(format!("{most} bytes passed to the host at once (`output`)"));
    }
    if cause.contains("store handle limit exceeded") || error.is::<ResourceTableError>() {
        return CallError::Limit(format!("{} handles at one time (`handles`)", plugin.limits.handles));
    }
    let is_panic = matches!(error.downcast_ref::<Trap>(), Some(Trap::UnreachableCodeReached));
    let mut told = match (panic_message(&state.stderr.text()), unknown_import(&cause)) {
        (Some(message), _) if is_panic => message,
        (_, Some(import)) => format!("it called `{import}`, which plugins do not have"),
        (Some(message), None) if !error.is::<Exited>() => format!("{cause}; stderr: {message}"),
        // What it gave to the host, or said to it, is no value of its type: the machine itself saw nothing wrong.
        _ if error.downcast_ref::<Trap>().is_none() && !error.is::<Exited>() => {
            format!("it broke the contract: {cause}")
        }
        _ => cause,
    };
    if let Some(frames) =
        error.downcast_ref::<WasmBacktrace>().map(|trace| frames(trace.frames())).filter(|f| !f.is_empty())
    {
        told = format!("{told}; in {frames}");
    }
    CallError::Trap(one_line(&told, SHOWN_MAX))
}

/// What a plugin wrote to stderr, on one line: from the last panic on, without the advice that Rust ends with.
fn panic_message(stderr: &str) -> Option<String> {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let begin = lines.iter().rposition(|line| line.contains("panicked at ")).unwrap_or(0);
    let advice = "note: run with `RUST_BACKTRACE";
    let message: Vec<&str> =
        lines[begin..].iter().copied().filter(|line| !line.starts_with(advice)).collect();
    let message = message.join(" | ");
    // The thread before it has no name.
    let message = message.find("panicked at ").map_or(&*message, |at| &message[at..]);
    // Frames follow, so the message leaves them room.
    (!message.is_empty()).then(|| one_line(message, SHOWN_MAX / 2))
}

/// The function that `define_unknown_imports_as_traps` says was called.
fn unknown_import(cause: &str) -> Option<&str> {
    cause.strip_prefix("unknown import: `")?.strip_suffix("` has not been defined")
}

/// The innermost frames that are the plugin's own, with file and line where the component has them.
fn frames(frames: &[FrameInfo]) -> String {
    let mut told = Vec::new();
    for frame in frames {
        let mut symbols = frame.symbols().iter().peekable();
        if symbols.peek().is_none() {
            told.extend(frame.func_name().filter(|name| is_own(name)).map(str::to_owned));
        }
        for symbol in symbols {
            let Some(name) = symbol.name().filter(|name| is_own(name)) else { continue };
            let place = symbol.file().zip(symbol.line()).map(|(file, line)| format!(" ({file}:{line})"));
            told.push(format!("{name}{}", place.unwrap_or_default()));
        }
    }
    told.truncate(FRAMES_SHOWN);
    told.join(", ")
}

/// Whether a function is the plugin's and not of the panic machinery or the standard library.
fn is_own(name: &str) -> bool {
    let name = name.trim_start_matches(['<', '&']);
    let foreign =
        ["std::", "core::", "alloc::", "rust_", "__rust", "_R", "abort", "cabi_", "wit-component", "wasi"];
    !foreign.iter().any(|prefix| name.starts_with(prefix))
}
