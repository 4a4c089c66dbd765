//! Signs and verifies: pure and in constant time.
//!
//! Two families. [Standard Webhooks 1.0.0](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md),
//! versions `v1` and `v1a`, which are also what Svix sends: [`sign_v1`], [`sign_v1a`], [`verify_v1`] and
//! [`verify_v1a`]. And whatever else a provider made of an HMAC, described by the parameters in [`Hmac`]: [`verify_hmac`]. Every signature in a header is compared with the
//! MAC of every live secret, and neither which of them matched nor how far one matched can be told from the time it
//! took.

use crate::model::secret::Secret;
use crate::model::source::{Encoding, Grammar, Hash, Hmac, KeyEncoding, TimestampUnit};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use billhook_event::Time;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{KeyInit, Mac};
use sha1::{Digest, Sha1};
use sha2::{Sha256, Sha512};
use std::net::IpAddr;
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};

/// How many bytes a Standard Webhooks key may have. The specification asks for 24 to 64; senders in the field are a
/// little less strict, and what they send must still be taken.
pub const STANDARD_KEY_BYTES: std::ops::RangeInclusive<usize> = 16..=75;

/// How many `v1a` signatures of a request are looked at: checking one costs much more than sending it.
pub const V1A_SIGNATURES_MAX: usize = 16;

/// Why a secret is no key. Never says what the secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSecret {
    /// It is empty.
    #[error("the secret is empty")]
    Empty,
    /// It should be base64.
    #[error("the secret is not base64: copy it whole, with or without `whsec_`")]
    NotBase64,
    /// It should be hex.
    #[error("the secret is not hex: copy it whole, two digits a byte")]
    NotHex,
    /// It has too few or too many bytes.
    #[error("the secret has {0} bytes, {min} to {max} are taken", min = STANDARD_KEY_BYTES.start(), max = STANDARD_KEY_BYTES.end())]
    Length(usize),
    /// It should be an ed25519 private key.
    #[error(
        "the secret is not `whsk_` and base64 of an ed25519 key: 32 bytes, or 64 that end with its public key"
    )]
    PrivateKey,
}

/// Why a request is not authentic. Fit for a log: quotes header names, never their values or a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A header that the scheme needs is not there.
    #[error("the header `{0}` is missing")]
    MissingHeader(String),
    /// A header that the scheme needs is there more than once: nobody can say which one was meant.
    #[error("the header `{0}` is there more than once")]
    RepeatedHeader(String),
    /// A query value that the scheme needs is not there, or is there more than once.
    #[error("the query has no single `{0}`")]
    MissingQuery(String),
    /// The sender's address is in none of the networks that the source allows.
    #[error("{0} is in none of the networks of `allow_from`")]
    Address(IpAddr),
    /// A header cannot be read.
    #[error("the header `{header}` is malformed: {why}")]
    Malformed {
        /// Which.
        header: String,
        /// Why.
        why: &'static str,
    },
    /// It was signed too long ago.
    #[error("signed {} s ago, at most {} s are taken: a replay, or a clock that is off", .by.as_secs(), .tolerance.as_secs())]
    TooOld {
        /// How long ago.
        by: Duration,
        /// How long ago it may be.
        tolerance: Duration,
    },
    /// It was signed too far in the future.
    #[error("signed {} s in the future, at most {} s are taken: a clock is off", .by.as_secs(), .tolerance.as_secs())]
    FromTheFuture {
        /// How far.
        by: Duration,
        /// How far it may be.
        tolerance: Duration,
    },
    /// No signature in the header is that of a live secret.
    #[error("no signature matches: another secret, or a changed body")]
    NoMatch,
    /// The value is none of the secrets.
    #[error("the value of {0} is none of the secrets")]
    WrongSecret(String),
    /// The path holds none of the source's public keys.
    #[error("the path holds none of the source's public keys")]
    WrongPathKey,
    /// The plugin that judges for the source says no.
    #[error("{0}")]
    ByPlugin(String),
    /// The source has a secret that is no key.
    #[error("the source's own secret cannot be used: {0}")]
    BadSecret(#[from] BadSecret),
}

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

