//! Exact numbers out of JSON.

use billhook_event::{Money, money};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;
use std::fmt;

/// A decimal number with the exact text of the document, written there as a number or as a string.
///
/// It never goes through a float: `49.90`, `"49.90"` and `0.1000000000000000055511151231257827` stay what they
/// are. It can be read from JSON only, and not below `#[serde(flatten)]` or an untagged enum, since those lose the
/// text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// From the text of a decimal number; exponents are accepted. `None` if it is not one.
    pub fn parse(text: &str) -> Option<Number> {
        let text = text.trim();
        money::decimal(text).map(|_| Number(text.to_owned()))
    }

    /// The text as it stood.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, exactly.
    pub fn decimal(&self) -> Decimal {
        money::decimal(&self.0).unwrap_or_default()
    }

    /// As an amount in major units (`49.99` dollars); see [`Money::from_major`].
    pub fn major(&self, currency: &str) -> Option<Money> {
        Money::from_major(&self.0, currency)
    }

    /// As an amount in minor units (`4999` cents); `None` if it is not whole.
    pub fn minor(&self, currency: &str) -> Option<Money> {
        let amount = self.decimal().normalize();
        Money::from_minor((amount.scale() == 0).then(|| i64::try_from(amount.mantissa()).ok())??, currency)
    }

    /// As a whole number that fits `T`.
    pub fn whole<T: TryFrom<i128>>(&self) -> Option<T> {
        let value = self.decimal().normalize();
        (value.scale() == 0).then(|| T::try_from(value.mantissa()).ok())?
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = match raw.get().as_bytes() {
            [b'"', ..] => serde_json::from_str::<String>(raw.get()).map_err(de::Error::custom)?,
            _ => raw.get().to_owned(),
        };
        Number::parse(&text).ok_or_else(|| de::Error::custom(format!("`{text}` is not a decimal number")))
    }
}

impl Serialize for Number {
    /// As a string: exact for every reader.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Number;

    #[test]
    fn numbers_and_strings_keep_their_text() {
        let cases = [
            ("49.90", Some("49.90")),
            ("\"49.90\"", Some("49.90")),
            ("\"-2.50\"", Some("-2.50")),
            ("1e2", Some("1e2")),
            ("0.1000000000000000055", Some("0.1000000000000000055")),
            ("\"4\\u0039\"", Some("49")),
            ("\"ten\"", None),
            ("\"\"", None),
            ("true", None),
            ("{}", None),
        ];
        for (json, expected) in cases {
            let number = serde_json::from_str::<Number>(json).ok();
            assert_eq!(number.as_ref().map(Number::as_str), expected, "{json}");
        }
    }

    #[test]
    fn money_is_read_in_the_unit_that_is_asked_for() {
        let number = Number::parse("4999").unwrap();
        assert_eq!(number.major("usd").unwrap().amount_minor, 499_900);
        assert_eq!(number.minor("usd").unwrap().amount_minor, 4999);
        assert_eq!(Number::parse("49.99").unwrap().minor("usd"), None);
        assert_eq!(Number::parse("3.0").unwrap().whole::<u32>(), Some(3));
        assert_eq!(Number::parse("-3").unwrap().whole::<u32>(), None);
    }
}
