//! The environment as configuration sees it: a snapshot, so that a run and its tests read the same thing.

use std::collections::BTreeMap;

/// Environment variables, by name. Its debug form shows names only.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

/// Variables that stand for no setting, with what they are for.
pub(super) const DOCUMENTED: [(&str, &str); 5] = [
    (
        "BILLHOOK_ADMIN_TOKEN",
        "the admin token, for the command line and for `admin.token = \"env:BILLHOOK_ADMIN_TOKEN\"`",
    ),
    ("BILLHOOK_CRASH_AT", "where a test has the process end itself"),
    ("BILLHOOK_LOG", "overrides `log.level`"),
    ("BILLHOOK_PLUGINS_DIR", "ready-made plugin components for the build"),
    ("BILLHOOK_PROVIDERS_DIR", "payloads that tests read"),
];

impl Environment {
    /// The variables of this process whose names and values are text.
    pub fn of_process() -> Environment {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The variables whose names begin with `BILLHOOK_`, except those that Kubernetes sets in every pod beside a
    /// service called `billhook` or `billhook-admin` (`BILLHOOK_SERVICE_HOST`, `BILLHOOK_ADMIN_PORT_8401_TCP_ADDR`).
    pub(super) fn ours(&self) -> impl Iterator<Item = &str> {
        let is_url = |name: &str| self.0[name].contains("://");
        let is_of_a_port = |name: &str| {
            name.split("_PORT_").skip(1).any(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
        };
        let kubernetes = move |name: &&str| {
            !name.contains("__")
                && (name.ends_with("_SERVICE_HOST")
                    || name.contains("_SERVICE_PORT")
                    || name.ends_with("_PORT") && is_url(name)
                    || is_of_a_port(name))
        };
        self.0
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with("BILLHOOK_"))
            .filter(move |name| !kubernetes(name))
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Environment {
        Environment(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
