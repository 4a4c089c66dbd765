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
/// A word is letters, digits and inner apostrophes; typographic apostrophes count as `'`, and scripts that put no space
/// between words give long ones. Punctuation that parts sentences parts clauses, and no phrase is found across it.
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
            if c.is_alphanumeric() || is_unspaced(c) || is_apostrophe(c) {
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
        let hit = |words: &[Cow<'_, str>]| {
            let hits: Option<Vec<&str>> =
                words.iter().zip(phrase).map(|(word, choices)| hit(choices.as_ref(), word)).collect();
            Some(hits?.join(" "))
        };
        self.clauses.iter().find_map(|clause| clause.windows(phrase.len()).find_map(hit))
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

/// Reads a phrase in lower case, which is taken apart as a text is; `a|b` is either word and `*` is any one. The error
/// says why it would never be found.
pub(crate) fn phrase(text: &str) -> Result<Phrase, &'static str> {
    let plain = text.replace('|', " ").replace('*', "x");
    let mut words = Words::default();
    words.add(&plain);
    match words.clauses.len() {
        0 => return Err("has no words"),
        1 => {}
        _ => {
            return Err(
                "has punctuation between its words, across which none is found: write one for each part",
            );
        }
    }
    let mut phrase = Phrase::new();
    for part in text.split_whitespace() {
        let choices: Result<Vec<Vec<String>>, _> = part.split('|').map(choice).collect();
        let choices: Vec<_> = choices?.into_iter().filter(|words| !words.is_empty()).collect();
        match choices.as_slice() {
            [] => {}
            [words] => phrase.extend(words.iter().map(|word| vec![word.clone()])),
            _ if choices.iter().all(|words| words.len() == 1) => phrase.push(choices.concat()),
            _ => return Err("has several words on a side of `|`: write one for each side"),
        }
    }
    Ok(phrase)
}

/// The words of what stands for one in a phrase: `self-hosted` is two.
fn choice(text: &str) -> Result<Vec<String>, &'static str> {
    if text == "*" {
        return Ok(vec![text.to_owned()]);
    }
    if text.contains('*') {
        return Err("has `*` in a word, and it is a whole one");
    }
    let mut words = Words::default();
    words.add(text);
    Ok(words.clauses.concat().into_iter().map(Cow::into_owned).collect())
}

fn parts_clauses(c: char) -> bool {
    matches!(
        c,
        '.' | ',' | ';' | ':' | '!' | '?' | '(' | ')' | '"' | '\n' | '\u{2014}' | '\u{3002}' | '\u{3001}'
    )
}

/// Whether it is of a script that puts no space between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{3005}'..='\u{3007}'
        | '\u{3041}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9f}' | '\u{20000}'..='\u{3ffff}'
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

/// What of `word` is one of `choices`. What is written without spaces is found within a longer word.
fn hit<'a, S: AsRef<str>>(choices: &[S], word: &'a str) -> Option<&'a str> {
    choices.iter().map(AsRef::as_ref).find_map(|choice| match choice {
        "*" => Some(word),
        _ if choice.contains(is_unspaced) => word.find(choice).map(|at| &word[at..at + choice.len()]),
        _ => (choice == word).then_some(word),
    })
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
            ("missing_features", "missing features", Some("missing features")),
            ("", "price", None),
            ("C\u{2019}est trop cher !", "c\u{2019}est trop cher", Some("c'est trop cher")),
            ("c'est trop cher", "c\u{2019}est trop cher!", Some("c'est trop cher")),
            ("moving to open source", "open-source", Some("open source")),
            ("something self-hosted", "self-hosted", Some("self hosted")),
            ("trop cher", "trop \u{2013} cher", Some("trop cher")),
            ("\u{8fd9}\u{4e2a}\u{592a}\u{8d35}\u{4e86}", "\u{592a}\u{8d35}", Some("\u{592a}\u{8d35}")),
            ("\u{8fd9}\u{4e2a}\u{8d35}\u{4e86}", "\u{592a}\u{8d35}", None),
            (
                "\u{3061}\u{3087}\u{3063}\u{3068}\u{9ad8}\u{3059}\u{304e}",
                "\u{9ad8}|\u{304b}",
                Some("\u{9ad8}"),
            ),
            (
                "\u{e09}\u{e31}\u{e19}\u{e44}\u{e21}\u{e48}\u{e43}\u{e0a}\u{e49}",
                "\u{e44}\u{e21}\u{e48}",
                Some("\u{e44}\u{e21}\u{e48}"),
            ),
        ];
        for (text, phrase, found) in cases {
            assert_eq!(
                words(&text.to_lowercase()).find(&super::phrase(phrase).unwrap()).as_deref(),
                found,
                "{phrase:?} in {text:?}"
            );
        }
    }

    #[test]
    fn a_phrase_that_would_never_be_found_is_refused() {
        let cases = [
            ("", "no words"),
            (" !? | - ", "no words"),
            ("trop cher, vraiment", "punctuation"),
            ("node.js", "punctuation"),
            ("expens*", "`*` in a word"),
            ("open-source|free", "several words on a side of `|`"),
        ];
        for (text, problem) in cases {
            let refused = super::phrase(text).unwrap_err();
            assert!(refused.contains(problem), "{text:?}: {refused}");
        }
        assert_eq!(super::phrase("a|| - b"), Ok(vec![vec!["a".to_owned()], vec!["b".to_owned()]]));
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
