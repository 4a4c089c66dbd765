//! [Standard Webhooks 1.0.0](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
//! versions `v1` and `v1a`, which are also what Svix sends.

use super::{BadSecret, Refusal, any_matches, digits, fresh, mac};
use crate::model::secret::Secret;
use crate::model::source::{Hash, TimestampUnit};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use billhook_event::Time;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::time::Duration;

/// How many bytes a Standard Webhooks key may have. The specification asks for 24 to 64; senders in the field are a
/// little less strict, and what they send must still be taken.
pub const STANDARD_KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=75;

/// How many `v1a` signatures of a request are looked at: checking one costs much more than sending it.
pub const V1A_SIGNATURES_MAX: usize = 16;

/// The key in a Standard Webhooks secret: base64, with or without `whsec_` before it and padding after it.
pub fn standard_key(secret: &str) -> Result<Vec<u8>, BadSecret> {
    let text = secret.strip_prefix("whsec_").unwrap_or(secret);
    let key = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| BadSecret::NotBase64)?;
    match key.len() {
        0 => Err(BadSecret::Empty),
        n if STANDARD_KEY_BYTES.contains(&n) => Ok(key),
        n => Err(BadSecret::Length(n)),
    }
}

/// The ed25519 public key in a `whpk_` text (base64 of 32 bytes, with or without padding); `None` if it is none, or one
/// of the few for which anybody can sign.
pub fn public_key(text: &str) -> Option<VerifyingKey> {
    let key = STANDARD_NO_PAD.decode(text.strip_prefix("whpk_")?.trim_end_matches('=')).ok()?;
    let key = VerifyingKey::from_bytes(key.as_slice().try_into().ok()?).ok()?;
    (!key.is_weak()).then_some(key)
}

/// The text of a public key, as [`public_key`] reads it.
pub fn public_key_text(key: &VerifyingKey) -> String {
    format!("whpk_{}", STANDARD.encode(key.as_bytes()))
}

/// What the text of every private key begins with.
pub const PRIVATE_KEY_PREFIX: &str = "whsk_";

/// The ed25519 private key in a `whsk_` text: base64, with or without padding, of its 32 bytes, or of these and the
/// 32 of its public key, as Svix writes it.
pub fn private_key(text: &str) -> Result<SigningKey, BadSecret> {
    let text = text.strip_prefix(PRIVATE_KEY_PREFIX).ok_or(BadSecret::PrivateKey)?;
    let bytes = STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| BadSecret::PrivateKey)?;
    let whole = <&[u8; 64]>::try_from(bytes.as_slice()).ok().map(SigningKey::from_keypair_bytes);
    let key = match whole {
        Some(key) => key.ok(),
        None => <&[u8; 32]>::try_from(bytes.as_slice()).ok().map(SigningKey::from_bytes),
    };
    key.ok_or(BadSecret::PrivateKey)
}

/// The text of the public key of a private one; `None` of any other secret.
pub fn public_key_of(secret: &Secret) -> Option<String> {
    let key = private_key(secret.reveal()).ok()?;
    Some(public_key_text(&key.verifying_key()))
}

/// The text of a private key, as [`private_key`] reads it and Svix writes it.
pub fn private_key_text(key: &SigningKey) -> String {
    format!("{PRIVATE_KEY_PREFIX}{}", STANDARD.encode(key.to_keypair_bytes()))
}

/// The `webhook-signature` of a body: `v1,` and the base64 of the HMAC-SHA256 of `id.timestamp.body`.
pub fn sign_v1(key: &[u8], id: &str, timestamp_secs: u64, body: &[u8]) -> String {
    format!("v1,{}", STANDARD.encode(v1_mac(key, id, &timestamp_secs.to_string(), body)))
}

/// The `webhook-signature` of a body: `v1a,` and the base64 of the ed25519 signature of `id.timestamp.body`.
pub fn sign_v1a(key: &SigningKey, id: &str, timestamp_secs: u64, body: &[u8]) -> String {
    let message = [format!("{id}.{timestamp_secs}.").as_bytes(), body].concat();
    format!("v1a,{}", STANDARD.encode(key.sign(&message).to_bytes()))
}

