//! A shell in place of WASI: the standard library of a plugin's language asks for it, and finds an empty room.
//!
//! Environment, arguments and directories are empty, stdin is closed, stdout and stderr are captured, exit traps,
//! clocks show the time of the run, randomness is seeded. Everything else (files, sockets, HTTP) traps when it is
//! called: `link` defines all imports as traps before it comes here. Signatures are those of WASI 0.2, the same in all
//! its patch versions, so each interface is defined under the version that the component names.

use crate::plugins::imports::{LimitReached, State};
use wasmtime::component::{ComponentType, Lift, Linker, Lower, Resource};
use wasmtime::{Error, Result, StoreContextMut};

/// Most random bytes that one call of the host gives.
const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// What an output stream takes in one write: a plugin that asks how much it may write is told this.
const WRITE_BYTES_MAX: u64 = 4 << 10;

/// The streams; a handle's number is the place in it.
const STREAMS: [&str; 3] = ["stdin", "stdout", "stderr"];
const STDIN: u32 = 0;
const STDOUT: u32 = 1;
const STDERR: u32 = 2;

/// A handle. Traps are defined with `()` behind every resource, and so are these.
type Handle = Resource<()>;
type Streamed<T> = std::result::Result<T, StreamError>;

/// The plugin called `exit`.
#[derive(Debug, thiserror::Error)]
#[error("it called `exit` with {0}")]
pub(super) struct Exited(pub(super) &'static str);

/// `wasi:io/streams.stream-error`
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    /// Part of the type; writing to memory does not fail.
    Failed(Handle),
    #[component(name = "closed")]
    Closed,
}

/// `wasi:clocks/wall-clock.datetime`
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Defines the functions of the interface `import`, such as `wasi:cli/environment@0.2.6`, if there is one for it.
pub(super) fn define(linker: &mut Linker<State>, import: &str) -> Result<()> {
    let interface = import.strip_prefix("wasi:").map(|rest| rest.split('@').next().unwrap_or(rest));
    let mut shell = Shell { linker, import };
    match interface {
        Some("cli/environment") => environment(&mut shell),
        Some("cli/exit") => exit(&mut shell),
        Some("cli/stdin") => shell.add("get-stdin", |_, (): ()| Ok((Handle::new_own(STDIN),))),
        Some("cli/stdout") => shell.add("get-stdout", |_, (): ()| Ok((Handle::new_own(STDOUT),))),
        Some("cli/stderr") => shell.add("get-stderr", |_, (): ()| Ok((Handle::new_own(STDERR),))),
        Some("cli/terminal-stdin") => shell.add("get-terminal-stdin", |_, (): ()| Ok((None::<Handle>,))),
        Some("cli/terminal-stdout") => shell.add("get-terminal-stdout", |_, (): ()| Ok((None::<Handle>,))),
        Some("cli/terminal-stderr") => shell.add("get-terminal-stderr", |_, (): ()| Ok((None::<Handle>,))),
        Some("clocks/wall-clock") => wall_clock(&mut shell),
        Some("clocks/monotonic-clock") => monotonic_clock(&mut shell),
        Some("filesystem/preopens") => {
            shell.add("get-directories", |_, (): ()| Ok((Vec::<(Handle, String)>::new(),)))
        }
        Some("io/poll") => poll(&mut shell),
        Some("io/streams") => streams(&mut shell),
        Some("random/random") => {
            shell.add("get-random-bytes", |state, (len,): (u64,)| random_bytes(state, len))?;
            shell.add("get-random-u64", |state, (): ()| Ok((state.random.u64(),)))
        }
        Some("random/insecure") => {
            shell.add("get-insecure-random-bytes", |state, (len,): (u64,)| random_bytes(state, len))?;
            shell.add("get-insecure-random-u64", |state, (): ()| Ok((state.random.u64(),)))
        }
        Some("random/insecure-seed") => {
            shell.add("insecure-seed", |state, (): ()| Ok(((state.random.u64(), state.random.u64()),)))
        }
        _ => Ok(()),
    }
}

/// The interface that is being defined.
struct Shell<'a> {
    linker: &'a mut Linker<State>,
    import: &'a str,
}

impl Shell<'_> {
    /// Defines a function; every call of it is counted.
    fn add<Params, Return>(
        &mut self,
        name: &str,
        function: impl Fn(&mut State, Params) -> Result<Return> + Send + Sync + 'static,
    ) -> Result<()>
    where
        Params: wasmtime::component::ComponentNamedList + Lift + 'static,
        Return: wasmtime::component::ComponentNamedList + Lower + 'static,
    {
        self.linker.instance(self.import)?.func_wrap(
            name,
            move |mut store: StoreContextMut<'_, State>, params: Params| {
                let state = store.data_mut();
                state.count_call()?;
                function(state, params)
            },
        )
    }
}

