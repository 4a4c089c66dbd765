//! What a normalizer found odd and kept all the same.

use crate::{Draft, Fields, Money, Number};

/// How many warnings one draft carries at most.
pub const WARNINGS_MAX: usize = 20;

/// How much of an odd value a warning quotes, in characters.
pub const QUOTED_CHARS_MAX: usize = 80;

/// Collects the warnings of a draft: each once, and at most [`WARNINGS_MAX`] of them.
///
/// ```
/// use billhook_plugin::{Document, Notes};
///
/// let document = Document::parse(br#"{"total":4999,"tax":"1.5","state":"paidd"}"#)?;
/// let invoice = document.fields()?;
/// let mut notes = Notes::default();
/// assert_eq!(notes.minor(&invoice, "total", Some("usd")).unwrap().amount_minor, 4999);
/// assert_eq!(notes.minor(&invoice, "tax", Some("usd")), None);
/// notes.unknown("state", &invoice.text("state").unwrap());
/// assert_eq!(
///     notes.into_warnings(),
///     ["tax `1.5` is not an amount in `usd` in minor units", "state `paidd` is not a known value"]
/// );
/// # Ok::<(), billhook_plugin::Failure>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Notes(Vec<String>);

impl Notes {
    /// Adds a sentence: a lowercase fragment that names the field.
    pub fn add(&mut self, warning: impl Into<String>) {
        let warning = warning.into();
        if self.0.len() < WARNINGS_MAX && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    /// Notes a value that is not in the list that it should be in.
    pub fn unknown(&mut self, field: &str, value: &str) {
        self.add(format!("{field} `{}` is not a known value", quoted(value)));
    }

    /// An amount in major units ("49.99"), with a note where it is finer than its currency, or is left out because it
    /// is no amount, does not fit, or has no currency. `None` without a note where the field is absent.
    pub fn major(&mut self, object: &Fields<'_>, field: &str, currency: Option<&str>) -> Option<Money> {
        let text = object.text(field)?;
        let currency = self.currency(field, &text, currency)?;
        let Some(money) = Money::from_major(&text, currency) else {
            self.add(format!("{field} `{}` is not an amount in `{}`", quoted(&text), quoted(currency)));
            return None;
        };
        if money.is_rounded() {
            self.add(format!("{field} `{}` is finer than {}", quoted(&text), money.currency));
        }
        Some(money)
    }

    /// An amount in minor units (4999 or "4999"), with a note where it is left out because it is not whole, does not
    /// fit, or has no currency. `None` without a note where the field is absent.
    ///
    /// The exponent is that of ISO 4217: a provider that counts a currency in other units sets
    /// [`Money::exponent`] afterwards.
    pub fn minor(&mut self, object: &Fields<'_>, field: &str, currency: Option<&str>) -> Option<Money> {
        let text = object.text(field)?;
        let currency = self.currency(field, &text, currency)?;
        let money = Number::parse(&text).and_then(|number| number.minor(currency));
        if money.is_none() {
            let (text, currency) = (quoted(&text), quoted(currency));
            self.add(format!("{field} `{text}` is not an amount in `{currency}` in minor units"));
        }
        money
    }

    /// Notes the ids of a draft's objects that look like those of another kind of object. `prefixes` are those of the
    /// provider's ids, by the name of the draft's block: `("subscription", &["sub_"])`; two kinds may share one. An id with
    /// none of them is taken as it is.
    pub fn ids(&mut self, draft: &Draft, prefixes: &[(&str, &[&str])]) {
        let ids = [
            ("customer", draft.customer.as_ref().map(|block| &block.id)),
            ("subscription", draft.subscription.as_ref().map(|block| &block.id)),
            ("invoice", draft.invoice.as_ref().map(|block| &block.id)),
            ("payment", draft.payment.as_ref().map(|block| &block.id)),
            ("refund", draft.refund.as_ref().map(|block| &block.id)),
            ("dispute", draft.dispute.as_ref().map(|block| &block.id)),
            ("credit_note", draft.credit_note.as_ref().map(|block| &block.id)),
            ("payment_method", draft.payment_method.as_ref().map(|block| &block.id)),
            ("wallet", draft.wallet.as_ref().map(|block| &block.id)),
        ];
        for (block, id) in ids.into_iter().filter_map(|(block, id)| Some((block, id?.as_ref()?))) {
            let looks_like =
                |(_, prefixes): &&(&str, &[&str])| prefixes.iter().any(|prefix| id.starts_with(prefix));
            let mut kinds = prefixes.iter().filter(looks_like).map(|(kind, _)| *kind);
            if let Some(other) = kinds.next()
                && other != block
                && !kinds.any(|kind| kind == block)
            {
                self.add(format!("{block}.id `{}` looks like the id of a {other}", quoted(id)));
            }
        }
    }

    fn currency<'c>(&mut self, field: &str, text: &str, currency: Option<&'c str>) -> Option<&'c str> {
        if currency.is_none() {
            self.add(format!("{field} `{}` has no currency", quoted(text)));
        }
        currency
    }

    /// The warnings, for [`Draft::warnings`](crate::Draft::warnings).
    pub fn into_warnings(self) -> Vec<String> {
        self.0
    }
}

