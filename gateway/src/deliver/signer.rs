//! What signs an endpoint's deliveries: its secrets, decoded once.

use crate::model::endpoint::Endpoint;
use crate::model::signature::{BadSecret, PRIVATE_KEY_PREFIX, private_key, sign_v1, sign_v1a, standard_key};
use ed25519_dalek::SigningKey;

/// The keys of an endpoint's live secrets, newest first. Without a debug form: they are secrets.
pub(super) struct Signer(Vec<Key>);

enum Key {
    /// A shared secret, for `v1`.
    V1(Vec<u8>),
    /// A private key, for `v1a`. Boxed, since it is much the larger.
    V1a(Box<SigningKey>),
}

impl Signer {
    /// Decodes the secrets of an endpoint.
    pub(super) fn new(endpoint: &Endpoint) -> Result<Signer, BadSecret> {
        let key = |text: &str| match text.starts_with(PRIVATE_KEY_PREFIX) {
            true => private_key(text).map(|key| Key::V1a(Box::new(key))),
            false => standard_key(text).map(Key::V1),
        };
        endpoint.secrets.iter().map(|secret| key(secret.reveal())).collect::<Result<_, _>>().map(Signer)
    }

    /// The `webhook-signature` of a body: one for each live secret, so that a receiver may have either of two while
    /// one is rotated.
    pub(super) fn sign(&self, webhook_id: &str, timestamp_secs: u64, body: &[u8]) -> Option<String> {
        let signature = |key: &Key| match key {
            Key::V1(key) => sign_v1(key, webhook_id, timestamp_secs, body),
            Key::V1a(key) => sign_v1a(key, webhook_id, timestamp_secs, body),
        };
        let signatures: Vec<String> = self.0.iter().map(signature).collect();
        (!signatures.is_empty()).then(|| signatures.join(" "))
    }
}
