//! Plugins of a running gateway: which version serves, which served before, and how they do.

use crate::model::Time;
use serde::{Deserialize, Serialize};

/// The answer of `GET /api/v1/plugins`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugins {
    /// Every plugin that is loaded, by name.
    pub items: Vec<Plugin>,
}

/// A plugin and the version of it that serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plugin {
    /// Its configured name.
    pub name: String,
    /// The version that its manifest tells.
    pub version: String,
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// Where it comes from.
    pub origin: Origin,
    /// Since when this version serves.
    pub since: Time,
    /// What brought this version.
    pub by: By,
    /// What it can do: `verify`, `normalize`, `filter`, `map`, `transform`.
    pub kinds: Vec<String>,
    /// The providers whose webhooks it reads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// What it is granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<String>,
    /// The digests that the configuration allows; none: every one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pinned: Vec<String>,
    /// Who uses it: `source NAME` or `endpoint NAME`.
    pub used_by: Vec<String>,
    /// Calls of this version since it was loaded.
    pub calls: u64,
    /// Those that gave no answer.
    pub failures: u64,
    /// The last of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// Until when it is not asked, since it keeps failing: the webhooks of the sources that use it wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rests_until: Option<Time>,
    /// What an operator should know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<String>,
}

/// A plugin with what served before. The answer of `GET /api/v1/plugins/{name}`, and of `load`, `swap` and `rollback`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginDetail {
    /// The plugin.
    #[serde(flatten)]
    pub plugin: Plugin,
    /// Whether the request changed which version serves.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub changed: bool,
    /// The digest of the version that `rollback` goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The turns that are remembered, newest first.
    pub history: Vec<Turn>,
}

/// Where a plugin comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It came with the gateway.
    Shipped,
    /// The configuration names its file.
    Configured,
    /// It lies in the watched directory.
    Watched,
    /// It was loaded by an operator while the gateway ran.
    Loaded,
}

/// What brought a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The start of a gateway, by its configuration.
    Start,
    /// A file in the watched directory.
    Directory,
    /// An operator's `load`.
    Load,
    /// An operator's `swap`.
    Swap,
    /// An operator's `rollback`.
    Rollback,
}

/// A change of the version that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    /// SHA-256 of the component, in hex.
    pub digest: String,
    /// The version that its manifest tells.
    pub version: String,
    /// When.
    pub at: Time,
    /// What brought it.
    pub by: By,
    /// Why; a person need not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A call that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When its run began.
    pub at: Time,
    /// Why.
    pub why: String,
}

/// The query of `POST /api/v1/plugins/{name}/swap`, whose body is the component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SwapQuery {
    /// What the body must hash to, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Why, for those who look later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// The query of `POST /api/v1/plugins/{name}/load`, whose body is the component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadQuery {
    /// What the body must hash to, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Its configuration, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// What it is granted, with commas between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<String>,
    /// Why, for those who look later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What `POST /api/v1/plugins/{name}/rollback` takes; the body may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// Why, for those who look later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