/// What a request with some other HMAC says.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The header [`Hmac::header`].
    pub signature: &'a str,
    /// The header [`Hmac::timestamp_header`], if the scheme has one.
    pub timestamp: Option<&'a str>,
    /// The header [`Hmac::id_header`], if the scheme has one.
    pub id: Option<&'a str>,
    /// The body, byte for byte.
    pub body: &'a [u8],
}

/// Whether one of the signatures in the header is that of one of the scheme's secrets, and the time, where there is
/// one, is at most [`Hmac::tolerance`] off, either way.
pub fn verify_hmac(scheme: &Hmac, parts: Parts<'_>, now: Time) -> Result<(), Refusal> {
    let (in_header, texts) = read(scheme, parts.signature)?;
    let timestamp = in_header.or(parts.timestamp);
    let place = scheme.timestamp_header.as_deref().unwrap_or(&scheme.header);
    if let Some(text) = timestamp {
        let number = digits(text, place)?;
        if let Some(tolerance) = scheme.tolerance {
            fresh(number, scheme.timestamp_unit, now, tolerance)?;
        }
    } else if scheme.tolerance.is_some() {
        return Err(Refusal::Malformed { header: place.to_owned(), why: "it holds no time" });
    }
    let message = message(scheme, timestamp, parts)?;
    let candidates: Vec<Vec<u8>> = texts.iter().filter_map(|text| decode(scheme.encoding, text)).collect();
    let keys: Vec<Vec<u8>> = scheme.keys()?;
    any_matches(keys.iter().map(|key| mac(scheme.hash, key, message.iter().copied())), &candidates)
}

impl Hmac {
    /// The keys of all live secrets; an error if one of them cannot be decoded.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, BadSecret> {
        self.secrets.iter().map(|secret| key(secret, self.key)).collect()
    }
}

/// The key that a secret's text stands for.
pub fn key(secret: &Secret, encoding: KeyEncoding) -> Result<Vec<u8>, BadSecret> {
    let text = secret.reveal();
    if text.is_empty() {
        return Err(BadSecret::Empty);
    }
    match encoding {
        KeyEncoding::Utf8 => Ok(text.as_bytes().to_vec()),
        KeyEncoding::Base64 => {
            STANDARD_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| BadSecret::NotBase64)
        }
        KeyEncoding::Hex => hex::decode(text).map_err(|_| BadSecret::NotHex),
        KeyEncoding::Sha1 => Ok(Sha1::digest(text.as_bytes()).to_vec()),
    }
}

/// The HMAC of `parts`, one after another.
pub fn mac<'a>(hash: Hash, key: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    fn run<'a, M: Mac + KeyInit>(key: &[u8], parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC takes keys of any length");
        parts.into_iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }
    match hash {
        Hash::Sha1 => run::<hmac::Hmac<Sha1>>(key, parts),
        Hash::Sha256 => run::<hmac::Hmac<Sha256>>(key, parts),
        Hash::Sha512 => run::<hmac::Hmac<Sha512>>(key, parts),
    }
}

/// Compares all with all, without a short cut.
fn any_matches(macs: impl Iterator<Item = Vec<u8>>, candidates: &[Vec<u8>]) -> Result<(), Refusal> {
    let mut found = Choice::from(0);
    for mac in macs {
        for candidate in candidates {
            found |= mac.as_slice().ct_eq(candidate);
        }
    }
    if found.into() { Ok(()) } else { Err(Refusal::NoMatch) }
}

