//! Reads the webhooks of Flexprice, in both of its formats, into canonical billing events.
//!
//! [`envelope`] finds the event's name and its objects, [`classify`] the canonical type, [`draft`] puts the draft
//! together out of the blocks that [`subscription`], [`billing`] and [`extension`] make. What is odd is noted
//! ([`Notes`](billhook_plugin::Notes)) and never refused: only a body that is not a JSON object is invalid.

pub mod catalogue;

mod billing;
mod classify;
mod draft;
mod envelope;
mod extension;
mod subscription;

use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Time, Webhook};
use envelope::Envelope;

/// The normalizer.
#[derive(Clone, Copy, Debug)]
pub struct Flexprice;

impl Plugin for Flexprice {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Flexprice, Failure> {
        Ok(Flexprice)
    }
}

impl Normalize for Flexprice {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        let envelope = Envelope::read(webhook.fields()?, webhook.event_name());
        Ok(draft::drafts(&envelope, &|| sent_at(webhook)))
    }
}

/// When the request was signed: Svix and Standard Webhooks say so in seconds.
fn sent_at(webhook: &Webhook<'_>) -> Option<Time> {
    let seconds = webhook.header("webhook-timestamp").or_else(|| webhook.header("svix-timestamp"))?;
    Time::parse(&seconds)
}

billhook_plugin::plugin! {
    Flexprice: Normalize;
    manifest = "plugin.toml";
}