/// What a Standard Webhooks request says, under whichever header names it came.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`, Unix seconds.
    pub timestamp: &'a str,
    /// `webhook-signature`: a list of `v1,<base64>` and `v1a,<base64>` with spaces between; other versions are passed
    /// over.
    pub signature: &'a str,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Whether one of the `v1` signatures is that of one of the `keys` and the time is at most `tolerance` off, either way.
pub fn verify_v1(
    keys: &[Vec<u8>],
    signed: Signed<'_>,
    now: Time,
    tolerance: Duration,
) -> Result<(), Refusal> {
    let timestamp = digits(signed.timestamp, "webhook-timestamp")?;
    fresh(timestamp, TimestampUnit::S, now, tolerance)?;
    let versions = signed.signature.split(' ').filter_map(|part| part.strip_prefix("v1,"));
    let candidates: Vec<Vec<u8>> = versions.filter_map(|text| STANDARD.decode(text).ok()).collect();
    let macs = keys.iter().map(|key| v1_mac(key, signed.id, signed.timestamp, signed.body));
    any_matches(macs, &candidates)
}

/// Whether one of the first [`V1A_SIGNATURES_MAX`] `v1a` signatures is that of one of the `keys` and the time is at
/// most `tolerance` off, either way.
pub fn verify_v1a(
    keys: &[VerifyingKey],
    signed: Signed<'_>,
    now: Time,
    tolerance: Duration,
) -> Result<(), Refusal> {
    let timestamp = digits(signed.timestamp, "webhook-timestamp")?;
    fresh(timestamp, TimestampUnit::S, now, tolerance)?;
    let versions = signed.signature.split(' ').filter_map(|part| part.strip_prefix("v1a,"));
    let decoded = versions.take(V1A_SIGNATURES_MAX).filter_map(|text| STANDARD.decode(text).ok());
    let message = [signed.id.as_bytes(), b".", signed.timestamp.as_bytes(), b".", signed.body].concat();
    // Nothing here is secret: the first that fits is enough.
    let mut candidates = decoded.filter_map(|bytes| Signature::from_slice(&bytes).ok());
    let fits = |signature: &Signature| keys.iter().any(|key| key.verify_strict(&message, signature).is_ok());
    if candidates.any(|signature| fits(&signature)) { Ok(()) } else { Err(Refusal::NoMatch) }
}

