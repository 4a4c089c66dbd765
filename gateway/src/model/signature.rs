//! Signs and verifies: pure and in constant time.
//!
//! Two families: Standard Webhooks ([`sign_v1`], [`sign_v1a`], [`verify_v1`] and [`verify_v1a`]), and whatever else a
//! provider made of an HMAC ([`verify_hmac`]). Every signature in a header is compared with the MAC of every live secret,
//! and neither which of them matched nor how far one matched can be told from the time it took.

mod hmac;
mod standard;

pub use self::hmac::{Parts, key, mac, verify_hmac};
pub use self::standard::{
    PRIVATE_KEY_PREFIX, STANDARD_KEY_BYTES, Signed, V1A_SIGNATURES_MAX, private_key, private_key_text,
    public_key, public_key_of, public_key_text, sign_v1, sign_v1a, standard_key, verify_v1, verify_v1a,
};

use crate::model::source::TimestampUnit;
use billhook_event::Time;
use std::net::IpAddr;
use std::time::Duration;
use subtle::{Choice, ConstantTimeEq};

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
    /// The user name is not this one, or the password none of the secrets.
    #[error("the header `authorization` has not the user `{0}` with one of the secrets")]
    WrongCredentials(String),
    /// There are no credentials where a user and a password are asked for.
    #[error("{0}")]
    NoCredentials(Box<Refusal>),
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

impl Refusal {
    /// Whether credentials are missing, or others are wanted.
    pub fn asks_for_credentials(&self) -> bool {
        matches!(self, Refusal::WrongCredentials(_) | Refusal::NoCredentials(_))
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
