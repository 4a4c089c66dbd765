//! Reads Wingspan's webhooks.
//!
//! Wingspan calls an event by the side it is told from and the row of its table (`InvoicePaid`, `PayablePaid`), or by
//! the field of an invoice's `events` that the row stands for (`payoutFailedAt`). [`catalogue`] knows both spellings,
//! [`envelope`] finds the name and the object, [`billing`] reads the payments and refunds that an invoice lists, [`draft`]
//! puts the draft together.

pub mod catalogue;

mod billing;
mod draft;
mod envelope;
#[cfg(test)]
mod tests;

use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};
use envelope::Envelope;

/// The plugin.
#[derive(Debug)]
pub struct Wingspan;

impl Plugin for Wingspan {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<Wingspan, Failure> {
        Ok(Wingspan)
    }
}

impl Normalize for Wingspan {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        let envelope = Envelope::read(webhook.fields()?, webhook.event_name())?;
        Ok(vec![draft::draft(&envelope)])
    }
}

billhook_plugin::plugin! {
    Wingspan: Normalize;
    manifest = "plugin.toml";
}
