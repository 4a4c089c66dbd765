//! What is known of a plugin before anything of it is compiled: what a configuration can be held against line by line.

use crate::plugins::manifest::Manifest;
use crate::plugins::{Component, LoadError, Misfit, component, config, grants, link};
use serde_json::Value;

/// What a component says of itself, which its parts bear out.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Its manifest.
    pub manifest: Manifest,
    /// SHA-256 of the component.
    pub digest: [u8; 32],
    config_schema: Option<Vec<u8>>,
}

impl Facts {
    /// Reads a component, which `plugin` names in errors.
    ///
    /// # Errors
    /// What keeps every gateway from loading it, whatever its configuration.
    pub fn of(plugin: &str, component: &Component) -> Result<Facts, LoadError> {
        let sections = component::read(plugin, component)?;
        let manifest = Manifest::read(plugin, sections.manifest)?;
        link::exported(sections.exports.iter().copied(), &manifest.kinds)
            .map_err(|why| LoadError::Manifest { plugin: plugin.to_owned(), why })?;
        sections.config_schema.map(|bytes| config::schema(plugin, bytes)).transpose()?;
        let config_schema = sections.config_schema.map(<[u8]>::to_vec);
        Ok(Facts { manifest, digest: component.digest(), config_schema })
    }

    /// What is wrong with a configuration, which is an object.
    pub fn misfits(&self, config: &Value) -> Vec<Misfit> {
        match config::check(&self.manifest.name, self.config_schema.as_deref(), config) {
            Err(LoadError::Config { misfits, .. }) => misfits,
            // A schema that is none is told where the plugin is loaded.
            Ok(_) | Err(_) => Vec::new(),
        }
    }

    /// What it asks for and is not granted, and what it is granted and does not ask for.
    pub fn grants_apart<'a>(&'a self, granted: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
        grants::apart(&self.manifest.grants, granted)
    }
}
