//! What looked odd while a draft was made.

use billhook_plugin::{Fields, Money};

/// How many warnings a draft carries at most.
const WARNINGS_MAX: usize = 20;

/// How much of an odd value a warning quotes, in characters.
const QUOTED_CHARS_MAX: usize = 80;

/// Collects warnings.
#[derive(Default)]
pub(crate) struct Notes(Vec<String>);

impl Notes {
    /// Adds a sentence.
    pub(crate) fn add(&mut self, warning: String) {
        if self.0.len() < WARNINGS_MAX && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }

    /// Notes a value that is not in a list it should be in.
    pub(crate) fn unknown(&mut self, field: &str, value: &str) {
        let value: String = value.chars().take(QUOTED_CHARS_MAX).collect();
        self.add(format!("{field} `{value}` is not a known value"));
    }

    /// An amount in major units, with a note where it is finer than its currency or does not fit.
    pub(crate) fn money(
        &mut self,
        object: &Fields<'_>,
        field: &str,
        currency: Option<&str>,
    ) -> Option<Money> {
        let text = object.text(field)?;
        let quoted: String = text.chars().take(QUOTED_CHARS_MAX).collect();
        let Some(currency) = currency else {
            self.add(format!("{field} `{quoted}` has no currency"));
            return None;
        };
        let Some(money) = Money::from_major(&text, currency) else {
            self.add(format!("{field} `{quoted}` is not an amount in `{currency}`"));
            return None;
        };
        if money.is_rounded() {
            self.add(format!("{field} `{quoted}` is finer than {}", money.currency));
        }
        Some(money)
    }

    /// The warnings.
    pub(crate) fn finish(self) -> Vec<String> {
        self.0
    }
}
