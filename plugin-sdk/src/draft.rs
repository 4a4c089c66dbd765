//! The last that is done to drafts before the gateway has them.

use crate::{Document, Draft, Failure};

/// The longest draft in bytes of which every text stays whole.
const WHOLE_BYTES_MAX: usize = 256 * 1024;

/// The most that all drafts of a call may be together with every text whole: a call may give a megabyte.
const TOGETHER_BYTES_MAX: usize = 900 * 1024;

/// What stays of longer ones: the next if that is not enough. What a normalizer read of the event itself is dearer than what
/// the provider sent along with it.
const STEPS: [Stays; 4] = [
    Stays { chars: 2000, previous: true, metadata: true },
    Stays { chars: 200, previous: true, metadata: true },
    Stays { chars: 200, previous: false, metadata: true },
    Stays { chars: 200, previous: false, metadata: false },
];

struct Stays {
    /// How much of each text, in characters.
    chars: usize,
    previous: bool,
    metadata: bool,
}

impl Stays {
    fn told(&self) -> String {
        let without = match (self.previous, self.metadata) {
            (true, _) => "",
            (false, true) => ", and `previous` is left out",
            (false, false) => ", and `previous` and `metadata` are left out",
        };
        format!("of each text the first {} characters stay{without}", self.chars)
    }
}

/// The JSON of drafts, of which `written` is the whole. A reason, a name or whatever else a normalizer takes over verbatim
/// may be longer than all that a call may give: of each text of such a draft, or of each draft of a batch that is too long
/// together, the beginning stays, and if need be neither its `previous` nor its `metadata`, with a warning. Drafts that are
/// still too long together are [`Failure::Invalid`]: to ask again would not make them shorter.
pub(crate) fn bounded(drafts: &mut [Draft], mut written: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
    let fit = |written: &[Vec<u8>]| {
        together(written) <= TOGETHER_BYTES_MAX && written.iter().all(|json| json.len() <= WHOLE_BYTES_MAX)
    };
    if fit(&written) {
        return Ok(written);
    }
    let whole: Vec<usize> = written.iter().map(Vec::len).collect();
    let whole_together = together(&written);
    let mut told = vec![false; written.len()];
    for stays in STEPS {
        let all = together(&written) > TOGETHER_BYTES_MAX;
        let is_long = |json: &[u8]| all || json.len() > WHOLE_BYTES_MAX;
        let each = drafts.iter_mut().zip(&mut written).zip(&whole).zip(&mut told);
        for (((draft, json), bytes), told) in each.filter(|(((_, json), _), _)| is_long(json)) {
            // What was told of it before is no longer so.
            if std::mem::replace(told, true) {
                draft.warnings.pop();
            }
            draft.warnings.push(format!(
                "it has {bytes} bytes, of {whole_together} together, which is too long: {}",
                stays.told()
            ));
            draft.previous = draft.previous.take().filter(|_| stays.previous);
            if !stays.metadata {
                draft.metadata.clear();
            }
            *json = Document::written(serde_json::to_vec(draft)?).with_texts_cut(stays.chars);
        }
        if fit(&written) {
            return Ok(written);
        }
    }
    match together(&written) {
        ..=TOGETHER_BYTES_MAX => Ok(written),
        rest => Err(Failure::Invalid(format!(
            "it gives {} events of {whole_together} bytes together, and of {rest} with what can be left out of them: a call \
             may give {TOGETHER_BYTES_MAX}, so send fewer in one body",
            drafts.len()
        ))),
    }
}

fn together(written: &[Vec<u8>]) -> usize {
    written.iter().map(Vec::len).sum()
}

#[cfg(test)]
mod tests {
    use super::{STEPS, TOGETHER_BYTES_MAX, WHOLE_BYTES_MAX, bounded};
    use crate::{Document, Draft, Failure};
    use billhook_event::Customer;

    fn all_sent(mut drafts: Vec<Draft>) -> Vec<Vec<u8>> {
        let written = drafts.iter().map(|draft| serde_json::to_vec(draft).unwrap()).collect();
        bounded(&mut drafts, written).unwrap()
    }

    fn sent(draft: Draft) -> Draft {
        serde_json::from_slice(&all_sent(vec![draft])[0]).unwrap()
    }

