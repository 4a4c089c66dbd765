//! Reads Abowire's webhooks, in both of its formats, into canonical billing events.
//!
//! [`envelope`] brings both formats into one shape, [`catalogue`] knows the names, [`change`] what an update of a
//! subscription shows, [`draft`] puts the drafts together: one for each element where the object is an array, as in
//! `subscription:bulk-disable`.

pub mod catalogue;

mod change;
mod draft;
mod envelope;
mod object;
#[cfg(test)]
mod tests;

use billhook_plugin::{Draft, Failure, Normalize, Plugin, Webhook};
use envelope::Envelope;
use serde::Deserialize;

/// The plugin.
#[derive(Debug)]
pub struct Abowire {
    amounts: Option<Unit>,
}

/// The settings.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The unit of the amounts that your account sends: Abowire does not document it. Without it amounts are left out
    /// of the event, with a warning.
    pub amounts: Option<Unit>,
}

/// The unit of an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Cents: 4900 is 49.00.
    Minor,
    /// Euros: 4900 is 4900.00.
    Major,
}

impl Plugin for Abowire {
    type Config = Config;

    fn new(Config { amounts }: Config) -> Result<Abowire, Failure> {
        Ok(Abowire { amounts })
    }
}

impl Normalize for Abowire {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        draft::drafts(&Envelope::read(webhook.fields()?, webhook.event_name())?, self.amounts)
    }
}

billhook_plugin::plugin! {
    Abowire: Normalize;
    manifest = "plugin.toml";
    schema = "config.schema.json";
}
