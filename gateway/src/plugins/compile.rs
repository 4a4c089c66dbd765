//! Turns components into machine code, and keeps it.
//!
//! A file of the cache is named by the SHA-256 of the component and a hash of everything that the machine code depends
//! on: wasmtime's version, its settings, the processor. Beside it stands a file with its own BLAKE3, written first.
//! Code is mapped only if that fits: a damaged file is replaced. Whoever can write into the directory can run code in
//! the gateway, so it is the gateway's alone (mode 0700). Files are never changed in place, only replaced by renaming;
//! nothing is synced, since whatever a crash leaves half written does not fit its hash.

use crate::plugins::engine::{self, Host};
use crate::plugins::text::{SHOWN_MAX, one_line};
use crate::plugins::{Compiler, LoadError};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use std::fs::{self, DirBuilder, File};
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

/// What a compiling child may use of memory, in bytes of address space, and of the processor.
const CHILD_ADDRESS_SPACE: u64 = 4 << 30;
const CHILD_CPU_SECONDS: u64 = 60;
/// How long we wait for it.
const CHILD_WALL: Duration = Duration::from_secs(120);
/// How often we look whether it is done.
const CHILD_POLL: Duration = Duration::from_millis(5);

/// What the subcommand `compile-component IN OUT` does: limits this process for the rest of its life, compiles the
/// component `input` and writes machine code to `output`. Call it in a process of its own.
pub fn compile_file(input: &Path, output: &Path) -> Result<(), LoadError> {
    compile_within(CHILD_ADDRESS_SPACE, CHILD_CPU_SECONDS, input, output)
}

/// How far the compiler steps back behind everything else: all the way, as `nice(2)` has it.
const NICENESS: i32 = 19;

fn compile_within(memory: u64, cpu_seconds: u64, input: &Path, output: &Path) -> Result<(), LoadError> {
    for (resource, most) in [(Resource::As, memory), (Resource::Cpu, cpu_seconds), (Resource::Core, 0)] {
        let limit = Rlimit { current: Some(most), maximum: Some(most) };
        setrlimit(resource, limit)
            .map_err(|error| LoadError::Engine(format!("cannot limit the compiler: {error}")))?;
    }
    // It uses every processor there is: webhooks go first. Where that is refused, it compiles all the same.
    let _ = nice(NICENESS);
    let component = fs::read(input).map_err(cache_error(input))?;
    let code =
        engine::for_compiling()?.precompile_component(&component).map_err(|error| LoadError::Compile {
            plugin: input.display().to_string(),
            why: one_line(&format!("{error:#}"), SHOWN_MAX),
        })?;
    fs::write(output, code).map_err(cache_error(output))
}

/// The machine code of the component with this SHA-256, if the cache has it.
pub(super) fn cached(host: &Host, digest: &[u8; 32]) -> Result<Option<Component>, LoadError> {
    match &host.options.cache_dir {
        Some(dir) => Ok(Cached::new(host, dir, digest)?.read(host)),
        None => Ok(None),
    }
}

/// The machine code of a component: compiled, and put into the cache.
pub(super) fn compiled(
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
    let fresh = Temporary::new(dir, "cwasm");
    match &host.options.compiler {
        Compiler::InProcess => {
            let code = host.engine.precompile_component(bytes).map_err(refused)?;
            fs::write(&fresh.0, code).map_err(cache_error(&fresh.0))?;
        }
        Compiler::Child(program) => {
            let input = Temporary::new(dir, "wasm");
            fs::write(&input.0, bytes).map_err(cache_error(&input.0))?;
            run_child(program, &input.0, &fresh.0, CHILD_WALL)
                .map_err(|why| LoadError::Compile { plugin: plugin.to_owned(), why })?;
        }
    }
    cached.write(&fresh.0)?;
    // Written by us just now. What the pool has no room for is refused here, and the cause is the component's.
    deserialize(host, &cached.code).map_err(refused)
}

