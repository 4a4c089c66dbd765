//! The last that is done to a draft before the gateway has it.

use crate::{Document, Draft, Failure};

/// The longest draft in bytes of which every text stays whole. A call may give a megabyte in all.
const WHOLE_BYTES_MAX: usize = 256 * 1024;

/// How much of each text of a longer one stays, in characters.
const TEXT_CHARS_MAX: usize = 2000;

/// The JSON of a draft, of which `json` is the whole. A reason, a name or whatever else a normalizer takes over verbatim
/// may be longer than all that a call may give: of each text of such a draft the beginning stays, with a warning.
pub(crate) fn bounded(draft: &mut Draft, json: Vec<u8>) -> Result<Vec<u8>, Failure> {
    if json.len() <= WHOLE_BYTES_MAX {
        return Ok(json);
    }
    draft.warnings.push(format!(
        "the draft has {} bytes, more than {WHOLE_BYTES_MAX}: of each text the first {TEXT_CHARS_MAX} characters stay",
        json.len()
    ));
    Ok(Document::written(serde_json::to_vec(draft)?).with_texts_cut(TEXT_CHARS_MAX))
}

#[cfg(test)]
mod tests {
    use super::{TEXT_CHARS_MAX, WHOLE_BYTES_MAX, bounded};
    use crate::{Document, Draft};
    use billhook_event::Customer;

    fn sent(mut draft: Draft) -> Draft {
        let json = serde_json::to_vec(&draft).unwrap();
        serde_json::from_slice(&bounded(&mut draft, json).unwrap()).unwrap()
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
            assert_eq!(customer.name, Some(text.repeat(TEXT_CHARS_MAX)));
            assert_eq!(customer.email.as_deref(), Some("a@b.c"));
            assert_eq!(draft.metadata[&text.repeat(TEXT_CHARS_MAX)], "kept");
            assert_eq!(draft.previous.unwrap().get().as_bytes(), previous);
            assert!(draft.warnings[0].ends_with("of each text the first 2000 characters stay"));
        }
    }
}
