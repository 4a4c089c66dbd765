//! Reads Chargebee's webhooks into canonical billing events.
//!
//! [`catalogue`] knows the names, [`draft`] puts the drafts together out of the blocks that [`subscription`] and
//! [`billing`] make, with the amounts that [`money`] reads: an event brings along all the objects that it touched, and
//! all of them are read. Both product catalogues are.

pub mod catalogue;

mod billing;
mod draft;
mod money;
mod subscription;
#[cfg(test)]
mod tests;

use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};

/// The plugin.
#[derive(Debug)]
pub struct Chargebee;

impl Plugin for Chargebee {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Chargebee, Failure> {
        Ok(Chargebee)
    }
}

impl Normalize for Chargebee {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        let body = webhook.fields()?;
        let name = body.text("event_type").or_else(|| webhook.event_name().map(str::to_owned));
        let name = name
            .ok_or_else(|| Failure::invalid("the body has no `event_type`: it is no event of Chargebee's"))?;
        Ok(draft::drafts(&body, &name))
    }
}

billhook_plugin::plugin! {
    Chargebee: Normalize;
    manifest = "plugin.toml";
}
