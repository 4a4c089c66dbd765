//! Sends a line to a chat room in place of the standard request.

use billhook_plugin::{Failure, Outgoing, Plugin, Sending, Transform};

/// The plugin.
pub struct PluginType {
    room: String,
}

/// What can be set.
#[derive(serde::Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The room, as it stands in the path of its URL.
    room: String,
}

impl Plugin for PluginType {
    type Config = Config;

    fn new(Config { room }: Config) -> Result<PluginType, Failure> {
        Ok(PluginType { room })
    }
}

impl Transform for PluginType {
    fn transform(&self, outgoing: &mut Outgoing<'_>) -> Result<Sending, Failure> {
        let event = outgoing.about();
        if event.replayed() {
            return Ok(Sending::Drop("the room has heard of it".into()));
        }
        let line = format!("{} from {}", event.event_type(), event.provider());
        outgoing.set_path(&format!("/rooms/{}", self.room))?;
        outgoing.set_body(line, "text/plain; charset=utf-8");
        Ok(Sending::Send)
    }
}

billhook_plugin::plugin! {
    PluginType: Transform;
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
            fixture.transform::<PluginType>();
        }
    }
}
