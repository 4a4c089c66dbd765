//! One plugin call, from a fresh instance to its end. With one thread, and with as many as there are cores: an instance
//! that goes away costs more when other threads of the process run, since they must forget its memory too.
//!
//! A sample is many calls: between two samples the threads wait for each other, and a thread that has just been woken
//! takes twice as long.

use crate::typical::{TYPICAL, load, load_component, normalizers, webhook};
use crate::{CALL, RUNTIME};
use divan::Bencher;
use gateway::plugins::{Component, Plugin};

/// A component that gives back its handle and answers "no drafts": what a call costs before the plugin does
/// anything.
const NO_OP: &str = r#"
    (component
      (import "billhook:plugin/types@0.1.0" (instance $types
        (type $failure (variant (case "invalid" string) (case "unavailable" string) (case "other" string)))
        (export "failure" (type (eq $failure)))))
      (alias export $types "failure" (type $failure))
      (import "billhook:plugin/webhooks@0.1.0" (instance $webhooks
        (export "webhook" (type (sub resource)))))
      (alias export $webhooks "webhook" (type $webhook))
      (core module $module
        (@custom "billhook:plugin" "name = \"no-op\"\nversion = \"0.1.0\"\nkinds = [\"normalize\"]\n[[provider]]\nname = \"no-op\"\n")
        (import "host" "drop" (func $drop (param i32)))
        (memory (export "memory") 1)
        (func (export "normalize") (param i32) (result i32)
          (call $drop (local.get 0))
          i32.const 0))
      (core func $drop (canon resource.drop $webhook))
      (core instance $core (instantiate $module
        (with "host" (instance (export "drop" (func $drop))))))
      (func $normalize
        (param "webhook" (borrow $webhook)) (result (result (list (list u8)) (error $failure)))
        (canon lift (core func $core "normalize") (memory $core "memory")))
      (instance $normalize (export "normalize" (func $normalize)))
      (export "billhook:plugin/normalize@0.1.0" (instance $normalize)))"#;

#[divan::bench(threads = [1, 0], sample_size = 100, min_time = 1)]
fn no_op(bencher: Bencher<'_, '_>) {
    let component = wat::parse_str(NO_OP).expect("it is right");
    normalize(bencher, &load_component("no-op", Component::new(component)), "flexprice");
}

#[divan::bench(threads = [1, 0], sample_size = 100, min_time = 1, args = normalizers())]
fn normalizer(bencher: Bencher<'_, '_>, name: &str) {
    normalize(bencher, &load(name), name);
}

fn normalize(bencher: Bencher<'_, '_>, plugin: &Plugin, typical: &str) {
    let webhook = webhook(typical);
    bencher.bench(|| RUNTIME.block_on(plugin.normalize(&CALL, &webhook)).expect("an answer"));
}

#[divan::bench(threads = [1, 0], sample_size = 100, min_time = 1)]
fn cancel_strategy(bencher: Bencher<'_, '_>) {
    let (plugin, event) = (load("cancel-strategy"), &TYPICAL.event);
    bencher.bench(|| RUNTIME.block_on(plugin.map(&CALL, event)).expect("an answer"));
}