    fn named(name: String, email: &str) -> Draft {
        let customer = Customer { name: Some(name), email: Some(email.to_owned()), ..Customer::default() };
        Draft { kind: "customer.created".to_owned(), customer: Some(customer), ..Draft::default() }
    }

    #[test]
    fn a_draft_of_usual_length_stays_as_it_is() {
        let name = "n".repeat(WHOLE_BYTES_MAX / 2);
        let draft = sent(named(name.clone(), "a@b.c"));
        assert_eq!(draft.customer.unwrap().name, Some(name));
        assert!(draft.warnings.is_empty());
    }

    #[test]
    fn of_the_texts_of_a_long_one_the_beginning_stays() {
        for text in ["x", "é", "\"", "\n", "\u{1}", "\u{1f600}"] {
            let mut draft = named(text.repeat(1_200_000), "a@b.c");
            draft.metadata.insert(text.repeat(5000), "kept".to_owned());
            let previous = br#"{"amount":0.10000000000000000000001,"odd":"\ud800"}"#;
            draft.previous = Some(Document::parse(previous).unwrap().json().to_raw());
            let draft = sent(draft);
            let customer = draft.customer.unwrap();
            assert_eq!(customer.name, Some(text.repeat(STEPS[0].chars)));
            assert_eq!(customer.email.as_deref(), Some("a@b.c"));
            assert_eq!(draft.metadata[&text.repeat(STEPS[0].chars)], "kept");
            assert_eq!(draft.previous.unwrap().get().as_bytes(), previous);
            assert!(draft.warnings[0].ends_with("of each text the first 2000 characters stay"));
        }
    }

    #[test]
    fn a_batch_that_is_too_long_together_is_cut_until_it_fits() {
        for (n, chars, kept) in [(100, 5_000, 5_000), (100, 30_000, 2000), (500, 30_000, 200)] {
            let written = all_sent(vec![named("n".repeat(chars), "a@b.c"); n]);
            assert!(written.iter().map(Vec::len).sum::<usize>() <= TOGETHER_BYTES_MAX);
            for json in written {
                let draft: Draft = serde_json::from_slice(&json).unwrap();
                assert_eq!(draft.customer.unwrap().name.unwrap().len(), kept);
                assert_eq!(draft.warnings.is_empty(), kept == chars);
            }
        }
    }

    #[test]
    fn what_the_provider_sent_along_is_left_out_where_cut_texts_are_not_enough() {
        let numbers = format!("[0{}]", ",0".repeat(500));
        let previous = Document::parse(numbers.as_bytes()).unwrap().json().to_raw();
        for (n, entries, is_with) in
            [(100, 50, (true, true)), (900, 5, (false, true)), (900, 50, (false, false))]
        {
            let mut draft = named("Ada".to_owned(), "a@b.c");
            draft.metadata = (0..entries).map(|n| (format!("k{n}"), "v".repeat(20))).collect();
            draft.previous = Some(previous.clone());
            let written = all_sent(vec![draft; n]);
            assert!(written.iter().map(Vec::len).sum::<usize>() <= TOGETHER_BYTES_MAX);
            for json in written {
                let draft: Draft = serde_json::from_slice(&json).unwrap();
                assert_eq!(draft.customer.unwrap().name.as_deref(), Some("Ada"));
                assert_eq!((draft.previous.is_some(), !draft.metadata.is_empty()), is_with);
                let told = match is_with {
                    (true, _) => None,
                    (false, true) => Some("200 characters stay, and `previous` is left out"),
                    (false, false) => Some("stay, and `previous` and `metadata` are left out"),
                };
                assert_eq!(draft.warnings.len(), told.iter().count(), "{:?}", draft.warnings);
                assert!(told.is_none_or(|told| draft.warnings[0].ends_with(told)), "{:?}", draft.warnings);
            }
        }
    }

    #[test]
    fn what_cannot_be_made_to_fit_is_invalid() {
        let mut drafts = vec![named("\u{1}".repeat(200), "a@b.c"); 1000];
        let written = drafts.iter().map(|draft| serde_json::to_vec(draft).unwrap()).collect();
        let Err(Failure::Invalid(why)) = bounded(&mut drafts, written) else { panic!("it fits") };
        assert!(
            why.starts_with("it gives 1000 events of 1") && why.ends_with("so send fewer in one body"),
            "{why}"
        );
    }
}