/// The time and the signatures in a header.
fn read<'a>(scheme: &Hmac, text: &'a str) -> Result<(Option<&'a str>, Vec<&'a str>), Refusal> {
    let malformed = |why| Refusal::Malformed { header: scheme.header.clone(), why };
    match &scheme.grammar {
        Grammar::Plain => Ok((None, vec![text.trim()])),
        Grammar::Prefix(prefix) => {
            let rest = text.trim().strip_prefix(prefix.as_str());
            Ok((None, vec![rest.ok_or(malformed("it does not begin as configured"))?]))
        }
        Grammar::Pairs { separator, timestamp, signature } => {
            let pairs = text.split(*separator).filter_map(|pair| pair.trim().split_once('='));
            let (mut time, mut signatures) = (None, Vec::new());
            for (key, value) in pairs {
                if Some(key) == timestamp.as_deref() && time.replace(value).is_some() {
                    return Err(malformed("it holds two times"));
                }
                if key == signature {
                    signatures.push(value);
                }
            }
            if signatures.is_empty() {
                return Err(malformed("it holds no signature"));
            }
            if timestamp.is_some() && time.is_none() {
                return Err(malformed("it holds no time"));
            }
            Ok((time, signatures))
        }
        Grammar::Positional => {
            let (time, rest) = text.trim().split_once(',').ok_or(malformed("it holds no signature"))?;
            Ok((Some(time.trim()), rest.split(',').map(str::trim).collect()))
        }
    }
}

/// The template with its places filled, in pieces.
fn message<'a>(
    scheme: &'a Hmac,
    timestamp: Option<&'a str>,
    parts: Parts<'a>,
) -> Result<Vec<&'a [u8]>, Refusal> {
    let missing =
        |header: &Option<String>| Refusal::MissingHeader(header.as_ref().unwrap_or(&scheme.header).clone());
    let mut pieces = Vec::new();
    let mut rest = scheme.template.as_str();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("{body}") {
            pieces.push(parts.body);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{timestamp}") {
            pieces.push(timestamp.ok_or_else(|| missing(&scheme.timestamp_header))?.as_bytes());
            rest = after;
        } else if let Some(after) = rest.strip_prefix("{id}") {
            pieces.push(parts.id.ok_or_else(|| missing(&scheme.id_header))?.as_bytes());
            rest = after;
        } else {
            let next = rest.char_indices().skip(1).find(|(_, c)| *c == '{').map_or(rest.len(), |(at, _)| at);
            let (literal, after) = rest.split_at(next);
            pieces.push(literal.as_bytes());
            rest = after;
        }
    }
    Ok(pieces)
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Hex => hex::decode(text).ok(),
        Encoding::Base64 => STANDARD.decode(text).ok(),
    }
}

/// A time as nothing but digits: `+1`, ` 1`, `1.0` and `1e9` are refused.
fn digits(text: &str, header: &str) -> Result<u64, Refusal> {
    let malformed = || Refusal::Malformed { header: header.to_owned(), why: "its time is not a number" };
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(malformed());
    }
    text.parse().map_err(|_| malformed())
}

