//! Drops the events of a provider's test mode.

use billhook_plugin::{Event, Failure, Filter, Plugin, Verdict};

/// The plugin.
pub struct PluginType;

/// It has no settings.
#[derive(serde::Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {}

impl Plugin for PluginType {
    type Config = Config;

    fn new(Config {}: Config) -> Result<PluginType, Failure> {
        Ok(PluginType)
    }
}

impl Filter for PluginType {
    fn filter(&self, event: &Event<'_>) -> Result<Verdict, Failure> {
        Ok(match event.typed()?.livemode {
            Some(false) => Verdict::Drop("it is of the test mode".into()),
            Some(true) | None => Verdict::Keep,
        })
    }
}

billhook_plugin::plugin! {
    PluginType: Filter;
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
            fixture.filter::<PluginType>();
        }
    }
}
