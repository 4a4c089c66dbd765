//! A secret in a component: a handle, and nothing of its value.

use crate::bindings::imports::secrets;

/// The gateway's secret.
pub(crate) struct SecretHost(secrets::Secret);

impl SecretHost {
    pub(crate) fn open(name: &str) -> Option<SecretHost> {
        secrets::open(name).map(SecretHost)
    }

    pub(crate) fn hmac_sha1(&self, data: &[u8]) -> Vec<u8> {
        self.0.hmac_sha1(data)
    }

    pub(crate) fn hmac_sha256(&self, data: &[u8]) -> Vec<u8> {
        self.0.hmac_sha256(data)
    }

    pub(crate) fn hmac_sha512(&self, data: &[u8]) -> Vec<u8> {
        self.0.hmac_sha512(data)
    }

    pub(crate) fn verify_hmac_sha1(&self, data: &[u8], tag: &[u8]) -> bool {
        self.0.verify_hmac_sha1(data, tag)
    }

    pub(crate) fn verify_hmac_sha256(&self, data: &[u8], tag: &[u8]) -> bool {
        self.0.verify_hmac_sha256(data, tag)
    }

    pub(crate) fn verify_hmac_sha512(&self, data: &[u8], tag: &[u8]) -> bool {
        self.0.verify_hmac_sha512(data, tag)
    }

    pub(crate) fn equals(&self, candidate: &[u8]) -> bool {
        self.0.equals(candidate)
    }

    pub(crate) fn reveal(&self) -> Option<Vec<Vec<u8>>> {
        crate::bindings::imports::reveal::reveal(&self.0)
    }
}
