//! Whether a rule matches an event.

use crate::config::{Condition, Literal, Pattern, Rule};
use billhook_plugin::model::pattern;
use billhook_plugin::{Event, Number, Scalar};
use std::cell::OnceCell;

/// What rules ask about an event, each looked up once and only if a rule asks.
pub(crate) struct Facts<'e, 'a> {
    event: &'e Event<'a>,
    kind: OnceCell<String>,
    provider: OnceCell<String>,
    name: OnceCell<String>,
    livemode: OnceCell<Option<bool>>,
}

impl<'e, 'a> Facts<'e, 'a> {
    pub(crate) fn of(event: &'e Event<'a>) -> Facts<'e, 'a> {
        Facts {
            event,
            kind: OnceCell::new(),
            provider: OnceCell::new(),
            name: OnceCell::new(),
            livemode: OnceCell::new(),
        }
    }

    /// Whether the event is all that `rule` says.
    pub(crate) fn fit(&self, rule: &Rule) -> bool {
        let Rule { name: _, types, providers, livemode, conditions } = rule;
        (types.is_empty() || types.iter().any(|pattern| self.is_of(pattern)))
            && (providers.is_empty() || providers.iter().any(|provider| provider == self.provider()))
            && (livemode.is_none() || *livemode == self.livemode())
            && conditions.iter().all(|condition| self.hold(condition))
    }

    fn is_of(&self, Pattern(pattern): &Pattern) -> bool {
        let kind = self.kind.get_or_init(|| self.event.event_type());
        // A provider's own name is asked for by few rules.
        let name = match pattern.contains('/') {
            true => self.name.get_or_init(|| self.event.text("/provider_event_type").unwrap_or_default()),
            false => "",
        };
        pattern::matches(pattern, kind, self.provider(), name)
    }

    fn provider(&self) -> &str {
        self.provider.get_or_init(|| self.event.provider())
    }

    fn livemode(&self) -> Option<bool> {
        *self.livemode.get_or_init(|| match self.event.get("/livemode") {
            Some(Scalar::Bool(live)) => Some(live),
            Some(Scalar::Null | Scalar::Number(_) | Scalar::Text(_)) | None => None,
        })
    }

    fn hold(&self, condition: &Condition) -> bool {
        let Condition { pointer, equals, one_of, exists, less, greater } = condition;
        let value = self.event.get(pointer).filter(|value| *value != Scalar::Null);
        let is = |literal: &Literal| value.as_ref().is_some_and(|value| is_equal(value, literal));
        let number = || number(value.as_ref()?);
        // An object or array is there, but no scalar.
        let is_there = || value.is_some() || self.event.get_json(pointer).is_some_and(|json| json != "null");
        equals.as_ref().is_none_or(is)
            && one_of.as_ref().is_none_or(|literals| literals.iter().any(is))
            && exists.is_none_or(|wanted| is_there() == wanted)
            && less.as_ref().is_none_or(|limit| number().is_some_and(|it| it.decimal() < limit.decimal()))
            && greater.as_ref().is_none_or(|limit| number().is_some_and(|it| it.decimal() > limit.decimal()))
    }
}

fn is_equal(value: &Scalar, literal: &Literal) -> bool {
    match literal {
        Literal::Text(text) => matches!(value, Scalar::Text(it) if it == text),
        Literal::Flag(flag) => matches!(value, Scalar::Bool(it) if it == flag),
        Literal::Number(wanted) => number(value).is_some_and(|it| it.decimal() == wanted.decimal()),
    }
}

/// The number that a scalar is, also where it is written as a text; `None` if it is none, or has more digits than can
/// be compared exactly.
fn number(value: &Scalar) -> Option<Number> {
    match value {
        Scalar::Number(text) | Scalar::Text(text) => Number::parse(text),
        Scalar::Null | Scalar::Bool(_) => None,
    }
}
