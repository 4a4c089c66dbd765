//! The examples of a manifest, read by the plugin that gives them.

use crate::plugin::read_config;
use crate::{Normalize, Webhook};
use serde::Deserialize;

/// What of a manifest this is about.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    provider: Vec<Provider>,
}

#[derive(Deserialize)]
struct Provider {
    name: String,
    #[serde(default)]
    event_name: Vec<String>,
    #[serde(default)]
    event: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    example: Option<String>,
}

/// Holds that every event in the manifest of a normalizer has an `example`, and that it is read as the catalogue says:
/// that among its drafts is one of the event's type. Where the event's name is not in the body, the source's rule has
/// found it. The plugin has an empty configuration.
///
/// # Panics
/// If it does not hold, with the event; if the manifest is none, or the plugin needs a configuration.
pub fn examples<P: Normalize>(manifest: &str) {
    let manifest: Manifest = toml::from_str(manifest).unwrap_or_else(|error| panic!("the manifest: {error}"));
    let plugin = read_config(b"{}").and_then(P::new);
    let plugin = plugin.unwrap_or_else(|failure| panic!("with an empty configuration: {failure}"));
    for provider in &manifest.provider {
        for Named { name, kind, example } in &provider.event {
            let example = example.as_ref().unwrap_or_else(|| panic!("`{name}` has no example"));
            let webhook = Webhook::new(&provider.name, &provider.name).with_body(example);
            let webhook =
                if provider.event_name.is_empty() { webhook } else { webhook.with_event_name(name) };
            let drafts = plugin.normalize(&webhook);
            let drafts = drafts.unwrap_or_else(|failure| panic!("the example of `{name}`: {failure}"));
            let found: Vec<_> = drafts.iter().map(|draft| draft.kind.as_str()).collect();
            assert!(
                found.contains(&kind.as_str()),
                "the example of `{name}` is to be `{kind}`, and is {found:?}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::examples;
    use crate::{Draft, Failure, NoConfig, Normalize, Plugin, Webhook};
    use std::panic::catch_unwind;

    struct Acme;

    impl Plugin for Acme {
        type Config = NoConfig;
        fn new(_: NoConfig) -> Result<Acme, Failure> {
            Ok(Acme)
        }
    }

    impl Normalize for Acme {
        fn normalize(&self, webhook: &Webhook<'_>) -> Result<Vec<Draft>, Failure> {
            let name = webhook.event_name().map(str::to_owned).or(webhook.fields()?.text("event"));
            let kind = name.ok_or_else(|| Failure::invalid("no name"))?;
            Ok(vec![Draft { kind, ..Draft::default() }])
        }
    }

    #[test]
    fn an_example_must_be_read_as_the_catalogue_says() {
        let manifest = |more: &str, example: &str| {
            format!(
                "[[provider]]\nname='a'\n{more}\n\
                [[provider.event]]\nname='invoice.paid'\ntype='invoice.paid'\n{example}\n"
            )
        };
        let held = |more: &str, example: &str| {
            let manifest = manifest(more, &format!("example='{example}'"));
            catch_unwind(|| examples::<Acme>(&manifest)).err().map(|why| *why.downcast::<String>().unwrap())
        };
        assert_eq!(held("", r#"{"event":"invoice.paid"}"#), None);
        assert_eq!(held("event_name = ['path']", "{}"), None);
        assert_eq!(held("", "{}").unwrap(), "the example of `invoice.paid`: invalid: no name");
        let without = manifest("", "");
        assert!(catch_unwind(|| examples::<Acme>(&without)).is_err());
        let told = held("", r#"{"event":"invoice.sent"}"#).unwrap();
        assert_eq!(told, "the example of `invoice.paid` is to be `invoice.paid`, and is [\"invoice.sent\"]");
    }
}