/// Whether `timestamp` is at most `tolerance` before or after `now`, both in whole units.
fn fresh(timestamp: u64, unit: TimestampUnit, now: Time, tolerance: Duration) -> Result<(), Refusal> {
    let (now, off_max, duration): (u64, u128, fn(u64) -> Duration) = match unit {
        TimestampUnit::S => (now.secs(), tolerance.as_secs().into(), Duration::from_secs),
        TimestampUnit::Ms => (now.millis(), tolerance.as_millis(), Duration::from_millis),
    };
    let by = duration(now.abs_diff(timestamp));
    match u128::from(now.abs_diff(timestamp)) {
        off if off <= off_max => Ok(()),
        _ if timestamp < now => Err(Refusal::TooOld { by, tolerance }),
        _ => Err(Refusal::FromTheFuture { by, tolerance }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Duration = Duration::from_secs(300);

    fn hmac(header: &str, grammar: Grammar, template: &str) -> Hmac {
        Hmac {
            secrets: vec![Secret::new("a secret")],
            header: header.to_owned(),
            grammar,
            template: template.to_owned(),
            timestamp_header: None,
            id_header: None,
            timestamp_unit: TimestampUnit::S,
            hash: Hash::Sha256,
            key: KeyEncoding::Utf8,
            encoding: Encoding::Hex,
            tolerance: None,
        }
    }

    fn pairs(separator: char, timestamp: &str, signature: &str) -> Grammar {
        Grammar::Pairs { separator, timestamp: Some(timestamp.to_owned()), signature: signature.to_owned() }
    }

    fn parts<'a>(signature: &'a str, body: &'a [u8]) -> Parts<'a> {
        Parts { signature, timestamp: None, id: None, body }
    }

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

    #[test]
    fn every_parameter_of_an_hmac_counts() {
        let body = b"{\"a\":1}";
        let sign = |hash, key: &[u8], message: &str| mac(hash, key, [message.as_bytes()]);
        let base = hmac("x-signature", Grammar::Plain, "{body}");
        let sha1_of_secret = Sha1::digest(b"a secret").to_vec();
        let text = "{\"a\":1}";
        let cases = [
            (base.clone(), hex::encode(sign(Hash::Sha256, b"a secret", text))),
            (base.clone(), hex::encode_upper(sign(Hash::Sha256, b"a secret", text))),
            (Hmac { hash: Hash::Sha1, ..base.clone() }, hex::encode(sign(Hash::Sha1, b"a secret", text))),
            (Hmac { hash: Hash::Sha512, ..base.clone() }, hex::encode(sign(Hash::Sha512, b"a secret", text))),
            (
                Hmac { key: KeyEncoding::Sha1, ..base.clone() },
                hex::encode(sign(Hash::Sha256, &sha1_of_secret, text)),
            ),
            (
                Hmac { key: KeyEncoding::Hex, secrets: vec![Secret::new("00Ff")], ..base.clone() },
                hex::encode(sign(Hash::Sha256, &[0, 255], text)),
            ),
            (
                Hmac { key: KeyEncoding::Base64, secrets: vec![Secret::new("AP8=")], ..base.clone() },
                hex::encode(sign(Hash::Sha256, &[0, 255], text)),
            ),
            (
                Hmac { encoding: Encoding::Base64, ..base.clone() },
                STANDARD.encode(sign(Hash::Sha256, b"a secret", text)),
            ),
            (
                Hmac { grammar: Grammar::Prefix("sha256=".to_owned()), ..base.clone() },
                format!("sha256={}", hex::encode(sign(Hash::Sha256, b"a secret", text))),
            ),
            (
                Hmac { template: "v0:{body}{nothing}".to_owned(), ..base.clone() },
                hex::encode(sign(Hash::Sha256, b"a secret", "v0:{\"a\":1}{nothing}")),
            ),
            (
                Hmac { secrets: vec![Secret::new("old"), Secret::new("a secret")], ..base.clone() },
                hex::encode(sign(Hash::Sha256, b"a secret", text)),
            ),
            (
                hmac("x-signature", pairs(';', "ts", "h1"), "{timestamp}:{body}"),
                format!("ts=12; h1=00;h1={}", hex::encode(sign(Hash::Sha256, b"a secret", "12:{\"a\":1}"))),
            ),
            (
                hmac("x-signature", Grammar::Positional, "{timestamp}.{body}"),
                format!("12,{},00", hex::encode(sign(Hash::Sha256, b"a secret", "12.{\"a\":1}"))),
            ),
            (
                hmac("x-signature", Grammar::Positional, "{timestamp}.{body}"),
                format!("12,00, {}", hex::encode(sign(Hash::Sha256, b"a secret", "12.{\"a\":1}"))),
            ),
        ];
        for (scheme, header) in cases {
            assert_eq!(verify_hmac(&scheme, parts(&header, body), Time::ZERO), Ok(()), "{scheme:?} {header}");
            let other = verify_hmac(&scheme, parts(&header, b"{\"a\":2}"), Time::ZERO);
            assert_eq!(other, Err(Refusal::NoMatch), "{scheme:?} {header}");
            let stranger = Hmac { secrets: vec![Secret::new("0000")], ..scheme.clone() };
            assert_eq!(
                verify_hmac(&stranger, parts(&header, body), Time::ZERO),
                Err(Refusal::NoMatch),
                "{scheme:?}"
            );
        }
    }

    #[test]
    fn id_and_time_from_headers_of_their_own_are_signed_and_needed() {
        let scheme = Hmac {
            timestamp_header: Some("x-time".to_owned()),
            id_header: Some("x-id".to_owned()),
            tolerance: Some(TOLERANCE),
            ..hmac("x-signature", Grammar::Plain, "{id}.{timestamp}.{body}")
        };
        let signature = hex::encode(mac(Hash::Sha256, b"a secret", [b"7.1000.{}".as_slice()]));
        let whole = Parts { signature: &signature, timestamp: Some("1000"), id: Some("7"), body: b"{}" };
        let now = Time::from_secs(1000);
        assert_eq!(verify_hmac(&scheme, whole, now), Ok(()));
        assert_eq!(verify_hmac(&scheme, Parts { id: Some("8"), ..whole }, now), Err(Refusal::NoMatch));
        assert_eq!(
            verify_hmac(&scheme, Parts { timestamp: Some("1001"), ..whole }, now),
            Err(Refusal::NoMatch)
        );
        let no_id = verify_hmac(&scheme, Parts { id: None, ..whole }, now);
        assert_eq!(no_id, Err(Refusal::MissingHeader("x-id".to_owned())));
        for timestamp in [None, Some("soon")] {
            let refused = verify_hmac(&scheme, Parts { timestamp, ..whole }, now);
            assert!(
                matches!(refused, Err(Refusal::Malformed { ref header, .. }) if header == "x-time"),
                "{refused:?}"
            );
        }
        let late = verify_hmac(&scheme, whole, Time::from_secs(1301));
        assert!(matches!(late, Err(Refusal::TooOld { .. })), "{late:?}");
        let early = verify_hmac(&scheme, whole, Time::from_secs(699));
        assert!(matches!(early, Err(Refusal::FromTheFuture { .. })), "{early:?}");
    }

    #[test]
    fn malformed_headers_are_refused() {
        let stripe_like = hmac("x-signature", pairs(',', "t", "v1"), "{timestamp}.{body}");
        let prefixed = hmac("x-signature", Grammar::Prefix("sha256=".to_owned()), "{body}");
        let positional = hmac("x-signature", Grammar::Positional, "{timestamp}.{body}");
        let cases = [
            (&stripe_like, ""),
            (&stripe_like, "t=1"),
            (&stripe_like, "v1=00"),
            (&stripe_like, "t=1,t=1,v1=00"),
            (&stripe_like, "t=,v1=00"),
            (&stripe_like, "t=1,v0=00"),
            (&prefixed, "00"),
            (&prefixed, "SHA256=00"),
            (&positional, "1"),
            (&positional, ",00"),
        ];
        for (scheme, header) in cases {
            let refused = verify_hmac(scheme, parts(header, b"{}"), Time::ZERO);
            assert!(matches!(refused, Err(Refusal::Malformed { .. })), "{header:?}: {refused:?}");
        }
    }

    #[test]
    fn a_secret_that_is_no_key_refuses_and_is_not_shown() {
        let scheme = Hmac {
            key: KeyEncoding::Hex,
            secrets: vec![Secret::new("tell-nobody")],
            ..hmac("x", Grammar::Plain, "{body}")
        };
        let refused = verify_hmac(&scheme, parts("00", b"{}"), Time::ZERO).unwrap_err();
        assert_eq!(refused, Refusal::BadSecret(BadSecret::NotHex));
        assert!(!format!("{refused} {refused:?} {scheme:?}").contains("tell-nobody"));
    }
}
