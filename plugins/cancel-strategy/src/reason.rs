//! From a cancel reason to the strategy it calls for: a code first, then keywords, then a question.

use crate::strategy::Strategy;
use crate::words::{Phrase, Words, phrase};
use std::collections::BTreeMap;

/// A phrase: word after word, each with what may stand in its place; `*` is any word.
type Published = &'static [&'static [&'static str]];

/// The keyword table of Windback's custom webhook page, in its order: the first row that is found wins. Plurals
/// and adjectives stand beside the page's own words; "need X" is tried after all of them.
#[rustfmt::skip]
pub(crate) const ROWS: [(Strategy, &[Published]); 6] = [
    (Strategy::Discount, &[
        &[&["too"], &["expensive"]],
        &[&["cost", "costs", "costly"]],
        &[&["price", "prices", "priced", "pricey", "pricy", "pricing"]],
    ]),
    (Strategy::UnusedFeature, &[
        &[&["not"], &["using"]],
        &[&["aren't", "isn't"], &["using"]],
        &[&["don't", "dont"], &["use"]],
        &[&["do"], &["not"], &["use"]],
    ]),
    (Strategy::PainPointFix, &[
        &[&["missing"], &["feature", "features"]],
        &[&["missing"], &["*"], &["feature", "features"]],
    ]),
    (Strategy::ValueRecap, &[
        &[&["switching"]],
        &[&["competitor", "competitors", "competitor's"]],
        &[&["alternative", "alternatives"]],
    ]),
    (Strategy::PauseOption, &[&[&["temporary", "temporarily"]], &[&["pause"]], &[&["break"]]]),
    (Strategy::FounderEmail, &[
        &[&["bad"], &["experience", "experiences"]],
        &[&["bug", "bugs", "buggy"]],
        &[&["broken"]],
    ]),
];

/// Windback's table for the reasons that a customer picks from a list, and the canonical reason codes beside it.
pub(crate) const CODES: [(&str, Strategy); 18] = [
    ("too_expensive", Strategy::Discount),
    ("not_using_enough", Strategy::ValueRecap),
    ("missing_features", Strategy::UnusedFeature),
    ("switching_competitor", Strategy::SocialProof),
    ("dont_need_anymore", Strategy::PauseOption),
    ("technical_issues", Strategy::PainPointFix),
    ("poor_support", Strategy::FounderEmail),
    ("other", Strategy::FeedbackRequest),
    ("price_increase", Strategy::Discount),
    ("low_quality", Strategy::PainPointFix),
    ("too_complex", Strategy::PainPointFix),
    ("unused", Strategy::ValueRecap),
    ("no_longer_needed", Strategy::PauseOption),
    ("temporary_pause", Strategy::PauseOption),
    ("switched_service", Strategy::SocialProof),
    ("customer_service", Strategy::FounderEmail),
    ("refunded", Strategy::FeedbackRequest),
    ("merchant_initiated", Strategy::FeedbackRequest),
];

/// The code that says "none of these": a text beside it is read first.
const OTHER: &str = "other";

/// Codes about money.
const PRICE_CODES: [&str; 2] = ["too_expensive", "price_increase"];

/// Which codes and words call for which strategy: what the configuration adds to the published tables, which are not
/// copied, since a plugin is built for every call.
#[derive(Debug)]
pub(crate) struct Tables {
    codes: BTreeMap<String, Strategy>,
    phrases: BTreeMap<Strategy, Vec<Phrase>>,
}

/// What is known of a reason.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said<'a> {
    /// The provider's text, verbatim.
    pub(crate) reason: Option<&'a str>,
    /// What the customer wrote beside it.
    pub(crate) comment: Option<&'a str>,
    /// The canonical code that the normalizer found.
    pub(crate) code: Option<&'a str>,
}

/// How the primary strategy was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    /// By a code.
    Code(String),
    /// By these words.
    Keyword(String),
    /// By nothing.
    Fallback,
}

/// What a reason calls for.
#[derive(Debug)]
pub(crate) struct Reading {
    /// The strategy of the first match.
    pub(crate) primary: Strategy,
    /// That match.
    pub(crate) matched: Match,
    /// The other rows of the keyword table that matched, in the table's order.
    pub(crate) also: Vec<(Strategy, String)>,
    /// Whether money is what it is about.
    pub(crate) about_price: bool,
}

