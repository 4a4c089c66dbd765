//! Components and machine code with flipped bits.

use crate::hostile::guest::WELL;
use crate::hostile::{engine, is_readable, loaded, said, spec};
use bytes::Bytes;
use gateway::plugins::{Limits, Options, Plugins, Spec};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

#[tokio::test]
async fn a_component_with_a_flipped_bit_is_refused_or_runs_within_its_limits() {
    let plugins = engine(2);
    let whole = WELL.component();
    let limits = Limits { cpu: Duration::from_millis(20), ..spec("", Bytes::new()).limits };
    let (mut refused, mut ran) = (0, 0);
    for at in (0..whole.len()).step_by(5) {
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1 << (at % 8);
        match plugins.load(Spec { limits: limits.clone(), ..spec("flipped", flipped.into()) }) {
            Ok(plugin) => {
                ran += 1;
                let said = said(&plugin).await;
                assert!(
                    said.as_ref().is_ok() || said.as_ref().is_err_and(|told| is_readable(told)),
                    "{at}: {said:?}"
                );
            }
            Err(error) => {
                refused += 1;
                let told = error.to_string();
                assert!(told.starts_with("plugin `flipped`") && is_readable(&told), "{at}: {told}");
            }
        }
    }
    assert!(refused > 50 && ran > 50, "{refused} refused, {ran} ran");
    assert_eq!(plugins.in_use(), Some(0));
}

#[tokio::test]
async fn machine_code_with_a_flipped_bit_is_compiled_again() {
    let dir = tempfile::tempdir().unwrap();
    let cache = dir.path().join("cache");
    let plugins = Plugins::start(Options { cache_dir: Some(cache.clone()), ..Options::default() }).unwrap();
    let load = || loaded(&plugins, "well", &WELL);
    load();
    let file = |extension: &str| -> PathBuf {
        let mut files = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        files.find(|path| path.extension().is_some_and(|e| e == extension)).unwrap()
    };
    for (path, regions) in [(file("cwasm"), 40), (file("blake3"), 8)] {
        let whole = fs::read(&path).unwrap();
        let cuts = [0, 1, whole.len() / 2, whole.len() - 1].map(|len| whole[..len].to_vec());
        let flips = (0..whole.len()).step_by(whole.len() / regions).map(|at| {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            flipped
        });
        for damaged in flips.chain(cuts) {
            // Replaced, not written to: what is mapped must not change.
            fs::remove_file(&path).unwrap();
            fs::write(&path, &damaged).unwrap();
            assert_eq!(said(&load()).await, Ok(0));
            assert!(fs::read(&path).unwrap() == whole, "it is as it was");
        }
    }
}