/// Removes what the cache has of a component.
pub(super) fn forget(host: &Host, digest: &[u8; 32]) {
    let Some(cached) = host.options.cache_dir.as_ref().and_then(|dir| Cached::new(host, dir, digest).ok())
    else {
        return;
    };
    for path in [&cached.code, &cached.hash] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                warn!(path = %path.display(), %error, "cannot remove machine code that is no longer wanted");
            }
            Ok(()) | Err(_) => {}
        }
    }
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
        Ok(Cached { code: dir.join(format!("{name}.cwasm")), hash: dir.join(format!("{name}.blake3")) })
    }

    /// The component, if both files are there and fit.
    fn read(&self, host: &Host) -> Option<Component> {
        let expected = fs::read_to_string(&self.hash).ok()?;
        if expected != hash(&self.code).ok()? {
            warn!(path = %self.code.display(), "cached machine code does not fit its hash and is compiled again");
            return None;
        }
        match deserialize(host, &self.code) {
            Ok(component) => {
                debug!(path = %self.code.display(), "machine code found in the cache");
                Some(component)
            }
            Err(error) => {
                warn!(path = %self.code.display(), error = format!("{error:#}"), "cached machine code is refused and compiled again");
                None
            }
        }
    }

    /// Takes fresh code in.
    fn write(&self, fresh: &Path) -> Result<(), LoadError> {
        let hash = hash(fresh).map_err(cache_error(fresh))?;
        let beside = fresh.with_extension("blake3.tmp");
        fs::write(&beside, hash).map_err(cache_error(&beside))?;
        fs::rename(&beside, &self.hash).map_err(cache_error(&self.hash))?;
        fs::rename(fresh, &self.code).map_err(cache_error(&self.code))
    }
}

/// BLAKE3 of a file, in hex.
fn hash(path: &Path) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize().to_hex().to_string())
}

#[expect(unsafe_code, reason = "mapping machine code is unsafe by nature")]
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
fn run_child(program: &Path, input: &Path, output: &Path, wall: Duration) -> Result<(), String> {
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
    // Beside the waiting: a child that nobody listens to stands still once it has much to say.
    let listening = child.stderr.take().map(|stderr| thread::spawn(|| heard(stderr)));
    let waited = wait(&mut child, wall);
    let said = listening.and_then(|listening| listening.join().ok()).unwrap_or_default();
    let said = one_line(String::from_utf8_lossy(&said).trim(), SHOWN_MAX);
    match waited {
        Ok(Some(status)) if status.success() => Ok(()),
        Ok(Some(status)) => Err(format!(
            "the compiler ended with {status} (limits: {CHILD_CPU_SECONDS} s, {CHILD_ADDRESS_SPACE} bytes): {said}"
        )),
        Ok(None) => Err(format!("the compiler took more than {wall:?}")),
        Err(error) => Err(format!("cannot wait for the compiler: {error}")),
    }
}

/// The beginning of what is said, to the end of it.
fn heard(mut stderr: impl Read) -> Vec<u8> {
    let mut said = Vec::new();
    // What was said before a failure to read is worth telling.
    let _ = stderr.by_ref().take(SHOWN_MAX as u64).read_to_end(&mut said);
    let _ = io::copy(&mut stderr, &mut io::sink());
    said
}

