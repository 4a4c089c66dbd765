//! What signs an endpoint's deliveries: its secrets, decoded once.

use crate::model::Time;
use crate::model::endpoint::Endpoint;
use crate::model::profile::Signature;
use crate::model::rotation::Live;
use crate::model::signature::{
    BadSecret, PRIVATE_KEY_PREFIX, key, mac, private_key, sign_v1, sign_v1a, standard_key,
};
use crate::model::source::{Encoding, Hash, KeyEncoding};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::SigningKey;
use http::HeaderName;

const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Signs. Without a debug form: its keys are secrets.
pub(super) enum Signer {
    /// Standard Webhooks: one signature for each live secret, so that a receiver may have either of two while one is
    /// rotated; with each key until when it signs.
    Standard(Vec<(Key, Option<Time>)>),
    /// The HMAC of the body alone.
    Body { header: HeaderName, prefix: String, encoding: Encoding, key: Vec<u8> },
    /// Does not.
    None,
}

/// A key of Standard Webhooks.
pub(super) enum Key {
    /// A shared secret.
    V1(Vec<u8>),
    /// A private key. Boxed, since it is much the larger.
    V1a(Box<SigningKey>),
}

impl Signer {
    /// Decodes the secrets of an endpoint. Without any, nothing is signed.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Signer, BadSecret> {
        let secrets = &endpoint.secrets;
        Ok(match (&endpoint.manner.signature, secrets.first()) {
            (Signature::None, _) | (_, None) => Signer::None,
            (Signature::Standard, Some(_)) => {
                let keys = secrets.iter().map(|secret| Ok((standard(secret.reveal())?, None)));
                Signer::Standard(keys.collect::<Result<_, _>>()?)
            }
            (Signature::Body { header, prefix, encoding }, Some(newest)) => {
                let key = key(newest, KeyEncoding::Utf8)?;
                Signer::Body { header: header.clone(), prefix: prefix.clone(), encoding: *encoding, key }
            }
        })
    }

    /// Decodes the secrets of an endpoint that were rotated.
    pub(super) fn rotated(secrets: &[Live]) -> Result<Signer, BadSecret> {
        let keys = secrets.iter().map(|live| Ok((standard(live.secret.reveal())?, live.until)));
        Ok(Signer::Standard(keys.collect::<Result<_, _>>()?))
    }

    /// The signature of a body at `at`, and the header that it belongs in.
    pub(super) fn sign(&self, webhook_id: &str, at: Time, body: &[u8]) -> Option<(HeaderName, String)> {
        let timestamp_secs = at.secs();
        match self {
            Signer::Standard(keys) => {
                let keys = keys.iter().filter(|(_, until)| until.is_none_or(|until| at < until));
                let signature = |(key, _): &(Key, Option<Time>)| match key {
                    Key::V1(key) => sign_v1(key, webhook_id, timestamp_secs, body),
                    Key::V1a(key) => sign_v1a(key, webhook_id, timestamp_secs, body),
                };
                let signatures: Vec<String> = keys.map(signature).collect();
                Some((WEBHOOK_SIGNATURE, signatures.join(" ")))
            }
            Signer::Body { header, prefix, encoding, key } => {
                let mac = mac(Hash::Sha256, key, [body]);
                let text = match encoding {
                    Encoding::Hex => hex::encode(mac),
                    Encoding::Base64 => STANDARD.encode(mac),
                };
                Some((header.clone(), format!("{prefix}{text}")))
            }
            Signer::None => None,
        }
    }
}

fn standard(text: &str) -> Result<Key, BadSecret> {
    match text.starts_with(PRIVATE_KEY_PREFIX) {
        true => private_key(text).map(|key| Key::V1a(Box::new(key))),
        false => standard_key(text).map(Key::V1),
    }
}
