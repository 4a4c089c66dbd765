//! JSON between the stages: what a normalizer returned is read, what will be stored and sent is written.

use crate::typical::TYPICAL;
use billhook_event::Draft;
use divan::{Bencher, black_box};

#[divan::bench(min_time = 0.5)]
fn read_draft(bencher: Bencher<'_, '_>) {
    let json = &TYPICAL.draft;
    bencher.bench(|| serde_json::from_slice::<Draft>(black_box(json)).expect("a draft"));
}

#[divan::bench(min_time = 0.5)]
fn write_event(bencher: Bencher<'_, '_>) {
    let event = &TYPICAL.chosen;
    bencher.bench(|| serde_json::to_vec(black_box(event)).expect("an event is JSON"));
}
