//! Keeps or drops events by rules: by type, provider, live mode and fields.
//!
//! The rules of `keep` are looked at first, then those of `drop`; the first that matches decides, and an event that no
//! rule matches is kept. [`config`] is what is written, [`rule`] what it means.

mod config;
mod rule;
#[cfg(test)]
mod tests;

pub use config::{Condition, Config, Literal, Pattern, Rule};

use billhook_plugin::{Event, Failure, Filter, Plugin, Verdict};
use rule::Facts;

/// The plugin.
#[derive(Debug)]
pub struct EventFilter {
    config: Config,
}

impl Plugin for EventFilter {
    type Config = Config;

    fn new(config: Config) -> Result<EventFilter, Failure> {
        config.check().map_err(Failure::Invalid)?;
        Ok(EventFilter { config })
    }
}

impl Filter for EventFilter {
    fn filter(&self, event: &Event<'_>) -> Result<Verdict, Failure> {
        let facts = Facts::of(event);
        if self.config.keep.iter().any(|rule| facts.fit(rule)) {
            return Ok(Verdict::Keep);
        }
        let dropped = self.config.drop.iter().enumerate().find(|(_, rule)| facts.fit(rule));
        Ok(dropped.map_or(Verdict::Keep, |(at, rule)| Verdict::Drop(reason(at, rule))))
    }
}

/// Names the rule as it can be found in the configuration. No value of the event is told: it stands in the event.
fn reason(at: usize, rule: &Rule) -> String {
    match &rule.name {
        Some(name) => format!("rule `{name}` (drop[{at}]) matches"),
        None => format!("rule drop[{at}] matches"),
    }
}

billhook_plugin::plugin! {
    EventFilter: Filter;
    manifest = "plugin.toml";
    schema = "config.schema.json";
}
