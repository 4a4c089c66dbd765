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

use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};

/// The plugin.
#[derive(Debug)]
pub struct Paddle;

impl Plugin for Paddle {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Paddle, Failure> {
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
}
