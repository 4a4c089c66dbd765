//! The configuration: what is written, what it means, and what is refused.

use crate::reason::Tables;
use crate::strategy::Strategy;
use billhook_plugin::model::money;
use billhook_plugin::{Decimal, Number};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The plugin's configuration. Every key may be left out; unknown keys are refused.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(not(target_family = "wasm"), derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The currency in which revenue is compared, ISO 4217. Revenue in another currency is compared with nothing,
    /// and the rule is listed as skipped. Default: "USD".
    #[cfg_attr(not(target_family = "wasm"), schemars(regex(pattern = r"^[A-Za-z]{3}$")))]
    pub currency: String,
    /// From this monthly revenue on, in major units of `currency`, a person should act and `founder_email` is
    /// promoted. A number or a string. Default: "500.00".
    #[cfg_attr(not(target_family = "wasm"), schemars(schema_with = "amount_schema"))]
    pub high_mrr: Number,
    /// Below this monthly revenue, in major units of `currency`, `founder_email` is demoted. A number or a string.
    /// Default: "20.00".
    #[cfg_attr(not(target_family = "wasm"), schemars(schema_with = "amount_schema"))]
    pub low_mrr: Number,
    /// A customer of fewer days is new and is not offered a discount first. Default: 30.
    pub new_customer_days: u32,
    /// From this many days on, a customer is a long-standing one. Default: 365.
    pub long_tenure_days: u32,
    /// The discount in percent, 1 to 100. Default: 25.
    #[cfg_attr(not(target_family = "wasm"), schemars(range(min = 1, max = 100)))]
    pub discount_percent: u8,
    /// The discount in percent for a long-standing customer, 1 to 100. Default: 35.
    #[cfg_attr(not(target_family = "wasm"), schemars(range(min = 1, max = 100)))]
    pub discount_percent_long_tenure: u8,
    /// For how many months the discount is meant. Default: 2.
    pub discount_months: u16,
    /// The length of an offered pause in days. Default: 30.
    pub pause_days: u16,
    /// By how many days a trial may be extended. Default: 14.
    pub trial_extension_days: u16,
    /// For how many days an unused feature may be unlocked. Default: 30.
    pub feature_unlock_days: u16,
    /// Reason codes and the strategy that each calls for, laid over the built-in table.
    pub structured: BTreeMap<String, Strategy>,
    /// Further words and phrases for a strategy, in any language, as in `discount = ["zu teuer"]`. `a|b` is either
    /// word, `*` any one word.
    #[cfg_attr(not(target_family = "wasm"), schemars(schema_with = "keywords_schema"))]
    pub keywords: BTreeMap<Strategy, Vec<String>>,
    /// Plans, by id or name, and the plan that is one size smaller.
    pub cheaper_plans: BTreeMap<String, String>,
    /// Strategies that are never to be offered; they are ranked and marked as not eligible.
    pub never: BTreeSet<Strategy>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            currency: "USD".to_owned(),
            high_mrr: number("500.00"),
            low_mrr: number("20.00"),
            new_customer_days: 30,
            long_tenure_days: 365,
            discount_percent: 25,
            discount_percent_long_tenure: 35,
            discount_months: 2,
            pause_days: 30,
            trial_extension_days: 14,
            feature_unlock_days: 30,
            structured: BTreeMap::new(),
            keywords: BTreeMap::new(),
            cheaper_plans: BTreeMap::new(),
            never: BTreeSet::new(),
        }
    }
}

fn number(text: &str) -> Number {
    Number::parse(text).expect("the defaults are decimal numbers")
}

/// A configuration that holds together.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) written: Config,
    /// In upper case.
    pub(crate) currency: String,
    pub(crate) high_mrr: Decimal,
    pub(crate) low_mrr: Decimal,
    pub(crate) tables: Tables,
}

