//! What is told of a call that gave no answer: who, at what, about what, and why.

use crate::plugins::CallError;
use crate::plugins::manifest::Kind;
use billhook_event::PluginRef;

/// How much of a digest is told: enough to tell two builds apart.
const DIGEST_CHARS: usize = 12;

/// A call that gave no answer, with what it takes to find out why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "plugin `{}` {} ({}) at `{kind}` of {about}: {source}",
    .plugin.name,
    .plugin.version,
    .plugin.digest.get(..DIGEST_CHARS).unwrap_or(&.plugin.digest)
)]
pub struct Failed {
    /// The plugin that was called.
    pub plugin: PluginRef,
    /// What it was asked to do.
    pub kind: Kind,
    /// What the call was about: a webhook's id, or a request to a source.
    pub about: String,
    /// Why it gave no answer.
    #[source]
    pub source: CallError,
}

impl Failed {
    /// Whether the same call would fail again for certain.
    pub fn is_final(&self) -> bool {
        matches!(self.source, CallError::Invalid(_))
    }

    /// Whether it was one of the plugin's limits.
    pub fn is_limit(&self) -> bool {
        matches!(self.source, CallError::Limit(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_plugin_its_build_the_kind_and_the_webhook() {
        let digest = "0123456789abcdef".repeat(4);
        let plugin = PluginRef { name: "acme".into(), version: "1.2.0".into(), digest };
        let source = CallError::Limit("100 ms on the processor (`cpu`)".into());
        let failed = Failed { plugin, kind: Kind::Map, about: "whk_1".into(), source };
        assert_eq!(
            failed.to_string(),
            "plugin `acme` 1.2.0 (0123456789ab) at `map` of whk_1: over its limit: 100 ms on the processor (`cpu`)"
        );
        assert!(!failed.is_final());
    }
}