fn v1_mac(key: &[u8], id: &str, timestamp: &str, body: &[u8]) -> Vec<u8> {
    mac(Hash::Sha256, key, [id.as_bytes(), b".", timestamp.as_bytes(), b".", body])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);

    #[test]
    fn what_is_signed_verifies_and_any_changed_byte_does_not() {
        let mut random = rand::rng();
        for length in [0, 1, 2, 63, 64, 65, 300, 4097] {
            let body: Vec<u8> = (0..length).map(|_| rand::Rng::random(&mut random)).collect();
            let key: Vec<u8> = (0..32).map(|_| rand::Rng::random(&mut random)).collect();
            let now = Time::from_secs(1_614_265_330);
            let signature = sign_v1(&key, "evt_1", now.secs(), &body);
            let check = |keys: &[Vec<u8>], id: &str, timestamp: &str, signature: &str, body: &[u8]| {
                verify_v1(keys, Signed { id, timestamp, signature, body }, now, TOLERANCE)
            };
            let keys = [key.clone()];
            assert_eq!(check(&keys, "evt_1", "1614265330", &signature, &body), Ok(()));
            assert_eq!(check(&[vec![0; 32], key.clone()], "evt_1", "1614265330", &signature, &body), Ok(()));
            assert_eq!(
                check(&[vec![0; 32]], "evt_1", "1614265330", &signature, &body),
                Err(Refusal::NoMatch)
            );
            assert_eq!(check(&[], "evt_1", "1614265330", &signature, &body), Err(Refusal::NoMatch));
            assert_eq!(check(&keys, "evt_2", "1614265330", &signature, &body), Err(Refusal::NoMatch));
            assert_eq!(check(&keys, "evt_1", "1614265331", &signature, &body), Err(Refusal::NoMatch));
            for at in 0..body.len().min(70) {
                let mut changed = body.clone();
                changed[at] ^= 1 << (at % 8);
                assert_eq!(
                    check(&keys, "evt_1", "1614265330", &signature, &changed),
                    Err(Refusal::NoMatch),
                    "{at}"
                );
            }
            for at in 0..signature.len() {
                let mut changed = signature.clone().into_bytes();
                changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
                let changed = String::from_utf8(changed).unwrap();
                assert_eq!(
                    check(&keys, "evt_1", "1614265330", &changed, &body),
                    Err(Refusal::NoMatch),
                    "{changed}"
                );
            }
        }
    }

    #[test]
    fn the_time_may_be_off_by_the_tolerance_either_way_and_must_be_digits() {
        let key = vec![7; 24];
        let at = 1_614_265_330;
        let check = |timestamp: &str, now: u64| {
            let signature = format!("v1,{}", STANDARD.encode(v1_mac(&key, "evt_1", timestamp, b"{}")));
            let signed = Signed { id: "evt_1", timestamp, signature: &signature, body: b"{}" };
            verify_v1(std::slice::from_ref(&key), signed, Time::from_millis(now * 1000 + 999), TOLERANCE)
        };
        for now in [at - 300, at, at + 300] {
            assert_eq!(check("1614265330", now), Ok(()), "{now}");
        }
        let by = Duration::from_secs(301);
        assert_eq!(check("1614265330", at + 301), Err(Refusal::TooOld { by, tolerance: TOLERANCE }));
        assert_eq!(check("1614265330", at - 301), Err(Refusal::FromTheFuture { by, tolerance: TOLERANCE }));
        let malformed = [
            "",
            " ",
            "+1614265330",
            "-1",
            "1614265330.0",
            "1e9",
            "0x60",
            " 1614265330",
            "99999999999999999999",
        ];
        for text in malformed {
            assert!(matches!(check(text, at), Err(Refusal::Malformed { .. })), "{text:?}");
        }
        assert!(matches!(check("18446744073709551615", at), Err(Refusal::FromTheFuture { .. })));
    }

    /// Of the tests of Svix's server (svix/svix-webhooks, `server/svix-server/src/worker.rs`).
    const SVIX: Signed<'_> = Signed {
        id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp: "1614265330",
        signature: "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==",
        body: br#"{"test": 2432232314}"#,
    };
    const SVIX_PRIVATE_KEY: &str =
        "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
    const SVIX_KEY: &str = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=";

    #[test]
    fn a_v1a_signature_is_taken_under_its_public_key_only_and_within_the_tolerance() {
        let now = Time::from_secs(1_614_265_330);
        let (key, other) = (public_key(SVIX_KEY).unwrap(), SigningKey::from_bytes(&[7; 32]));
        fn check(keys: &[VerifyingKey], signed: Signed<'_>, now: Time) -> Result<(), Refusal> {
            verify_v1a(keys, signed, now, TOLERANCE)
        }
        assert_eq!(check(&[key], SVIX, now), Ok(()));
        assert_eq!(check(&[other.verifying_key(), key], SVIX, now), Ok(()));
        assert_eq!(check(&[other.verifying_key()], SVIX, now), Err(Refusal::NoMatch));
        assert_eq!(check(&[], SVIX, now), Err(Refusal::NoMatch));
        let sides = [Signed { id: "msg_2", ..SVIX }, Signed { body: br#"{"test": 2432232315}"#, ..SVIX }];
        for changed in sides.into_iter().chain([Signed { timestamp: "1614265331", ..SVIX }]) {
            assert_eq!(check(&[key], changed, now), Err(Refusal::NoMatch), "{changed:?}");
        }
        for at in "v1a,".len()..SVIX.signature.len() - 3 {
            let mut changed = SVIX.signature.to_owned().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let signature = String::from_utf8(changed).unwrap();
            let changed = Signed { signature: &signature, ..SVIX };
            assert_eq!(check(&[key], changed, now), Err(Refusal::NoMatch), "{signature}");
        }
        let late = check(&[key], SVIX, now.plus(Duration::from_secs(301)));
        assert!(matches!(late, Err(Refusal::TooOld { .. })), "{late:?}");

        let mixed = format!("v1,AAAA v1a,AAAA v2,AAAA {}", SVIX.signature);
        assert_eq!(check(&[key], Signed { signature: &mixed, ..SVIX }, now), Ok(()));
        let many = format!("{}{}", "v1a,AAAA ".repeat(V1A_SIGNATURES_MAX), SVIX.signature);
        assert_eq!(check(&[key], Signed { signature: &many, ..SVIX }, now), Err(Refusal::NoMatch));
        let as_v1 = SVIX.signature.replace("v1a,", "v1,");
        assert_eq!(check(&[key], Signed { signature: &as_v1, ..SVIX }, now), Err(Refusal::NoMatch));
    }

    #[test]
    fn a_public_key_is_whpk_and_base64_of_a_point_that_binds() {
        let text = |bytes: [u8; 32]| format!("whpk_{}", STANDARD.encode(bytes));
        assert!(public_key(SVIX_KEY).is_some());
        assert!(public_key(SVIX_KEY.trim_end_matches('=')).is_some());
        let mut identity = [0; 32];
        identity[0] = 1;
        let no_point = (2..=255_u8).map(|n| text([n; 32])).find(|key| {
            let bytes = STANDARD.decode(&key["whpk_".len()..]).unwrap();
            VerifyingKey::from_bytes(bytes.as_slice().try_into().unwrap()).is_err()
        });
        let wrong = [
            String::new(),
            SVIX_KEY["whpk_".len()..].to_owned(),
            "whpk_AAAA".to_owned(),
            "whpk_not base64!".to_owned(),
            text(identity),
            no_point.unwrap(),
        ];
        for text in wrong {
            assert_eq!(public_key(&text), None, "{text}");
        }
    }

    #[test]
    fn a_private_key_signs_what_its_public_key_verifies_and_nobody_elses() {
        let signs = private_key(SVIX_PRIVATE_KEY).unwrap();
        assert_eq!(public_key_text(&signs.verifying_key()), SVIX_KEY);
        assert_eq!(private_key_text(&signs), SVIX_PRIVATE_KEY);
        let at = SVIX.timestamp.parse().unwrap();
        assert_eq!(sign_v1a(&signs, SVIX.id, at, SVIX.body), SVIX.signature);

        let other = SigningKey::from_bytes(&[7; 32]);
        let signature = sign_v1a(&other, "evt_1", at, b"{}");
        let signed = Signed { id: "evt_1", timestamp: SVIX.timestamp, signature: &signature, body: b"{}" };
        let check =
            |key: &SigningKey| verify_v1a(&[key.verifying_key()], signed, Time::from_secs(at), TOLERANCE);
        assert_eq!(check(&other), Ok(()));
        assert_eq!(check(&signs), Err(Refusal::NoMatch));
    }

    #[test]
    fn a_private_key_is_whsk_and_base64_of_32_bytes_or_of_a_pair_that_fits() {
        let text = |bytes: &[u8]| format!("whsk_{}", STANDARD.encode(bytes));
        let key = SigningKey::from_bytes(&[7; 32]);
        let pair = key.to_keypair_bytes();
        for text in [text(&pair), text(&pair[..32]), text(&pair[..32]).trim_end_matches('=').to_owned()] {
            assert_eq!(private_key(&text).unwrap().to_bytes(), [7; 32], "{text}");
        }
        let mut odd = pair;
        odd[63] ^= 1;
        let wrong = [
            String::new(),
            "whsk_".to_owned(),
            "whsk_not base64!".to_owned(),
            STANDARD.encode(pair),
            format!("whsec_{}", STANDARD.encode(pair)),
            text(&pair[..31]),
            text(&pair[..48]),
            text(&odd),
        ];
        for text in wrong {
            assert_eq!(private_key(&text).map(|_| ()), Err(BadSecret::PrivateKey), "{text}");
        }
    }

    #[test]
    fn a_standard_secret_is_base64_of_a_sensible_length() {
        let key = STANDARD.encode([1; 24]);
        assert_eq!(standard_key(&key), Ok(vec![1; 24]));
        assert_eq!(standard_key(&format!("whsec_{key}")), Ok(vec![1; 24]));
        assert_eq!(standard_key(STANDARD.encode([1; 16]).trim_end_matches('=')), Ok(vec![1; 16]));
        assert_eq!(standard_key(""), Err(BadSecret::Empty));
        assert_eq!(standard_key("whsec_"), Err(BadSecret::Empty));
        assert_eq!(standard_key("not base64!"), Err(BadSecret::NotBase64));
        assert_eq!(standard_key(&STANDARD.encode([1; 15])), Err(BadSecret::Length(15)));
        assert_eq!(standard_key(&STANDARD.encode([1; 76])), Err(BadSecret::Length(76)));
    }
}
