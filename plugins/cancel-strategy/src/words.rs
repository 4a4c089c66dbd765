//! Free text as words, so that `bug` is not found in "budget" nor `cost` in "Costco".

use std::borrow::Cow;

/// Characters of a text that are looked at; what follows them is ignored.
const CHARS_MAX: usize = 2000;

/// How many words before "need" may turn it round, as in "I do not think we need it".
const NEGATION_REACH: usize = 4;

/// Words that turn a following "need" round, beside all that end in `n't`.
const NEGATIONS: &[&str] = &[
    "no", "not", "never", "nothing", "none", "nobody", "hardly", "barely", "rarely", "longer", "without",
    "cannot", "dont", "doesnt", "didnt", "wont", "cant",
];

/// Words after which a new thought begins, so that a negation before them does not reach further.
const CONJUNCTIONS: &[&str] = &["and", "but", "so", "because", "since", "as", "which", "yet"];

/// What is said after "need to" when the customer only announces the cancellation.
const LEAVING: &[&str] = &["cancel", "stop", "leave", "quit", "end", "unsubscribe", "go"];

/// The words of a text, clause by clause.
///
/// A word is letters, digits, `_` and inner apostrophes; typographic apostrophes count as `'`. Punctuation that
/// parts sentences parts clauses, and no phrase is found across it.
#[derive(Debug, Default)]
pub(crate) struct Words<'a> {
    clauses: Vec<Vec<Cow<'a, str>>>,
}

impl<'a> Words<'a> {
    /// Adds the words of `text`, which is in lower case. They begin a clause of their own.
    pub(crate) fn add(&mut self, text: &'a str) {
        let mut clause = Vec::new();
        let mut start = None;
        let end = text.char_indices().nth(CHARS_MAX).map_or(text.len(), |(at, _)| at);
        for (at, c) in text[..end].char_indices().chain([(end, '\n')]) {
            if c.is_alphanumeric() || c == '_' || is_apostrophe(c) {
                start.get_or_insert(at);
                continue;
            }
            if let Some(start) = start.take() {
                let word = text[start..at].trim_matches(is_apostrophe);
                if !word.is_empty() {
                    clause.push(with_plain_apostrophes(word));
                }
            }
            if parts_clauses(c) && !clause.is_empty() {
                self.clauses.push(std::mem::take(&mut clause));
            }
        }
    }

    /// The first place where a phrase stands, as it is written there; see [`phrase`].
    pub(crate) fn find<A: AsRef<[S]>, S: AsRef<str>>(&self, phrase: &[A]) -> Option<String> {
        if phrase.is_empty() {
            return None;
        }
        let fits = |words: &&[Cow<'_, str>]| {
            words.iter().zip(phrase).all(|(word, choices)| takes(choices.as_ref(), word))
        };
        self.clauses
            .iter()
            .find_map(|clause| clause.windows(phrase.len()).find(fits))
            .map(|words| words.join(" "))
    }

    /// "need X", unless it is negated or says no more than that the customer leaves.
    pub(crate) fn find_need(&self) -> Option<String> {
        self.clauses.iter().find_map(|clause| {
            let needs = |at: &usize| matches!(clause[*at].as_ref(), "need" | "needs");
            (0..clause.len()).filter(needs).find_map(|at| {
                let what = clause.get(at + 1)?;
                let leaves =
                    what == "to" && clause.get(at + 2).is_some_and(|verb| LEAVING.contains(&verb.as_ref()));
                let before = &clause[at.saturating_sub(NEGATION_REACH)..at];
                let thought =
                    before.rsplit(|word| CONJUNCTIONS.contains(&word.as_ref())).next().unwrap_or_default();
                let negated = negates(what) || thought.iter().any(|word| negates(word));
                (!leaves && !negated).then(|| format!("{} {what}", clause[at]))
            })
        })
    }
}

/// A phrase: word after word, each with what may stand in its place.
pub(crate) type Phrase = Vec<Vec<String>>;

/// Reads a phrase: words with spaces between; `a|b` is either word and `*` is any one.
pub(crate) fn phrase(text: &str) -> Phrase {
    text.split_whitespace().map(|word| word.split('|').map(str::to_owned).collect()).collect()
}

fn parts_clauses(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | '(' | ')' | '"' | '\n' | '\u{2014}' | '\u{3002}' | '\u{3001}'
    )
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{ff07}' | '`' | '\u{b4}')
}

fn with_plain_apostrophes(word: &str) -> Cow<'_, str> {
    match word.contains(|c| is_apostrophe(c) && c != '\'') {
        true => Cow::Owned(word.replace(is_apostrophe, "'")),
        false => Cow::Borrowed(word),
    }
}

fn takes<S: AsRef<str>>(choices: &[S], word: &str) -> bool {
    choices.iter().map(AsRef::as_ref).any(|choice| choice == "*" || choice == word)
}

fn negates(word: &str) -> bool {
    NEGATIONS.contains(&word) || word.ends_with("n't")
}

#[cfg(test)]
mod tests {
    use super::Words;

    fn words(text: &str) -> Words<'_> {
        let mut words = Words::default();
        words.add(text);
        words
    }

    #[test]
    fn phrases_are_found_as_whole_words_within_a_clause() {
        let cases = [
            ("We ran into a BUG", "bug", Some("bug")),
            ("over budget", "bug", None),
            ("Costco", "cost", None),
            ("I don\u{2019}t use it", "don't|dont use", Some("don't use")),
            ("'price'", "price", Some("price")),
            ("missing key features", "missing * feature|features", Some("missing key features")),
            ("Is it any good? Not. Using it was hard", "not using", None),
            ("too-expensive", "too expensive", Some("too expensive")),
            ("missing_features", "missing features", None),
            ("", "price", None),
            ("price", "", None),
        ];
        for (text, phrase, found) in cases {
            assert_eq!(
                words(&text.to_lowercase()).find(&super::phrase(phrase)).as_deref(),
                found,
                "{phrase:?} in {text:?}"
            );
        }
    }

    #[test]
    fn a_need_counts_unless_it_is_negated() {
        let cases = [
            ("We need SAML support", Some("need saml")),
            ("Our team needs SSO", Some("needs sso")),
            ("You don't have SSO and we need it", Some("need it")),
            ("I can't stay, we need exports", Some("need exports")),
            ("I don't need it", None),
            ("I don\u{2019}t need it anymore", None),
            ("dont need it", None),
            ("We no longer need this", None),
            ("I do not think we need it", None),
            ("need nothing", None),
            ("I need to cancel", None),
            ("it is all we need", None),
            ("needless", None),
        ];
        for (text, found) in cases {
            assert_eq!(words(&text.to_lowercase()).find_need().as_deref(), found, "{text:?}");
        }
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_read() {
        let text = format!("{} price", "a ".repeat(super::CHARS_MAX));
        assert_eq!(words(&text).find(&[["price"]]), None);
    }
}