impl Tables {
    /// The published tables, with `codes` laid over them and `phrases` added to the rows of their strategies; the error
    /// names the phrase that would never be found.
    pub(crate) fn new(
        codes: &BTreeMap<String, Strategy>,
        phrases: &BTreeMap<Strategy, Vec<String>>,
    ) -> Result<Tables, String> {
        let codes = codes.iter().map(|(code, strategy)| (code.trim().to_lowercase(), *strategy));
        let read = |strategy: Strategy, text: &String| {
            let wrong = |problem| format!("`keywords.{}`: `{text}` {problem}", strategy.name());
            phrase(&text.to_lowercase()).map_err(wrong)
        };
        let read = |(strategy, texts): (&Strategy, &Vec<String>)| {
            let phrases: Result<_, _> = texts.iter().map(|text| read(*strategy, text)).collect();
            Ok((*strategy, phrases?))
        };
        let phrases: Result<_, String> = phrases.iter().map(read).collect();
        Ok(Tables { codes: codes.collect(), phrases: phrases? })
    }

    /// What `code` calls for, in lower case.
    fn strategy(&self, code: &str) -> Option<Strategy> {
        let published = || CODES.iter().find(|(known, _)| *known == code).map(|(_, strategy)| *strategy);
        self.codes.get(code).copied().or_else(published)
    }

    /// Reads a reason. Total: every text, and none, has an answer, and always the same.
    pub(crate) fn read(&self, said: Said<'_>) -> Reading {
        let lower = |text: Option<&str>| text.unwrap_or_default().to_lowercase();
        let (reason, comment, given) = (lower(said.reason), lower(said.comment), lower(said.code));
        let (head, rest) = reason.split_once(':').unwrap_or((&reason, ""));
        let known = |code| Some((code, self.strategy(code)?));
        let (own_code, given_code) = (known(head.trim()), known(&given));

        let mut words = Words::default();
        let read = if own_code.is_some() { rest } else { &reason };
        words.add(read);
        // Where a provider has one field for both, it is the same text.
        if comment != read && comment != reason {
            words.add(&comment);
        }
        let mut rows = self.rows(&words);

        let specific = |code: Option<(&str, Strategy)>| code.is_some_and(|(code, _)| code != OTHER);
        let code =
            if specific(given_code) && !specific(own_code) { given_code } else { own_code.or(given_code) };
        let (primary, matched) = match code {
            Some((code, strategy)) if code != OTHER || rows.is_empty() => {
                (strategy, Match::Code(code.to_owned()))
            }
            Some(_) | None if !rows.is_empty() => {
                let (strategy, words) = rows.remove(0);
                (strategy, Match::Keyword(words))
            }
            Some(_) | None => (Strategy::FeedbackRequest, Match::Fallback),
        };
        rows.retain(|(strategy, _)| *strategy != primary);
        let about_price = match &matched {
            Match::Code(code) => PRICE_CODES.contains(&code.as_str()) || primary == Strategy::Discount,
            Match::Keyword(_) => primary == Strategy::Discount,
            Match::Fallback => false,
        };
        Reading { primary, matched, also: rows, about_price }
    }

    /// Every strategy whose row matches, once, in the table's order, with the words that matched.
    fn rows(&self, words: &Words<'_>) -> Vec<(Strategy, String)> {
        let mut found: Vec<(Strategy, String)> = Vec::new();
        let mut add = |strategy, hit: Option<String>| {
            if let Some(hit) = hit
                && !found.iter().any(|(known, _)| *known == strategy)
            {
                found.push((strategy, hit));
            }
        };
        for (strategy, phrases) in ROWS {
            let mut own = self.phrases.get(&strategy).into_iter().flatten();
            let published = phrases.iter().find_map(|phrase| words.find(phrase));
            add(strategy, published.or_else(|| own.find_map(|phrase| words.find(phrase))));
        }
        for (strategy, phrases) in &self.phrases {
            add(*strategy, phrases.iter().find_map(|phrase| words.find(phrase)));
        }
        add(Strategy::PainPointFix, words.find_need());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::{CODES, Match, ROWS, Said, Tables};
    use crate::strategy::Strategy::{self, *};
    use std::collections::BTreeMap;

    fn published() -> Tables {
        Tables::new(&BTreeMap::new(), &BTreeMap::new()).unwrap()
    }

    fn said(reason: &str) -> Said<'_> {
        Said { reason: Some(reason), ..Said::default() }
    }

