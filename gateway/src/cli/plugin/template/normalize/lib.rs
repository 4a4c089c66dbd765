//! Reads the webhooks of plugin-name.

use billhook_plugin::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};

/// The plugin.
pub struct PluginType;

impl Plugin for PluginType {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<PluginType, Failure> {
        Ok(PluginType)
    }
}

impl Normalize for PluginType {
    fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
        let body = webhook.fields()?;
        let name = body
            .text("event")
            .ok_or_else(|| Failure::invalid("the body names no event"))?;
        let kind = match name.as_str() {
            "invoice.paid" => "invoice.paid",
            "invoice.failed" => "payment.failed",
            // What is not known is kept and visible, never dropped.
            _ => {
                log::warn!("the event `{name}` is not known");
                "provider.unmapped"
            }
        };
        Ok(vec![Draft {
            kind: kind.into(),
            provider_event_type: name,
            provider_event_id: body.text("id"),
            occurred_at: body.time("at"),
            ..Draft::default()
        }])
    }
}

billhook_plugin::plugin! {
    PluginType: Normalize;
    manifest = "plugin.toml";
}

#[cfg(test)]
mod tests {
    use super::PluginType;
    use billhook_plugin::testing::{examples, fixtures};

    #[test]
    fn every_fixture_is_answered_as_expected() {
        for fixture in fixtures("fixtures") {
            fixture.normalize::<PluginType>();
        }
    }

    #[test]
    fn every_example_of_the_manifest_is_read_as_it_says() {
        examples::<PluginType>(super::MANIFEST);
    }
}
