//! Chargebee's amounts: whole numbers, of hundredths or, in a currency without decimals, of units
//! (<https://apidocs.chargebee.com/docs/api/currencies>).

use billhook_plugin::{Fields, Money, Notes};

/// The most decimals that Chargebee counts a currency with, also one that has three by ISO 4217.
const EXPONENT_MAX: u8 = 2;

/// The amount in `field`.
pub(crate) fn amount(
    notes: &mut Notes,
    object: &Fields<'_>,
    field: &str,
    currency: Option<&str>,
) -> Option<Money> {
    let money = notes.minor(object, field, currency)?;
    Some(Money { exponent: money.exponent.min(EXPONENT_MAX), ..money })
}
