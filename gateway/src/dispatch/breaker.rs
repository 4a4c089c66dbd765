//! Stops asking a plugin that keeps failing: its webhooks then wait without being counted down.

use crate::model::dispatch::{Note, Said};
use crate::model::id::WebhookId;
use crate::model::rest::Rest;
use billhook_event::Time;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

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
/// not wait for it, and once for each, so that a trial is not over with its first event. To be dropped after its run has
/// reported.
#[derive(Debug)]
pub struct Admission<'a> {
    breakers: &'a Breakers,
    admitted: Vec<&'a str>,
    /// Those of them that it tries after their rest, and since when.
    tries: Vec<(&'a str, Time)>,
}

impl<'a> Admission<'a> {
    /// Whether `plugin` may be asked.
    ///
    /// # Errors
    /// When it rests. When a rest is over, one webhook is let through; until it reports, others are told to ask again
    /// soon, and if it never does, another is let through when it has been as long again.
    pub fn admit(&mut self, plugin: &'a str, now: Time) -> Result<(), Rests> {
        if self.admitted.contains(&plugin) {
            return Ok(());
        }
        match self.breakers.open(plugin, now) {
            Some(Open::Rests { since, until }) => {
                return Err(Rests { plugin: plugin.to_owned(), since, until });
            }
            Some(Open::Trial) => self.tries.push((plugin, now)),
            None => {}
        }
        self.admitted.push(plugin);
        Ok(())
    }

    /// Since when `plugin`, which was asked, rests for all others. `None`: it does not.
    pub fn tries_since(&self, plugin: &str) -> Option<Time> {
        self.breakers.0.lock().expect("no holder of this lock panics").get(plugin)?.since()
    }
}

impl Drop for Admission<'_> {
    /// A run may end before or after a plugin that it tried has answered, by another's fault: then nothing is decided.
    fn drop(&mut self) {
        if self.tries.is_empty() {
            return;
        }
        // Not to panic while panicking: what is behind the lock is whole after each call.
        let mut breakers = self.breakers.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (plugin, tried) in &self.tries {
            if let Some(breaker) = breakers.get_mut(*plugin) {
                breaker.undecided(*tried);
            }
        }
    }
}

/// What a webhook meets at a plugin that has rested since its last success.
enum Open {
    /// It rests.
    Rests { since: Time, until: Time },
    /// Its rest is over: the webhook is the one that tries it.
    Trial,
}

impl Breakers {
    /// For the runs of one webhook.
    pub fn admission(&self) -> Admission<'_> {
        Admission { breakers: self, admitted: Vec::new(), tries: Vec::new() }
    }

    /// What whoever comes to `plugin` at `now` meets; `None`: nothing is known against it.
    fn open(&self, plugin: &str, now: Time) -> Option<Open> {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        let breaker = breakers.get_mut(plugin)?;
        if now < breaker.until()? {
            return Some(Open::Rests { since: breaker.since()?, until: breaker.ask_again(now)? });
        }
        breaker.tries(now);
        Some(Open::Trial)
    }

    /// The plugins that rest, or have rested and not succeeded since, and until when.
    pub fn resting(&self) -> BTreeMap<String, Time> {
        let breakers = self.0.lock().expect("no holder of this lock panics");
        breakers.iter().filter_map(|(name, breaker)| Some((name.clone(), breaker.until()?))).collect()
    }

    /// Forgets what is known against `plugin`, which has another version, or gave an answer that no repetition changes.
    pub fn forget(&self, plugin: &str) {
        self.0.lock().expect("no holder of this lock panics").remove(plugin);
    }

    /// A run succeeded of which these are the notes: of the plugins that answered nothing is known any more. Those that
    /// were skipped once rest on, and those that were not asked are not heard of.
    pub fn succeeded(&self, notes: &[Note]) {
        let mut breakers = self.0.lock().expect("no holder of this lock panics");
        if breakers.is_empty() {
            return;
        }
        breakers.retain(|name, breaker| {
            let mut said =
                notes.iter().filter(|note| note.plugin.name == *name).map(|note| &note.said).peekable();
            let is_unheard = said.peek().is_none();
            let is_skipped = said.any(|said| matches!(said, Said::Skipped(_)));
            if is_skipped {
                breaker.rests_on();
            }
            is_unheard || is_skipped
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
    use crate::model::rest::TRIAL_WAIT;
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
        let soon = until.plus(TRIAL_WAIT);
        assert_eq!(breakers.admission().admit("p", until), rests(soon), "one is being tried");
        drop(trial);
        let mut trial = breakers.admission();
        assert_eq!(trial.admit("p", until), Ok(()), "the first decided nothing");
        let until = breakers.failed("p", failed(9), soon).unwrap();
        drop(trial);
        assert_eq!(breakers.admission().admit("p", soon), rests(until), "this one did");
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
