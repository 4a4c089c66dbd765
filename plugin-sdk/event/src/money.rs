//! Exact money: minor units, a currency and the exponent that relates them.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// An amount of money in minor units.
///
/// `amount_minor` = amount × 10^`exponent`; `original` is the provider's own text, so that nothing is lost where
/// the amount was finer than the currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Minor units; negative for credits and reversals.
    pub amount_minor: i64,
    /// ISO 4217, upper case.
    pub currency: String,
    /// Digits after the decimal point that `amount_minor` holds.
    pub exponent: u8,
    /// The amount as the provider wrote it.
    pub original: String,
}

impl Money {
    /// Money from minor units, as in `4999` for $49.99. `None` unless `currency` is three ASCII letters.
    pub fn from_minor(amount_minor: i64, currency: &str) -> Option<Money> {
        let currency = code(currency)?;
        let exponent = exponent(&currency);
        Some(Money { amount_minor, currency, exponent, original: amount_minor.to_string() })
    }

    /// Money from decimal text in major units, as in `"49.99"`.
    ///
    /// Digits beyond the currency's exponent are rounded half to even and stay readable in `original`; see
    /// [`Money::is_rounded`]. `None` if the text is not a decimal number, does not fit `i64` in minor units, or
    /// `currency` is not three ASCII letters.
    pub fn from_major(text: &str, currency: &str) -> Option<Money> {
        let currency = code(currency)?;
        let exponent = exponent(&currency);
        let amount = decimal(text)?;
        let rounded = amount.round_dp_with_strategy(exponent.into(), RoundingStrategy::MidpointNearestEven);
        let minor = rounded.checked_mul(Decimal::from(10i64.pow(exponent.into())))?;
        let amount_minor =
            i64::try_from(minor.trunc().mantissa() / 10i128.pow(minor.trunc().scale())).ok()?;
        Some(Money { amount_minor, currency, exponent, original: text.trim().to_owned() })
    }

    /// Whether `original`, read as major units, is finer than the currency, so that `amount_minor` was rounded.
    pub fn is_rounded(&self) -> bool {
        self.original.contains('.')
            && decimal(&self.original).is_some_and(|d| d.normalize().scale() > u32::from(self.exponent))
    }

    /// The amount in major units, exactly.
    pub fn major(&self) -> Decimal {
        Decimal::from_i128_with_scale(self.amount_minor.into(), self.exponent.into())
    }
}

/// Reads a JSON number's or a string's text as an exact decimal; exponents as in `1e2` are accepted.
pub fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    if text.contains(['e', 'E']) {
        return Decimal::from_scientific(text).ok();
    }
    Decimal::from_str_exact(text).ok()
}

/// The number of decimal digits of a currency (ISO 4217, list of 2024; two where it is not listed).
pub fn exponent(currency: &str) -> u8 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// A currency code in upper case; `None` unless it is three ASCII letters.
pub fn code(currency: &str) -> Option<String> {
    let currency = currency.trim();
    (currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_alphabetic()))
        .then(|| currency.to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::Money;

    #[test]
    fn decimal_text_becomes_minor_units() {
        let cases = [
            ("49.99", "usd", Some((4999, 2))),
            ("-2.50", "USD", Some((-250, 2))),
            ("0", "eur", Some((0, 2))),
            ("1000", "jpy", Some((1000, 0))),
            ("1.2345", "kwd", Some((1234, 3))),
            ("0.125", "usd", Some((12, 2))),
            ("0.135", "usd", Some((14, 2))),
            ("1e2", "usd", Some((10_000, 2))),
            ("0.00123", "usd", Some((0, 2))),
            ("92233720368547758.07", "usd", Some((i64::MAX, 2))),
            ("92233720368547758.08", "usd", None),
            ("forty", "usd", None),
            ("", "usd", None),
            ("1", "dollars", None),
        ];
        for (text, currency, expected) in cases {
            let money = Money::from_major(text, currency);
            assert_eq!(money.map(|m| (m.amount_minor, m.exponent)), expected, "{text} {currency}");
        }
    }

    #[test]
    fn rounding_is_told() {
        assert!(Money::from_major("0.00123", "usd").unwrap().is_rounded());
        assert!(!Money::from_major("1.500", "usd").unwrap().is_rounded());
        assert!(!Money::from_minor(1234, "usd").unwrap().is_rounded());
    }
}
