//! Standard Webhooks on a body of 600 bytes.

use crate::NOW;
use divan::{Bencher, black_box};
use gateway::model::signature::{Signed, sign_v1, standard_key, verify_v1};
use std::time::Duration;

const ID: &str = "msg_2b4gKhKiXrGxNqk7b4mzEGwVQXx";

fn key() -> Vec<u8> {
    standard_key("whsec_dGhpcyBpcyBhIHRlc3Qgc2VjcmV0IG9mIDMyIGJ5dGU=").expect("a key")
}

#[divan::bench(min_time = 0.5)]
fn sign(bencher: Bencher<'_, '_>) {
    let (key, body) = (key(), [b'x'; 600]);
    bencher.bench(|| sign_v1(black_box(&key), ID, NOW.secs(), black_box(&body)));
}

#[divan::bench(min_time = 0.5)]
fn verify(bencher: Bencher<'_, '_>) {
    let (keys, body) = ([key()], [b'x'; 600]);
    let (timestamp, signature) = (NOW.secs().to_string(), sign_v1(&keys[0], ID, NOW.secs(), &body));
    bencher.bench(|| {
        let signed = Signed { id: ID, timestamp: &timestamp, signature: &signature, body: black_box(&body) };
        verify_v1(&keys, signed, NOW, Duration::from_secs(300)).expect("it is signed");
    });
}
