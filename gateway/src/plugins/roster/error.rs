//! Why another version of a plugin does not serve.

use crate::model::name::NAME_MAX;
use crate::plugins::roster::PLUGINS_MAX;
use crate::plugins::smoke::SmokeError;
use crate::plugins::{LoadError, Plugin};

/// Why another version does not serve. Whatever served before goes on to.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// No plugin is called so.
    #[error("no plugin is called `{name}`: there are {}", .known.join(", "))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// There is one already.
    #[error("there is a plugin `{0}` already: swap it, or choose another name")]
    Exists(String),
    /// There is one that the gateway brings along and nobody uses: a start would take that.
    #[error(
        "the gateway brings a plugin `{0}` along: choose another name, or write it as `[[plugin]]` with a `component`"
    )]
    Shipped(String),
    /// It cannot be called so.
    #[error("`{0}` is not a name: use 1 to {NAME_MAX} of a-z, 0-9, `-` and `_`")]
    BadName(String),
    /// There are too many.
    #[error(
        "there are {PLUGINS_MAX} plugins, which is the most: start a gateway without those that nobody uses"
    )]
    Full,
    /// What came is not what was meant.
    #[error("plugin `{name}`: the component that came has the SHA-256 {found}, not {expected}")]
    NotMeant {
        /// The plugin.
        name: String,
        /// What was meant.
        expected: String,
        /// What came.
        found: String,
    },
    /// The configuration allows other digests only.
    #[error(
        "plugin `{name}` is pinned: its `sha256` in the configuration allows {}, not {found}; add that one to the list",
        .allowed.join(" and ")
    )]
    Pinned {
        /// The plugin.
        name: String,
        /// What may be.
        allowed: Vec<String>,
        /// What came.
        found: String,
    },
    /// It does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// It cannot do what is relied on.
    #[error("plugin `{name}`: version {version} {lost}, which {who} relies on")]
    Lost {
        /// The plugin.
        name: String,
        /// The version that came.
        version: String,
        /// What it has no longer.
        lost: String,
        /// Who needs that.
        who: String,
    },
    /// It fails its own test.
    #[error("plugin `{name}`: version {version} does not work: {why}")]
    Smoke {
        /// The plugin.
        name: String,
        /// The version that came.
        version: String,
        /// What failed.
        why: String,
    },
    /// There is nothing to go back to.
    #[error("plugin `{0}` has had no other version to go back to")]
    NoneBefore(String),
    /// It cannot be written down, so it would not survive a restart.
    #[error("plugin `{name}`: cannot keep the version: {why}")]
    Keep {
        /// The plugin.
        name: String,
        /// What the system said.
        why: String,
    },
    /// Loading it panicked.
    #[error("plugin `{name}`: loading it broke: {why}")]
    Broke {
        /// The plugin.
        name: String,
        /// What was said.
        why: String,
    },
}

impl RosterError {
    /// Whether another configuration of the plugin may be the remedy.
    pub fn may_be_of_its_configuration(&self) -> bool {
        matches!(self, RosterError::Load(LoadError::Config { .. }) | RosterError::Smoke { .. })
    }

    /// What the trial of a version gave.
    pub(super) fn of_trial(plugin: &Plugin, error: &SmokeError) -> RosterError {
        let (name, version) = (plugin.name().to_owned(), plugin.reference().version.clone());
        RosterError::Smoke { name, version, why: error.to_string() }
    }

    /// What came of writing down.
    pub(super) fn of_keeping(name: &str, error: &std::io::Error) -> RosterError {
        RosterError::Keep { name: name.to_owned(), why: error.to_string() }
    }
}
