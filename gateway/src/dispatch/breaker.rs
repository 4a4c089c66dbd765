//! Stops asking a plugin that keeps failing: its webhooks then wait without being counted down.

use crate::model::dispatch::{Note, Said};
use crate::model::id::WebhookId;
use crate::model::rest::Rest;
use billhook_event::Time;
use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

/// One breaker per plugin, by name.
#[derive(Debug, Default)]
pub struct Breakers(
    /// A lock because runs on several threads report to it; it is held for a few lines and no wait.
    Mutex<HashMap<String, Rest<WebhookId>>>,
);

/// A plugin that a run came to rests: the run ends, and its webhook waits without being counted down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the plugin `{plugin}` keeps failing and rests until {until}")]
pub struct Rests {
    /// The plugin.
    pub plugin: String,
    /// Since it first rested after its last success.
    pub since: Time,
    /// Until when.
    pub until: Time,
}

/// What one webhook is let through to. It asks where a plugin is come to, so that what never comes to one that rests does
/// not wait for it, and once for each, so that a trial is not over with its first event.
#[derive(Debug)]
pub struct Admission<'a> {
    breakers: &'a Breakers,
    admitted: Vec<&'a str>,
}

impl<'a> Admission<'a> {
    /// Whether `plugin` may be asked.
    ///
    /// # Errors
    /// When it rests. When a rest is over, one webhook is let through; until it reports, others are told to wait as long
    /// again.
    pub fn admit(&mut self, plugin: &'a str, now: Time) -> Result<(), Rests> {
        if self.admitted.contains(&plugin) {
            return Ok(());
        }
        if let Some((since, until)) = self.breakers.open(plugin, now) {
            return Err(Rests { plugin: plugin.to_owned(), since, until });
        }
        self.admitted.push(plugin);
        Ok(())
    }

    /// Since when `plugin`, which was asked, rests for all others. `None`: it does not.
    pub fn tries_since(&self, plugin: &str) -> Option<Time> {
        self.breakers.0.lock().expect("no holder of this lock panics").get(plugin)?.since()
    }
}

impl Breakers {
    /// For the runs of one webhook.
    pub fn admission(&self) -> Admission<'_> {
        Admission { breakers: self, admitted: Vec::new() }
    }

    /// Since when and until when `plugin` rests at `now`, if it does; else this is the trial if its rest is over.
    fn open(&self, plugin: &str, now: Time) -> Option<(Time, Time)> {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        let breaker = breakers.get_mut(plugin)?;
        let (since, until) = (breaker.since()?, breaker.until()?);
        if now < until {
            return Some((since, until));
        }
        breaker.tries(now);
        None
    }

    /// The plugins that rest, or have rested and not succeeded since, and until when.
    pub fn resting(&self) -> BTreeMap<String, Time> {
        let breakers = self.0.lock().expect("no holder of this lock panics");
        breakers.iter().filter_map(|(name, breaker)| Some((name.clone(), breaker.until()?))).collect()
    }

    /// Forgets what is known against `plugin`: it begins closed.
    pub fn forget(&self, plugin: &str) {
        self.0.lock().expect("no holder of this lock panics").remove(plugin);
    }

    /// A run succeeded of which these are the notes: of the plugins that answered nothing is known any more. Those that
    /// were not asked, or were skipped once, are not heard of.
    pub fn succeeded(&self, notes: &[Note]) {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        if breakers.is_empty() {
            return;
        }
        breakers.retain(|name, _| {
            let mut said =
                notes.iter().filter(|note| note.plugin.name == *name).map(|note| &note.said).peekable();
            said.peek().is_none() || said.any(|said| matches!(said, Said::Skipped(_)))
        });
    }

    /// `plugin` failed on `webhook`: until when it rests, if it does.
    pub fn failed(&self, plugin: &str, webhook: WebhookId, now: Time) -> Option<Time> {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        let until = breakers.entry(plugin.to_owned()).or_default().failed(webhook, now)?;
        tracing::error!(plugin, %until, "the plugin keeps failing and rests");
        Some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use billhook_event::PluginRef;

    #[test]
    fn breakers_are_apart_and_forget_what_is_forgotten() {
        let breakers = Breakers::default();
        let now = Time::from_secs(100);
        let webhook = |n| WebhookId::new(Time::from_secs(1), n);
        assert!((1..5).all(|n| breakers.failed("p", webhook(n), now).is_none()));
        let until = breakers.failed("p", webhook(5), now).unwrap();
        assert_eq!(breakers.resting(), BTreeMap::from([("p".to_owned(), until)]));
        assert_eq!(breakers.failed("q", webhook(5), now), None, "breakers are apart");
        breakers.forget("p");
        assert!(breakers.resting().is_empty());
    }

    #[test]
    fn a_trial_is_one_webhook_and_all_its_events() {
        let breakers = Breakers::default();
        let (now, failed) = (Time::from_secs(100), |n| WebhookId::new(Time::from_secs(1), n));
        let until = (0..5).filter_map(|n| breakers.failed("p", failed(n), now)).next().unwrap();
        let rests = |until| Err(Rests { plugin: "p".to_owned(), since: now, until });
        assert_eq!(breakers.admission().admit("q", now), Ok(()));
        assert_eq!(breakers.admission().admit("p", now), rests(until));
        let mut trial = breakers.admission();
        assert_eq!([trial.admit("p", until), trial.admit("p", until)], [Ok(()), Ok(())]);
        assert_eq!(breakers.admission().admit("p", until), rests(until.plus(until.since(now))));
    }

    #[test]
    fn only_a_plugin_that_answered_is_well_again() {
        for (notes, is_well) in [
            (vec![("q", Said::Keep)], false),
            (vec![("p", Said::Skipped("trapped".into()))], false),
            (vec![("q", Said::Keep), ("p", Said::Nothing)], true),
            (vec![("p", Said::Skipped("trapped".into())), ("p", Said::Drop("no".into()))], false),
        ] {
            let breakers = Breakers::default();
            for n in 0..5 {
                breakers.failed("p", WebhookId::new(Time::from_secs(1), n), Time::from_secs(100));
            }
            let note = |(name, said): (&str, Said)| {
                let plugin = PluginRef { name: name.into(), version: "1".into(), digest: String::new() };
                Note { plugin, event: Some(0), said, took_us: 1 }
            };
            let notes: Vec<Note> = notes.into_iter().map(note).collect();
            breakers.succeeded(&notes);
            assert_eq!(breakers.resting().is_empty(), is_well, "{notes:?}");
        }
    }
}
