//! Notes the region that an event's metadata names.

use billhook_plugin::{Event, Failure, Map, Patch, Plugin};

/// The plugin.
pub struct PluginType {
    key: String,
}

/// What can be set.
#[derive(serde::Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The key of the metadata that names the region.
    key: String,
}

impl Plugin for PluginType {
    type Config = Config;

    fn new(Config { key }: Config) -> Result<PluginType, Failure> {
        Ok(PluginType { key })
    }
}

impl Map for PluginType {
    fn map(&self, event: &Event<'_>) -> Result<Option<Patch>, Failure> {
        let event = event.typed()?;
        let Some(region) = event.metadata.get(&self.key) else {
            return Ok(None);
        };
        let annotations =
            serde_json::value::to_raw_value(&serde_json::json!({ "region": region }))?;
        Ok(Some(Patch {
            annotations: Some(annotations),
            ..Patch::default()
        }))
    }
}

billhook_plugin::plugin! {
    PluginType: Map;
    manifest = "plugin.toml";
    schema = "config.schema.json";
}

#[cfg(test)]
mod tests {
    use super::PluginType;
    use billhook_plugin::testing::fixtures;

    #[test]
    fn every_fixture_is_answered_as_expected() {
        for fixture in fixtures("fixtures") {
            fixture.map::<PluginType>();
        }
    }
}