    fn by_code(code: &str) -> Match {
        Match::Code(code.to_owned())
    }

    fn by_words(words: &str) -> Match {
        Match::Keyword(words.to_owned())
    }

    #[test]
    fn every_keyword_of_the_published_table_leads_to_its_strategy() {
        let table = [
            (Discount, &["too expensive", "cost", "price"][..]),
            (UnusedFeature, &["not using", "don't use"]),
            (PainPointFix, &["missing feature", "need dashboards"]),
            (ValueRecap, &["switching", "competitor", "alternative"]),
            (PauseOption, &["temporary", "pause", "break"]),
            (FounderEmail, &["bad experience", "bug", "broken"]),
        ];
        assert_eq!(table.len(), ROWS.len());
        for (strategy, keywords) in table {
            for keyword in keywords {
                for text in [keyword.to_string(), keyword.to_uppercase(), format!("well, {keyword}!")] {
                    let reading = published().read(said(&text));
                    assert_eq!((reading.primary, reading.matched), (strategy, by_words(keyword)), "{text}");
                    assert!(reading.also.is_empty(), "{text}");
                }
            }
        }
    }

    #[test]
    fn reasons_as_people_write_them() {
        let cases = [
            ("It's a bit pricey for us", Discount, by_words("pricey")),
            ("costs more than it saves", Discount, by_words("costs")),
            ("we shop at Costco anyway", FeedbackRequest, Match::Fallback),
            ("no budget this year", FeedbackRequest, Match::Fallback),
            ("I don\u{2019}t use it", UnusedFeature, by_words("don't use")),
            ("I don\u{2019}t need it", FeedbackRequest, Match::Fallback),
            ("need a break", PauseOption, by_words("break")),
            ("we need a cheaper price", Discount, by_words("price")),
            ("the app breaks daily", FeedbackRequest, Match::Fallback),
            ("buggy and broken", FounderEmail, by_words("buggy")),
            ("no reason", FeedbackRequest, Match::Fallback),
            ("", FeedbackRequest, Match::Fallback),
            (" \u{a0}\n", FeedbackRequest, Match::Fallback),
            ("trop cher", FeedbackRequest, Match::Fallback),
            ("\u{8cbb}\u{7528}", FeedbackRequest, Match::Fallback),
            ("unspecified", FeedbackRequest, Match::Fallback),
            ("cost: too high", Discount, by_words("cost")),
            ("cost_too_high", Discount, by_words("cost")),
            ("missing_feature", PainPointFix, by_words("missing feature")),
            ("switched_to_competitor", ValueRecap, by_words("competitor")),
            ("FOUND_ALTERNATIVE", ValueRecap, by_words("alternative")),
        ];
        for (text, strategy, matched) in cases {
            let reading = published().read(said(text));
            assert_eq!((reading.primary, reading.matched), (strategy, matched), "{text:?}");
        }
    }

    #[test]
    fn a_code_comes_before_keywords_but_other_leaves_them_the_choice() {
        for (code, strategy) in CODES {
            let reading = published().read(said(code));
            assert_eq!((reading.primary, reading.matched), (strategy, by_code(code)));
        }
        let cases = [
            ("missing_features", UnusedFeature, by_code("missing_features")),
            ("missing feature", PainPointFix, by_words("missing feature")),
            (" Poor_Support : broken promises", FounderEmail, by_code("poor_support")),
            ("not_using_enough: we need a break", ValueRecap, by_code("not_using_enough")),
            ("other", FeedbackRequest, by_code("other")),
            ("other: hmm", FeedbackRequest, by_code("other")),
            ("OTHER: going with a competitor", ValueRecap, by_words("competitor")),
        ];
        for (text, strategy, matched) in cases {
            let reading = published().read(said(text));
            assert_eq!((reading.primary, reading.matched), (strategy, matched), "{text}");
        }
    }

