//! Exact money: minor units, a currency and the exponent that relates them.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, de};

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
    /// Digits after the decimal point that `amount_minor` holds; JSON with more than [`Money::EXPONENT_MAX`] is refused.
    #[serde(deserialize_with = "exponent_in_bounds")]
    pub exponent: u8,
    /// The amount as the provider wrote it.
    pub original: String,
}

impl Money {
    /// The most digits after the decimal point that a [`Decimal`] holds.
    pub const EXPONENT_MAX: u8 = 28;

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
        let (amount_minor, _) = minor_units(text.trim(), exponent)?;
        Some(Money { amount_minor, currency, exponent, original: text.trim().to_owned() })
    }

    /// Whether `original`, read as major units, is finer than the currency, so that `amount_minor` was rounded.
    pub fn is_rounded(&self) -> bool {
        // What `from_minor` made has neither.
        self.original.contains(['.', 'e', 'E'])
            && minor_units(&self.original, self.exponent).is_some_and(|(_, is_rounded)| is_rounded)
    }

    /// The amount in major units, exactly; zero where the exponent is over [`Money::EXPONENT_MAX`].
    pub fn major(&self) -> Decimal {
        Decimal::try_from_i128_with_scale(self.amount_minor.into(), self.exponent.into()).unwrap_or_default()
    }
}

fn exponent_in_bounds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let exponent = u8::deserialize(deserializer)?;
    if exponent > Money::EXPONENT_MAX {
        let max = Money::EXPONENT_MAX;
        return Err(de::Error::custom(format!("an `exponent` of {exponent} is too large: at most {max}")));
    }
    Ok(exponent)
}

/// Decimal text in major units as minor units, rounded half to even, and whether it had to be rounded.
///
/// Digit by digit, since a [`Decimal`] holds 28 of them and a provider may send more.
fn minor_units(text: &str, exponent: u8) -> Option<(i64, bool)> {
    let (is_negative, text) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, power) = match text.split_once(['e', 'E']) {
        Some((digits, power)) => (digits, i64::from(power.parse::<i32>().ok()?)),
        None => (text, 0),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let count = whole.len() + fraction.len();
    let mut digits = whole.bytes().chain(fraction.bytes());
    if count == 0 || !digits.clone().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // How many digits stand before the point once the amount is in minor units.
    let kept = i64::try_from(whole.len()).ok()? + power + i64::from(exponent);
    let mut minor = 0u64;
    for _ in 0..kept {
        match digits.next() {
            Some(digit) => minor = minor.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?,
            None if minor == 0 => break,
            None => minor = minor.checked_mul(10)?,
        }
    }
    // The first digit after the point decides, then the others; below zero digits kept it is a zero of its own.
    let first = if kept < 0 { b'0' } else { digits.next().unwrap_or(b'0') };
    let has_more = digits.any(|digit| digit != b'0');
    let is_up = first > b'5' || (first == b'5' && (has_more || minor % 2 == 1));
    let minor = i128::from(minor) + i128::from(is_up);
    let minor = i64::try_from(if is_negative { -minor } else { minor }).ok()?;
    Some((minor, first != b'0' || has_more))
}

