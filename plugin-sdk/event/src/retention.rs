//! What a strategy plugin decides about a cancellation or a failed payment.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How to win a customer back, with the reasons for the choice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retention {
    /// `retention` (a cancellation: `primary` and `variants` are filled) or `dunning` (a failed payment).
    pub kind: String,
    /// The strategy to try first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<String>,
    /// Every strategy in the order of its rank.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<Variant>,
    /// What in the reason led to `primary`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<Matched>,
    /// Whether a person should act.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub requires_human: bool,
    /// Rules that could not be applied, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped_rules: Vec<String>,
}

/// One strategy and where it stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variant {
    /// Such as `discount`.
    pub strategy: String,
    /// 1 is the first.
    pub rank: u8,
    /// Whether it may be offered at all.
    pub eligible: bool,
    /// Why it stands where it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// Figures for the offer, such as `percent`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, i64>,
}

/// What led to the primary strategy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matched {
    /// `code`, `keyword` or `fallback`.
    pub by: String,
    /// The code or the words that matched; a fallback matched nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_not_there() {
        let matched = Matched { by: "fallback".to_owned(), value: None };
        assert_eq!(serde_json::to_string(&matched).unwrap(), r#"{"by":"fallback"}"#);
        let dunning = r#"{"kind":"dunning"}"#;
        let read: Retention = serde_json::from_str(dunning).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), dunning);
    }
}
