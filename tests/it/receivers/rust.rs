//! The receiver in Rust that `docs/integrators.md` shows: below this comment its own text, which a test holds it to.
#![expect(clippy::disallowed_methods, unreachable_pub, reason = "it is a receiver's code, not ours")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub fn is_authentic(secret: &str, headers: &http::HeaderMap, body: &[u8]) -> bool {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let Ok(seconds) = at.parse::<u32>() else { return false };
    let at_time = UNIX_EPOCH + Duration::from_secs(seconds.into());
    let off = SystemTime::now().duration_since(at_time).unwrap_or_else(|ahead| ahead.duration());
    let unpadded = secret.trim_start_matches("whsec_").trim_end_matches('=');
    let key = STANDARD_NO_PAD.decode(unpadded).unwrap_or_default();
    if off > Duration::from_secs(300) || key.is_empty() {
        return false;
    }
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).expect("a key of any length");
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    let given = header("webhook-signature").split(' ').filter_map(|one| one.strip_prefix("v1,"));
    given.filter_map(|one| STANDARD.decode(one).ok()).any(|one| mac.clone().verify_slice(&one).is_ok())
}