    #[test]
    fn the_code_of_the_normalizer_and_the_comment_count_too() {
        let read = |reason, code, comment| {
            let reading = published().read(Said { reason, code, comment });
            (reading.primary, reading.matched, reading.also)
        };
        assert_eq!(
            read(Some("PRICE_INCREASE"), Some("price_increase"), None),
            (Discount, by_code("price_increase"), vec![])
        );
        assert_eq!(
            read(Some("7: gone"), Some("low_quality"), None),
            (PainPointFix, by_code("low_quality"), vec![])
        );
        assert_eq!(
            read(Some("too_expensive"), Some("too_expensive"), Some("we need SSO")),
            (Discount, by_code("too_expensive"), vec![(PainPointFix, "need sso".to_owned())])
        );
        assert_eq!(
            read(Some("other"), Some("other"), Some("far too expensive")),
            (Discount, by_words("too expensive"), vec![])
        );
        let twice = "the price, and bugs";
        assert_eq!(
            read(Some(twice), None, Some(twice)),
            (Discount, by_words("price"), vec![(FounderEmail, "bugs".to_owned())])
        );
        let code = "missing_features";
        assert_eq!(read(Some(code), Some(code), Some(code)), (UnusedFeature, by_code(code), vec![]));
        assert_eq!(read(None, Some("unspecified"), None), (FeedbackRequest, Match::Fallback, vec![]));
        assert_eq!(read(None, None, None), (FeedbackRequest, Match::Fallback, vec![]));
        assert_eq!(read(Some("other: x"), Some("unused"), None), (ValueRecap, by_code("unused"), vec![]));
    }

    #[test]
    fn several_matches_stand_in_the_order_of_the_table() {
        let reading = published().read(said("Switching: the price, bugs, and we need exports"));
        assert_eq!(reading.primary, Discount);
        let also: Vec<Strategy> = reading.also.iter().map(|(strategy, _)| *strategy).collect();
        assert_eq!(also, [ValueRecap, FounderEmail, PainPointFix]);
    }

    #[test]
    fn tables_are_replaced_and_extended_by_configuration() {
        let codes =
            BTreeMap::from([("Relocated".to_owned(), PauseOption), ("other".to_owned(), FounderEmail)]);
        let phrases = BTreeMap::from([
            (Discount, vec!["Zu Teuer".to_owned()]),
            (SocialProof, vec!["what others|peers do".to_owned()]),
        ]);
        let tables = Tables::new(&codes, &phrases).unwrap();
        let cases = [
            ("relocated: Berlin", PauseOption, by_code("relocated")),
            ("other", FounderEmail, by_code("other")),
            ("too_expensive", Discount, by_code("too_expensive")),
            ("viel zu teuer!", Discount, by_words("zu teuer")),
            ("what peers do", SocialProof, by_words("what peers do")),
        ];
        for (text, strategy, matched) in cases {
            let reading = tables.read(said(text));
            assert_eq!((reading.primary, reading.matched), (strategy, matched), "{text}");
        }
    }

    #[test]
    fn the_reason_vectors_hold() {
        #[derive(serde::Deserialize)]
        struct Vectors {
            vectors: Vec<Vector>,
        }
        #[derive(serde::Deserialize)]
        struct Vector {
            cancel_reason: Option<String>,
            expected: Expected,
        }
        #[derive(serde::Deserialize)]
        struct Expected {
            strategy: Strategy,
            by: String,
            value: Option<String>,
        }
        let Some(dir) = std::env::var_os("BILLHOOK_PROVIDERS_DIR") else {
            println!("skipped: BILLHOOK_PROVIDERS_DIR is not set");
            return;
        };
        let file = std::path::Path::new(&dir).join("windback/reason-vectors.json");
        let vectors: Vectors = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert_eq!(vectors.vectors.len(), 45);
        for Vector { cancel_reason: reason, expected } in vectors.vectors {
            let reading = published().read(Said { reason: reason.as_deref(), ..Said::default() });
            let (by, value) = match reading.matched {
                Match::Code(code) => ("code", Some(code)),
                Match::Keyword(words) => ("keyword", Some(words)),
                Match::Fallback => ("fallback", None),
            };
            assert_eq!(
                (reading.primary, by, value),
                (expected.strategy, expected.by.as_str(), expected.value),
                "{reason:?}"
            );
        }
    }
}