/// How the child ended; it is killed and `None` if it takes too long.
fn wait(child: &mut Child, wall: Duration) -> io::Result<Option<std::process::ExitStatus>> {
    for _ in 0..wall.as_millis() / CHILD_POLL.as_millis() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugins::tests::{misbehave, script};
    use crate::plugins::{Options, Plugins, Spec};
    use std::env;
    use std::fmt::Write;

    /// A component that takes seconds to compile.
    fn slow() -> Vec<u8> {
        let mut text = String::from("(component (core module ");
        for _ in 0..4_000 {
            text.push_str("(func (param i64 i64) (result i64) local.get 0 ");
            for n in 0..100 {
                let _ = write!(text, "local.get 1 i64.mul i64.const {n} i64.add ");
            }
            text.push(')');
        }
        wat::parse_str(text + "))").unwrap()
    }

    /// Compiles `component` in a child that may use so much memory and so many seconds.
    fn compiled_within(memory: u64, cpu_seconds: u64, component: &[u8]) -> Result<(), String> {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "#!/bin/sh\nexport WITHIN=\"{memory} {cpu_seconds} $2 $3\"\nexec {} --exact plugins::compile::tests::the_child 1>&2\n",
            env::current_exe().unwrap().display()
        );
        let input = dir.path().join("in");
        fs::write(&input, component).unwrap();
        run_child(&script(dir.path(), &text), &input, &dir.path().join("out"), CHILD_WALL)
    }

    #[test]
    fn the_child() {
        let Ok(within) = env::var("WITHIN") else { return };
        let words: Vec<&str> = within.split(' ').collect();
        let limit = |n: usize| words[n].parse().unwrap();
        compile_within(limit(0), limit(1), Path::new(words[2]), Path::new(words[3])).unwrap();
    }

    #[test]
    fn a_component_that_costs_too_much_to_compile_ends_the_child_alone() {
        assert_eq!(compiled_within(CHILD_ADDRESS_SPACE, CHILD_CPU_SECONDS, &misbehave()), Ok(()));
        let told = compiled_within(64 << 20, CHILD_CPU_SECONDS, &slow()).unwrap_err();
        assert!(told.starts_with("the compiler ended with "), "{told}");
        let told = compiled_within(CHILD_ADDRESS_SPACE, 1, &slow()).unwrap_err();
        assert!(told.contains("signal: 9 ") || told.contains("signal: 24 "), "{told}");

        let dir = tempfile::tempdir().unwrap();
        let sleeps = script(dir.path(), "#!/bin/sh\nexec sleep 3600\n");
        let told = run_child(&sleeps, Path::new("a"), Path::new("b"), Duration::from_millis(20)).unwrap_err();
        assert_eq!(told, "the compiler took more than 20ms");
        let talks = script(dir.path(), "#!/bin/sh\nyes 'too much' | head -c 300000 >&2\nexit 7\n");
        let told = run_child(&talks, Path::new("a"), Path::new("b"), CHILD_WALL).unwrap_err();
        assert!(told.contains("exit status: 7") && told.contains("too much"), "{told}");
        assert!(told.len() < 2 * SHOWN_MAX, "{} bytes", told.len());
    }

    #[test]
    fn whatever_bit_of_the_cache_is_flipped_it_is_compiled_again() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { cache_dir: Some(dir.path().join("cache")), ..Options::default() };
        let host = Host::start(Options { instances: 1, ..options }, false).unwrap();
        let bytes = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
        let digest = [7; 32];
        let load = || match cached(&host, &digest).unwrap() {
            Some(_) => {}
            None => drop(compiled(&host, "p", &bytes, &digest).unwrap()),
        };
        load();
        let cached = Cached::new(&host, host.options.cache_dir.as_ref().unwrap(), &digest).unwrap();
        for path in [&cached.code, &cached.hash] {
            let whole = fs::read(path).unwrap();
            let step = (whole.len() / 40).max(1);
            for at in (0..whole.len()).step_by(step) {
                let mut damaged = whole.clone();
                damaged[at] ^= 1 << (at % 8);
                // Replaced, not rewritten: what is mapped must not change.
                fs::remove_file(path).unwrap();
                fs::write(path, damaged).unwrap();
                load();
                assert_eq!(fs::read(path).unwrap(), whole, "byte {at} of {}", path.display());
            }
        }
        forget(&host, &digest);
        assert_eq!(fs::read_dir(host.options.cache_dir.as_ref().unwrap()).unwrap().count(), 0);
    }

    #[test]
    fn a_component_with_a_flipped_bit_loads_or_is_refused_in_words() {
        let plugins = Plugins::start(Options { instances: 1, ..Options::default() }).unwrap();
        let (whole, mut refused) = (misbehave(), 0);
        for n in 0..10 {
            let at = n * whole.len() / 10 + 13;
            let mut damaged = whole.to_vec();
            damaged[at] ^= 1 << (n % 8);
            let spec = Spec {
                name: "bad".to_owned(),
                component: crate::plugins::Component::new(damaged),
                config: serde_json::Value::Null,
                grants: Vec::new(),
                secrets: Default::default(),
                limits: crate::plugins::Limits::default(),
            };
            if let Err(error) = plugins.load(spec) {
                let told = error.to_string();
                assert!(told.starts_with("plugin `bad`") && told.len() > 20, "byte {at}: {told}");
                assert!(!told.contains(char::is_control), "byte {at}: {told}");
                refused += 1;
            }
        }
        assert!(refused > 0, "a flipped bit of code or structure shows");
    }
}