/// The beginning of a text, at most [`QUOTED_CHARS_MAX`] characters, for a warning or a message.
pub fn quoted(text: &str) -> String {
    text.chars().take(QUOTED_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::{Notes, WARNINGS_MAX};
    use crate::{Document, Draft};
    use billhook_event::Invoice;

    #[test]
    fn what_is_no_amount_is_left_out_with_a_note_and_what_is_absent_without() {
        let body = br#"{"a":"1000","b":1.5,"c":"12.345","d":"ten","e":"1e40","f":null,"g":{}}"#;
        let document = Document::parse(body).unwrap();
        let fields = document.fields().unwrap();
        let cases = [
            ("a", Some("JPY"), Some(1000), Some(1000), 0),
            ("a", Some("KWD"), Some(1000), Some(1_000_000), 0),
            ("a", None, None, None, 1),
            ("a", Some("yen!"), None, None, 2),
            ("b", Some("USD"), None, Some(150), 1),
            ("c", Some("usd"), None, Some(1234), 2),
            ("d", Some("USD"), None, None, 2),
            ("e", Some("USD"), None, None, 2),
            ("f", None, None, None, 0),
            ("g", Some("USD"), None, None, 0),
        ];
        for (field, currency, minor, major, warnings) in cases {
            let mut notes = Notes::default();
            let amount = |money: Option<crate::Money>| money.map(|money| money.amount_minor);
            let case = format!("{field} {currency:?}");
            assert_eq!(amount(notes.minor(&fields, field, currency)), minor, "{case}");
            assert_eq!(amount(notes.major(&fields, field, currency)), major, "{case}");
            assert_eq!(notes.into_warnings().len(), warnings, "{case}");
        }
    }

    #[test]
    fn an_id_of_another_kind_is_noted() {
        let prefixes: &[(&str, &[&str])] =
            &[("invoice", &["in_"]), ("payment", &["pi_", "ch_", "doc_"]), ("invoice", &["doc_"])];
        let cases = [("in_1", 0), ("ch_1", 1), ("doc_1", 0), ("legacy-7", 0)];
        for (id, warnings) in cases {
            let invoice = Invoice { id: Some(id.to_owned()), ..Invoice::default() };
            let mut notes = Notes::default();
            notes.ids(&Draft { invoice: Some(Box::new(invoice)), ..Draft::default() }, prefixes);
            let told = notes.into_warnings();
            assert_eq!(told.len(), warnings, "{told:?}");
            assert!(told.iter().all(|warning| warning == "invoice.id `ch_1` looks like the id of a payment"));
        }
    }

    #[test]
    fn warnings_are_few_short_and_told_once() {
        let mut notes = Notes::default();
        notes.unknown("state", &"x".repeat(500));
        notes.unknown("state", &"x".repeat(400));
        for n in 0..100 {
            notes.add(format!("note {n}"));
        }
        let warnings = notes.into_warnings();
        assert_eq!(warnings.len(), WARNINGS_MAX);
        assert_eq!((warnings[0].len(), warnings[1].as_str()), (109, "note 0"));
    }
}
