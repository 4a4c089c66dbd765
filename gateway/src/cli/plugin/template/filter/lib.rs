//! Drops the events of a provider's test mode.

use billhook_plugin::{Event, Failure, Filter, NoConfig, Plugin, Verdict};

/// The plugin.
pub struct PluginType;

impl Plugin for PluginType {
    type Config = NoConfig;

    fn new(_: NoConfig) -> Result<PluginType, Failure> {
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
