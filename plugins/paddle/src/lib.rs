//! Reads the webhooks of Paddle Billing into canonical billing events.
//!
//! [`catalogue`] knows the names, [`draft`] tells what an adjustment or update is and puts the drafts together out of
//! the blocks that [`subscription`] and [`billing`] make. A transaction is Paddle's invoice, and its list of payments
//! are the attempts at paying it.

pub mod catalogue;

mod billing;
mod draft;
mod subscription;
#[cfg(test)]
mod tests;

use billhook_plugin::{Draft, Failure, Normalize, Plugin, Webhook};
use serde::Deserialize;

/// The plugin.
#[derive(Debug)]
pub struct Paddle;

/// It has no settings.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Plugin for Paddle {
    type Config = Config;

    fn new(Config {}: Config) -> Result<Paddle, Failure> {
        Ok(Paddle)
    }
}

impl Normalize for Paddle {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        let body = webhook.fields()?;
        let name = body.text("event_type").or_else(|| webhook.event_name().map(str::to_owned));
        let name = name.ok_or_else(|| {
            Failure::invalid("the body has no `event_type`: it is no notification of Paddle's")
        })?;
        Ok(draft::drafts(&body, &name))
    }
}

billhook_plugin::plugin! {
    Paddle: Normalize;
    manifest = "plugin.toml";
    schema = "config.schema.json";
}
