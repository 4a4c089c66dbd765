//! Bringing a plugin: its machine code is made in a process of its own, or found in the cache.

use divan::Bencher;
use gateway::plugins::{Compiler, Limits, Options, Plugin, Plugins, Spec, shipped};
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

/// The largest shipped plugin.
const NAME: &str = "cancel-strategy";

fn plugins(cache: &Path) -> Plugins {
    let compiler = Compiler::Child(env!("CARGO_BIN_EXE_billhook").into());
    let options = Options { cache_dir: Some(cache.to_owned()), compiler, instances: 1, ..Options::default() };
    Plugins::start(options).expect("an engine")
}

fn load(plugins: &Plugins) -> Plugin {
    let component = shipped::component(NAME).expect("it is shipped");
    let spec = Spec {
        name: NAME.to_owned(),
        component,
        config: serde_json::Value::Null,
        grants: Vec::new(),
        secrets: BTreeMap::new(),
        limits: Limits::default(),
    };
    plugins.load(spec).expect("it loads")
}

#[divan::bench(min_time = 1)]
fn cached(bencher: Bencher<'_, '_>) {
    let dir = tempfile::tempdir().expect("a directory");
    let plugins = plugins(dir.path());
    load(&plugins);
    bencher.bench_local(|| load(&plugins));
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn compiled(bencher: Bencher<'_, '_>) {
    let fresh = || -> (TempDir, Plugins) {
        let dir = tempfile::tempdir().expect("a directory");
        let plugins = plugins(dir.path());
        (dir, plugins)
    };
    bencher.with_inputs(fresh).bench_local_values(|(dir, plugins)| (load(&plugins), dir));
}
