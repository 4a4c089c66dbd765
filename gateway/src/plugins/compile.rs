//! Turns components into machine code, and keeps it.
//!
//! A file of the cache is named by the SHA-256 of the component and a hash of everything that the machine code depends
//! on: wasmtime's version, its settings, the processor. Beside it stands a file with its own SHA-256, written first.
//! Code is mapped only if that fits: a damaged file is replaced. Whoever can write into the directory can run code in
//! the gateway, so it is the gateway's alone (mode 0700). Files are never changed in place, only replaced by renaming;
//! nothing is synced, since whatever a crash leaves half written does not fit its hash.

use crate::plugins::engine::{self, Host};
use crate::plugins::text::{SHOWN_MAX, one_line};
use crate::plugins::{Compiler, LoadError};
use rustix::process::{Resource, Rlimit, setrlimit};
use sha2::{Digest, Sha256};
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tracing::{debug, warn};
use wasmtime::component::Component;

/// The name of the subcommand that a child is started with.
pub const SUBCOMMAND: &str = "compile-component";

/// What a compiling child may use.
const CHILD_ADDRESS_SPACE: u64 = 4 << 30;
const CHILD_CPU_SECONDS: u64 = 60;
/// How long we wait for it.
const CHILD_WALL: Duration = Duration::from_secs(120);
/// How often we look whether it is done.
const CHILD_POLL: Duration = Duration::from_millis(5);

/// What the subcommand `compile-component IN OUT` does: limits this process for the rest of its life, compiles the
/// component `input` and writes machine code to `output`. Call it in a process of its own.
pub fn compile_file(input: &Path, output: &Path) -> Result<(), LoadError> {
    for (resource, most) in
        [(Resource::As, CHILD_ADDRESS_SPACE), (Resource::Cpu, CHILD_CPU_SECONDS), (Resource::Core, 0)]
    {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit)
            .map_err(|error| LoadError::Engine(format!("cannot limit the compiler: {error}")))?;
    }
    let component = fs::read(input).map_err(cache_error(input))?;
    let code = engine::for_compiling()?.precompile_component(&component).map_err(|error| {
        LoadError::Compile { plugin: input.display().to_string(), why: format!("{error:#}") }
    })?;
    fs::write(output, code).map_err(cache_error(output))
}

/// The machine code of a component: from the cache, or compiled and put there.
pub(super) fn component(
    host: &Host,
    plugin: &str,
    bytes: &[u8],
    digest: &[u8; 32],
) -> Result<Component, LoadError> {
    let refused = |error: wasmtime::Error| LoadError::Compile {
        plugin: plugin.to_owned(),
        why: one_line(&format!("{error:#}"), SHOWN_MAX),
    };
    let Some(dir) = &host.options.cache_dir else {
        return Component::new(&host.engine, bytes).map_err(refused);
    };
    let cached = Cached::new(host, dir, digest)?;
    if let Some(component) = cached.read(host) {
        debug!(plugin, "machine code found in the cache");
        return Ok(component);
    }
    let fresh = Temporary::new(dir, "cwasm");
    match &host.options.compiler {
        Compiler::InProcess => {
            let code = host.engine.precompile_component(bytes).map_err(refused)?;
            fs::write(&fresh.0, code).map_err(cache_error(&fresh.0))?;
        }
        Compiler::Child(program) => {
            let input = Temporary::new(dir, "wasm");
            fs::write(&input.0, bytes).map_err(cache_error(&input.0))?;
            run_child(program, &input.0, &fresh.0)
                .map_err(|why| LoadError::Compile { plugin: plugin.to_owned(), why })?;
        }
    }
    cached.write(&fresh.0)?;
    cached.read(host).ok_or_else(|| LoadError::Compile {
        plugin: plugin.to_owned(),
        why: format!("its machine code at {} cannot be read back", cached.code.display()),
    })
}

/// The two files of a component in the cache.
struct Cached {
    code: PathBuf,
    hash: PathBuf,
}

impl Cached {
    fn new(host: &Host, dir: &Path, digest: &[u8; 32]) -> Result<Cached, LoadError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(cache_error(dir))?;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(cache_error(dir))?;
        let mut settings = DefaultHasher::new();
        host.engine.precompile_compatibility_hash().hash(&mut settings);
        let name = format!("{}-{:016x}", hex::encode(digest), settings.finish());
        Ok(Cached { code: dir.join(format!("{name}.cwasm")), hash: dir.join(format!("{name}.sha256")) })
    }

    /// The component, if both files are there and fit.
    fn read(&self, host: &Host) -> Option<Component> {
        let expected = fs::read_to_string(&self.hash).ok()?;
        let code = fs::read(&self.code).ok()?;
        if expected != hex::encode(Sha256::digest(&code)) {
            warn!(path = %self.code.display(), "cached machine code does not fit its hash and is compiled again");
            return None;
        }
        drop(code);
        match deserialize(host, &self.code) {
            Ok(component) => Some(component),
            Err(error) => {
                warn!(path = %self.code.display(), error = format!("{error:#}"), "cached machine code is refused and compiled again");
                None
            }
        }
    }

    /// Takes fresh code in.
    fn write(&self, fresh: &Path) -> Result<(), LoadError> {
        let hash =
            fs::read(fresh).map_err(cache_error(fresh)).map(|code| hex::encode(Sha256::digest(&code)))?;
        let beside = fresh.with_extension("sha256.tmp");
        fs::write(&beside, hash).map_err(cache_error(&beside))?;
        fs::rename(&beside, &self.hash).map_err(cache_error(&self.hash))?;
        fs::rename(fresh, &self.code).map_err(cache_error(&self.code))
    }
}

#[expect(unsafe_code, reason = "mapping machine code is unsafe by nature; this is the only place")]
fn deserialize(host: &Host, code: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file was written by this version of us, as its name and hash say, into a directory that is ours
    // alone, and is never changed in place.
    unsafe { Component::deserialize_file(&host.engine, code) }
}

/// A file of a name that nobody else uses, removed at the end if it is still there.
struct Temporary(PathBuf);

impl Temporary {
    fn new(dir: &Path, extension: &str) -> Temporary {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        Temporary(dir.join(format!("fresh-{}-{n}.{extension}", std::process::id())))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Mostly it was renamed; a leftover is only waste.
        let _ = fs::remove_file(&self.0);
    }
}

/// Compiles in a child without our environment, which holds secrets.
fn run_child(program: &Path, input: &Path, output: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    command
        .arg(SUBCOMMAND)
        .arg(input)
        .arg(output)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child =
        command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()))?;
    let waited = wait(&mut child);
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // What was said before a failure to read is worth telling.
        let _ = stderr.take(SHOWN_MAX as u64).read_to_end(&mut said);
    }
    let said = one_line(String::from_utf8_lossy(&said).trim(), SHOWN_MAX);
    match waited {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!(
            "the compiler ended with {status} (limits: {CHILD_CPU_SECONDS} s, {CHILD_ADDRESS_SPACE} bytes): {said}"
        )),
        Ok(None) => Err(format!("the compiler took more than {} s", CHILD_WALL.as_secs())),
        Err(error) => Err(format!("cannot wait for the compiler: {error}")),
    }
}

/// How the child ended; it is killed and `None` if it takes too long.
fn wait(child: &mut Child) -> io::Result<Option<std::process::ExitStatus>> {
    for _ in 0..CHILD_WALL.as_millis() / CHILD_POLL.as_millis() {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(CHILD_POLL);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

fn cache_error(path: &Path) -> impl FnOnce(io::Error) -> LoadError {
    let path = path.to_owned();
    move |source| LoadError::Cache { path, source }
}