impl Settings {
    /// Checks a configuration; the error says which key is wrong and what would be right.
    pub(crate) fn new(written: Config) -> Result<Settings, String> {
        let currency = money::code(&written.currency).ok_or_else(|| {
            format!("`currency` is `{}`, not a code of ISO 4217 such as `USD`", written.currency)
        })?;
        let (low_mrr, high_mrr) = (written.low_mrr.decimal(), written.high_mrr.decimal());
        if low_mrr < Decimal::ZERO || low_mrr > high_mrr {
            return Err(format!("`low_mrr` is {low_mrr} and must lie between 0 and `high_mrr`, {high_mrr}"));
        }
        if written.new_customer_days > written.long_tenure_days {
            return Err(format!(
                "`new_customer_days` is {} and must not exceed `long_tenure_days`, {}",
                written.new_customer_days, written.long_tenure_days
            ));
        }
        for (key, percent) in [
            ("discount_percent", written.discount_percent),
            ("discount_percent_long_tenure", written.discount_percent_long_tenure),
        ] {
            if !(1..=100).contains(&percent) {
                return Err(format!("`{key}` is {percent} and must lie between 1 and 100"));
            }
        }
        let tables = Tables::new(&written.structured, &written.keywords)?;
        Ok(Settings { currency, high_mrr, low_mrr, tables, written })
    }
}

#[cfg(not(target_family = "wasm"))]
fn amount_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": ["number", "string"], "pattern": "^[0-9]+([.][0-9]+)?$" })
}

/// With every strategy by name, so that the gateway says which there are.
#[cfg(not(target_family = "wasm"))]
fn keywords_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let words = || serde_json::json!({ "type": "array", "items": { "type": "string" } });
    let each = Strategy::ALL.iter().map(|strategy| (strategy.name().to_owned(), words()));
    let properties: serde_json::Map<_, _> = each.collect();
    schemars::json_schema!({ "type": "object", "properties": properties, "additionalProperties": false })
}

#[cfg(test)]
mod tests {
    use super::{Config, Settings};

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let cases = [
            (r#"{}"#, None),
            (r#"{"currency":"USD"}"#, None),
            (r#"{"currency":"eur","high_mrr":300,"low_mrr":"9.99"}"#, None),
            (r#"{"structured":{"relocated":"pause_option"},"never":["discount"]}"#, None),
            (r#"{"keywords":{"discount":["zu teuer"]},"cheaper_plans":{"Pro":"Basic"}}"#, None),
            (r#"{"curency":"USD"}"#, Some("unknown field `curency`")),
            (r#"{"currency":"dollars"}"#, Some("not a code of ISO 4217")),
            (r#"{"low_mrr":"600"}"#, Some("`low_mrr` is 600 and must lie between 0 and `high_mrr`, 500.00")),
            (r#"{"low_mrr":"-1"}"#, Some("`low_mrr` is -1")),
            (r#"{"high_mrr":"much"}"#, Some("`much` is not a decimal number")),
            (r#"{"new_customer_days":400}"#, Some("`new_customer_days` is 400")),
            (r#"{"discount_percent":0}"#, Some("`discount_percent` is 0")),
            (r#"{"discount_percent_long_tenure":101}"#, Some("must lie between 1 and 100")),
            (r#"{"never":["free_puppies"]}"#, Some("unknown variant `free_puppies`")),
            (r#"{"pause_days":-1}"#, Some("invalid value")),
            (r#"{"keywords":{"discount":["zu teuer","!"]}}"#, Some("`keywords.discount`: `!` has no words")),
        ];
        for (json, problem) in cases {
            let config = serde_json::from_str::<Config>(json).map_err(|e| e.to_string());
            let result = config.and_then(|config| Settings::new(config).map(|_| ()));
            match problem {
                None => assert_eq!(result, Ok(()), "{json}"),
                Some(problem) => {
                    assert!(result.as_ref().is_err_and(|e| e.contains(problem)), "{json}: {result:?}")
                }
            }
        }
    }
}
