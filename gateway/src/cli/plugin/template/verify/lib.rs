//! Judges the requests of plugin-name, which signs `{time}.{body}` with HMAC-SHA256.

use billhook_plugin::{Failure, Judgement, Plugin, Proof, Request, Secret, Time, Verify};
use std::time::Duration;

/// The plugin.
pub struct PluginType {
    tolerance: Duration,
}

/// What can be set.
#[derive(serde::Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// How far apart sending and arriving may be, in seconds.
    #[serde(default = "five_minutes")]
    tolerance_secs: u32,
}

fn five_minutes() -> u32 {
    300
}

impl Plugin for PluginType {
    type Config = Config;

    fn new(Config { tolerance_secs }: Config) -> Result<PluginType, Failure> {
        Ok(PluginType {
            tolerance: Duration::from_secs(tolerance_secs.into()),
        })
    }
}

impl Verify for PluginType {
    fn verify(&self, request: &Request<'_>) -> Result<Judgement, Failure> {
        // The value never comes in here: the gateway computes and compares.
        let secret = Secret::open("plugin-name")
            .ok_or_else(|| Failure::other("`secret:plugin-name` is not granted"))?;
        let [Some(time), Some(tag)] = ["x-time", "x-signature"].map(|name| request.header(name))
        else {
            return Ok(Judgement::refused("`x-time` or `x-signature` is missing"));
        };
        let Ok(tag) = hex::decode(tag) else {
            return Ok(Judgement::refused("`x-signature` is not hexadecimal"));
        };
        let signed = [time.as_bytes(), b".", request.body()].concat();
        if !secret.verify_hmac_sha256(&signed, &tag) {
            return Ok(Judgement::refused(
                "the signature is that of no live secret",
            ));
        }
        let received_at = request.received_at();
        let is_near =
            |at: &Time| received_at.since(*at).max(at.since(received_at)) <= self.tolerance;
        let Some(sent_at) = Time::parse(&time).filter(is_near) else {
            return Ok(Judgement::refused("`x-time` is too far from when it came"));
        };
        Ok(Judgement::Authentic(Proof {
            sent_at: Some(sent_at),
            ..Proof::by("plugin-name-hmac")
        }))
    }
}

billhook_plugin::plugin! {
    PluginType: Verify;
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
            fixture.verify::<PluginType>();
        }
    }
}