/// Reads a JSON number's or a string's text as a decimal; exponents as in `1e2` are accepted. It is exact up to 28
/// digits; those after the point that are too many are rounded.
pub fn decimal(text: &str) -> Option<Decimal> {
    let text = text.trim();
    if text.contains(['e', 'E']) {
        return Decimal::from_scientific(text).ok();
    }
    Decimal::from_str_exact(text).or_else(|_| text.parse()).ok()
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
    use super::{Money, exponent};
    use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, proptest};
    use proptest::sample::select;
    use rust_decimal::Decimal;
    use std::collections::BTreeMap;

    /// Every code that there could be, by its exponent.
    fn of_exponent() -> BTreeMap<u8, Vec<String>> {
        let letters = || b'A'..=b'Z';
        let mut of_exponent = BTreeMap::<u8, Vec<String>>::new();
        for (a, b, c) in
            letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| (a, b, c))))
        {
            let code: String = [a, b, c].map(char::from).iter().collect();
            of_exponent.entry(exponent(&code)).or_default().push(code);
        }
        of_exponent
    }

    /// A currency, each exponent as often as any other.
    fn currency() -> impl Strategy<Value = String> {
        select(of_exponent().into_values().collect::<Vec<_>>()).prop_flat_map(select)
    }

    /// Minor units by whole numbers alone: `digits` are those of an amount with `scale` digits after the point.
    fn minor(negative: bool, digits: u128, scale: u32, exponent: u8) -> Option<i64> {
        let finer = match scale.checked_sub(exponent.into()) {
            Some(finer) => finer,
            None => return minor(negative, digits * 10, scale + 1, exponent),
        };
        let unit = 10u128.pow(finer);
        let (whole, rest) = (digits / unit, digits % unit);
        let up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
        let whole = i128::try_from(whole + u128::from(up)).ok()?;
        i64::try_from(if negative { -whole } else { whole }).ok()
    }

    #[test]
    fn the_currencies_without_two_digits_are_those_of_iso_4217() {
        let rows = [
            (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
            (3, "BHD IQD JOD KWD LYD OMR TND"),
            (4, "CLF UYW"),
        ];
        let mut found = of_exponent();
        assert!(found.remove(&2).is_some_and(|codes| {
            ["EUR", "USD", "MGA"].iter().all(|code| codes.contains(&(*code).to_owned()))
        }));
        for (exponent, codes) in rows {
            assert_eq!(found.remove(&exponent).unwrap().join(" "), codes);
        }
        assert!(found.is_empty(), "{found:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn minor_units_survive_their_text_in_major_units(amount in any::<i64>(), currency in currency()) {
            let money = Money::from_minor(amount, &currency).unwrap();
            let text = money.major().to_string();
            let again = Money::from_major(&text, &currency.to_lowercase()).unwrap();
            prop_assert_eq!((again.amount_minor, again.exponent), (amount, exponent(&currency)), "{}", text);
            prop_assert_eq!(again.major(), money.major());
            prop_assert!(!again.is_rounded());
            let json = serde_json::to_string(&again).unwrap();
            prop_assert_eq!(serde_json::from_str::<Money>(&json).unwrap(), again);
        }

        #[test]
        fn text_of_any_fineness_is_rounded_half_to_even_and_tells_so(
            negative in any::<bool>(),
            whole in 0u64..=10_000_000_000_000_000_000,
            fraction in "[0-9]{0,18}|[0-9]{0,4}50{0,12}",
            currency in currency(),
        ) {
            let point = if fraction.is_empty() { "" } else { "." };
            let text = format!("{}{whole}{point}{fraction}", if negative { "-" } else { "" });
            let digits: u128 = format!("{whole}{fraction}").parse().unwrap();
            let exponent = exponent(&currency);
            let expected = minor(negative, digits, fraction.len().try_into().unwrap(), exponent);
            let money = Money::from_major(&text, &currency);
            prop_assert_eq!(money.as_ref().map(|money| money.amount_minor), expected, "{} {}", text, currency);
            if let Some(money) = money {
                let finer = fraction.trim_end_matches('0').len() > usize::from(exponent);
                prop_assert_eq!(money.is_rounded(), finer, "{} {}", text, currency);
                prop_assert_eq!(money.original, text);
            }
        }

        #[test]
        fn whatever_is_a_decimal_is_an_amount_near_it_or_too_large(
            text in "-?[0-9]{0,40}([.][0-9]{0,40})?([eE][+-]?[0-9]{0,12})?|\\PC*",
            currency in currency(),
        ) {
            let Some(exact) = super::decimal(&text) else { return Ok(()) };
            let exponent = exponent(&currency);
            match Money::from_major(&text, &currency) {
                Some(money) => {
                    let half = Decimal::new(5, u32::from(exponent) + 1);
                    prop_assert!((money.major() - exact).abs() <= half, "{} {:?}", text, money);
                }
                None => {
                    let max = Decimal::from_i128_with_scale(i64::MAX.into(), exponent.into());
                    prop_assert!(exact.abs() >= max, "{}", text);
                }
            }
        }
    }

    #[test]
    fn amounts_written_with_more_digits_than_a_decimal_holds_are_not_lost() {
        let cases = [
            ("33.3333333333333333333333333333333333", Some(3333)),
            ("0.1000000000000000055511151231257827", Some(10)),
            ("0.12500000000000000000000000000000000000001", Some(13)),
            ("0.125000000000000000000000000000000000000000", Some(12)),
            ("0000000000000000000000000000000000000000001.50", Some(150)),
            ("100000000000000000000000000000000000000000.50", None),
        ];
        for (text, expected) in cases {
            assert_eq!(Money::from_major(text, "usd").map(|money| money.amount_minor), expected, "{text}");
        }
    }

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
    fn an_exponent_that_no_decimal_has_is_refused_and_breaks_nothing() {
        let read = |exponent: u8| {
            let json = format!(
                r#"{{"amount_minor":{},"currency":"USD","exponent":{exponent},"original":""}}"#,
                i64::MAX
            );
            serde_json::from_str::<Money>(&json)
        };
        assert_eq!(read(28).unwrap().major().to_string(), "0.0000000009223372036854775807");
        let told = read(29).unwrap_err().to_string();
        assert!(told.contains("an `exponent` of 29 is too large: at most 28"), "{told}");
        let made = Money { exponent: 29, ..read(2).unwrap() };
        assert_eq!(made.major(), Decimal::ZERO);
    }

    #[test]
    fn rounding_is_told() {
        assert!(Money::from_major("0.00123", "usd").unwrap().is_rounded());
        assert!(Money::from_major("1e-3", "usd").unwrap().is_rounded());
        assert!(!Money::from_major("1.500", "usd").unwrap().is_rounded());
        assert!(!Money::from_major("1.5e3", "usd").unwrap().is_rounded());
        assert!(!Money::from_minor(1234, "usd").unwrap().is_rounded());
    }
}
