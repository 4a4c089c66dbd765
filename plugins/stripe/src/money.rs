//! Stripe's amounts: whole numbers in the smallest unit, with a few exponents of its own
//! (<https://docs.stripe.com/currencies#special-cases>).

use billhook_plugin::{Fields, Money, Notes};

/// The amount in `field`, in the currency that `object` or, where it has none, the caller names.
pub(crate) fn amount(
    notes: &mut Notes,
    object: &Fields<'_>,
    field: &str,
    currency: Option<&str>,
) -> Option<Money> {
    let own = object.text("currency");
    let money = notes.minor(object, field, own.as_deref().or(currency))?;
    Some(Money { exponent: exponent(&money), ..money })
}

/// How many decimals Stripe counts a currency with. Krónur and Ugandan shillings have none any more, but amounts are
/// still sent with two, which are always 00; ariary have two by ISO 4217, and none here.
pub(crate) fn exponent(money: &Money) -> u8 {
    match money.currency.as_str() {
        "ISK" | "UGX" => 2,
        "MGA" => 0,
        _ => money.exponent,
    }
}
