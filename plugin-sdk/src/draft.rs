//! The last that is done to drafts before the gateway has them.

use crate::{Document, Draft, Failure};

/// The longest draft in bytes of which every text stays whole.
const WHOLE_BYTES_MAX: usize = 256 * 1024;

/// The most that all drafts of a call may be together with every text whole: a call may give a megabyte.
const TOGETHER_BYTES_MAX: usize = 900 * 1024;

/// How much of each text of longer ones stays, in characters: what of these is enough.
const TEXT_CHARS_MAX: [usize; 2] = [2000, 200];

/// The JSON of drafts, of which `written` is the whole. A reason, a name or whatever else a normalizer takes over verbatim
/// may be longer than all that a call may give: of each text of such a draft, or of each draft of a batch that is too long
/// together, the beginning stays, with a warning.
pub(crate) fn bounded(drafts: &mut [Draft], mut written: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Failure> {
    let is_long = |json: &Vec<u8>| json.len() > WHOLE_BYTES_MAX;
    for chars in TEXT_CHARS_MAX {
        let together: usize = written.iter().map(Vec::len).sum();
        let all = together > TOGETHER_BYTES_MAX;
        if !all && !written.iter().any(is_long) {
            break;
        }
        for (draft, json) in drafts.iter_mut().zip(&mut written).filter(|(_, json)| all || is_long(json)) {
            draft.warnings.push(format!(
                "it has {} bytes, of {together} together, which is too long: of each text the first {chars} characters stay",
                json.len()
            ));
            *json = Document::written(serde_json::to_vec(draft)?).with_texts_cut(chars);
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::{TEXT_CHARS_MAX, TOGETHER_BYTES_MAX, WHOLE_BYTES_MAX, bounded};
    use crate::{Document, Draft};
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
            assert_eq!(customer.name, Some(text.repeat(TEXT_CHARS_MAX[0])));
            assert_eq!(customer.email.as_deref(), Some("a@b.c"));
            assert_eq!(draft.metadata[&text.repeat(TEXT_CHARS_MAX[0])], "kept");
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
}
