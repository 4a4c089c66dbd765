//! Reads Stripe's webhooks into canonical billing events.
//!
//! [`envelope`] takes the event apart, [`catalogue`] knows the names, [`change`] tells what an update of a subscription
//! was about, [`draft`] puts the drafts together out of the blocks that [`subscription`] and [`billing`] make, with the
//! amounts that [`money`] reads. Objects are read in the shapes of all API versions since 2020: an endpoint is sent
//! those of the version that it was made with.

pub mod catalogue;

mod billing;
mod change;
mod draft;
mod envelope;
mod money;
mod subscription;
#[cfg(test)]
mod tests;

use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};
use envelope::Envelope;

/// The plugin.
#[derive(Debug)]
pub struct Stripe;

impl Plugin for Stripe {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Stripe, Failure> {
        Ok(Stripe)
    }
}

impl Normalize for Stripe {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        Ok(draft::drafts(&Envelope::read(webhook.fields()?, webhook.event_name())?))
    }
}

billhook_plugin::plugin! {
    Stripe: Normalize;
    manifest = "plugin.toml";
}
