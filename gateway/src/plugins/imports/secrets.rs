//! Secrets: what a plugin computes with, and sees only where it may.

use super::State;
use crate::model::secret;
use crate::model::signature::mac;
use crate::model::source::Hash;
use crate::plugins::bindings::host::billhook::plugin::{reveal, secrets};
use crate::plugins::grants::Capability;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use wasmtime::Result;
use wasmtime::component::Resource;

/// A secret that was opened: its name. The values stay with the plugin's.
#[expect(unreachable_pub, reason = "the bindings re-export it")]
pub struct Secret(String);

impl State {
    /// The live values of an opened secret, newest first; at least one.
    fn values(&mut self, secret: &Resource<Secret>) -> Result<&[secret::Secret]> {
        self.count_call()?;
        let Secret(name) = self.opened.get(secret)?;
        Ok(self.plugin.secrets.get(name).map_or(&[], Vec::as_slice))
    }

    fn mac(&mut self, secret: &Resource<Secret>, hash: Hash, data: &[u8]) -> Result<Vec<u8>> {
        let newest = self.values(secret)?.first();
        Ok(newest.map(|value| mac(hash, value.reveal().as_bytes(), [data])).unwrap_or_default())
    }

    /// Against every live value, whichever fits.
    fn fits(&mut self, secret: &Resource<Secret>, hash: Hash, data: &[u8], tag: &[u8]) -> Result<bool> {
        let values = self.values(secret)?.iter();
        let fits = |value: &secret::Secret| mac(hash, value.reveal().as_bytes(), [data]).ct_eq(tag);
        Ok(values.fold(Choice::from(0), |found, value| found | fits(value)).into())
    }
}

impl secrets::Host for State {
    fn open(&mut self, name: String) -> Result<Option<Resource<Secret>>> {
        self.count_call()?;
        let is_there = self.plugin.secrets.get(&name).is_some_and(|values| !values.is_empty());
        if !is_there || !self.plugin.grants.has(Capability::Secret, &name) {
            return Ok(None);
        }
        Ok(Some(self.opened.push(Secret(name))?))
    }
}

impl secrets::HostSecret for State {
    fn hmac_sha1(&mut self, secret: Resource<Secret>, data: Vec<u8>) -> Result<Vec<u8>> {
        self.mac(&secret, Hash::Sha1, &data)
    }

    fn hmac_sha256(&mut self, secret: Resource<Secret>, data: Vec<u8>) -> Result<Vec<u8>> {
        self.mac(&secret, Hash::Sha256, &data)
    }

    fn hmac_sha512(&mut self, secret: Resource<Secret>, data: Vec<u8>) -> Result<Vec<u8>> {
        self.mac(&secret, Hash::Sha512, &data)
    }

    fn verify_hmac_sha1(&mut self, secret: Resource<Secret>, data: Vec<u8>, tag: Vec<u8>) -> Result<bool> {
        self.fits(&secret, Hash::Sha1, &data, &tag)
    }

    fn verify_hmac_sha256(&mut self, secret: Resource<Secret>, data: Vec<u8>, tag: Vec<u8>) -> Result<bool> {
        self.fits(&secret, Hash::Sha256, &data, &tag)
    }

    fn verify_hmac_sha512(&mut self, secret: Resource<Secret>, data: Vec<u8>, tag: Vec<u8>) -> Result<bool> {
        self.fits(&secret, Hash::Sha512, &data, &tag)
    }

    /// Compares hashes, so that the time it takes tells neither length nor content.
    fn equals(&mut self, secret: Resource<Secret>, candidate: Vec<u8>) -> Result<bool> {
        let values = self.values(&secret)?.iter();
        let candidate = Sha256::digest(&candidate);
        let fits = |value: &secret::Secret| Sha256::digest(value.reveal()).ct_eq(&candidate);
        Ok(values.fold(Choice::from(0), |found, value| found | fits(value)).into())
    }

    fn drop(&mut self, secret: Resource<Secret>) -> Result<()> {
        self.opened.delete(secret)?;
        Ok(())
    }
}

impl reveal::Host for State {
    fn reveal(&mut self, secret: Resource<Secret>) -> Result<Option<Vec<Vec<u8>>>> {
        let name = &self.opened.get(&secret)?.0;
        let may = self.plugin.grants.has(Capability::Reveal, name);
        let values = self.values(&secret)?.iter();
        Ok(may.then(|| values.map(|value| value.reveal().as_bytes().to_vec()).collect()))
    }
}