fn environment(shell: &mut Shell<'_>) -> Result<()> {
    shell.add("get-environment", |_, (): ()| Ok((Vec::<(String, String)>::new(),)))?;
    shell.add("get-arguments", |_, (): ()| Ok((Vec::<String>::new(),)))?;
    shell.add("initial-cwd", |_, (): ()| Ok((None::<String>,)))
}

fn exit(shell: &mut Shell<'_>) -> Result<()> {
    shell.add("exit", |_, (status,): (std::result::Result<(), ()>,)| {
        Err::<(), _>(Error::new(Exited(if status.is_ok() { "success" } else { "failure" })))
    })
}

fn wall_clock(shell: &mut Shell<'_>) -> Result<()> {
    shell.add("now", |state, (): ()| {
        let millis = state.now.millis();
        Ok((Datetime { seconds: millis / 1000, nanoseconds: (millis % 1000) as u32 * 1_000_000 },))
    })?;
    shell.add("resolution", |_, (): ()| Ok((Datetime { seconds: 0, nanoseconds: 1_000_000 },)))
}

/// Counts host calls, in nanoseconds: it moves forward and tells no time. Waiting for it ends at once.
fn monotonic_clock(shell: &mut Shell<'_>) -> Result<()> {
    shell.add("now", |state, (): ()| Ok((u64::from(state.calls()),)))?;
    shell.add("resolution", |_, (): ()| Ok((1u64,)))?;
    shell.add("subscribe-instant", |_, (_,): (u64,)| Ok((Handle::new_own(0),)))?;
    shell.add("subscribe-duration", |_, (_,): (u64,)| Ok((Handle::new_own(0),)))
}

/// Everything is always ready.
fn poll(shell: &mut Shell<'_>) -> Result<()> {
    shell.add("[method]pollable.ready", |_, (_,): (Handle,)| Ok((true,)))?;
    shell.add("[method]pollable.block", |_, (_,): (Handle,)| Ok(()))?;
    shell.add("poll", |_, (handles,): (Vec<Handle>,)| Ok(((0..handles.len() as u32).collect::<Vec<u32>>(),)))
}

fn streams(shell: &mut Shell<'_>) -> Result<()> {
    for read in ["[method]input-stream.read", "[method]input-stream.blocking-read"] {
        shell.add(read, |_, (_, _): (Handle, u64)| Ok((Streamed::<Vec<u8>>::Err(StreamError::Closed),)))?;
    }
    for skip in ["[method]input-stream.skip", "[method]input-stream.blocking-skip"] {
        shell.add(skip, |_, (_, _): (Handle, u64)| Ok((Streamed::<u64>::Err(StreamError::Closed),)))?;
    }
    for subscribe in ["[method]input-stream.subscribe", "[method]output-stream.subscribe"] {
        shell.add(subscribe, |_, (_,): (Handle,)| Ok((Handle::new_own(0),)))?;
    }
    shell.add("[method]output-stream.check-write", |_, (_,): (Handle,)| {
        Ok((Streamed::Ok(WRITE_BYTES_MAX),))
    })?;
    for write in ["[method]output-stream.write", "[method]output-stream.blocking-write-and-flush"] {
        shell.add(write, |state, (stream, bytes): (Handle, Vec<u8>)| {
            let name = STREAMS.get(stream.rep() as usize);
            let Some(captured) = name.and_then(|name| state.stream(name)) else {
                return Ok((Streamed::Err(StreamError::Closed),));
            };
            captured.write(&bytes);
            Ok((Streamed::Ok(()),))
        })?;
    }
    for flush in ["[method]output-stream.flush", "[method]output-stream.blocking-flush"] {
        shell.add(flush, |_, (_,): (Handle,)| Ok((Streamed::Ok(()),)))?;
    }
    Ok(())
}

fn random_bytes(state: &mut State, len: u64) -> Result<(Vec<u8>,)> {
    if len > RANDOM_BYTES_MAX {
        return Err(Error::new(LimitReached(format!("{RANDOM_BYTES_MAX} random bytes at once"))));
    }
    let mut bytes = vec![0; len as usize];
    state.random.fill(&mut bytes);
    Ok((bytes,))
}
