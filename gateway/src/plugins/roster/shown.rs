//! What operators are shown of a plugin.

use crate::api::plugin::{By, Failure, Plugin, PluginDetail};
use crate::model::Time;
use crate::plugins::Tallied;
use crate::plugins::roster::{Member, facts};
use std::collections::BTreeSet;

/// A plugin as operators see it.
pub(super) fn shown(name: &str, member: &Member) -> Plugin {
    let plugin = member.slot.now();
    let Tallied { calls, failures, last } = plugin.tallied();
    let last_turn = member.record.turns.last();
    // Ingest took them from the version of the start: dedupe, redaction, where ids and names are.
    let notice = (facts(&plugin) != member.facts && !member.users.is_empty()).then(|| {
        "what its manifest says of providers differs from what was in force at the start: restart to go by it".to_owned()
    });
    Plugin {
        name: name.to_owned(),
        version: plugin.reference().version.clone(),
        digest: plugin.reference().digest.clone(),
        origin: member.origin,
        since: last_turn.map_or(Time::ZERO, |turn| turn.at),
        by: last_turn.map_or(By::Start, |turn| turn.by),
        kinds: plugin.kinds().iter().map(|kind| kind.name().to_owned()).collect(),
        providers: plugin.manifest().providers.iter().map(|provider| provider.name.clone()).collect(),
        grants: member.spec.grants.clone(),
        pinned: member.pinned.iter().map(hex::encode).collect(),
        used_by: member
            .users
            .iter()
            .map(|user| &user.who)
            .collect::<BTreeSet<_>>()
            .into_iter()
            .cloned()
            .collect(),
        calls,
        failures,
        last_failure: last.map(|(at, why)| Failure { at, why }),
        rests_until: None,
        notice,
    }
}

/// The same with its history. `changed`: whether another version serves than before.
pub(super) fn detail(name: &str, member: &Member, changed: bool) -> PluginDetail {
    PluginDetail {
        plugin: shown(name, member),
        changed,
        before: member.record.before.last().cloned(),
        history: member.record.turns.iter().rev().cloned().collect(),
    }
}
