//! Patterns that pick events by type: what an endpoint subscribes to, and what a filter asks for.
//!
//! A pattern is a canonical type, `family.*`, `*` (everything but `provider.*`), `provider/NAME` by the provider's own
//! event name, or `provider/*`: everything of that provider, also what has no canonical type. `*` stands for no part of a
//! name.

use crate::kind::{KINDS, is_known};

/// Whether `pattern` picks an event of the canonical type `kind`, which `provider` calls `name`.
pub fn matches(pattern: &str, kind: &str, provider: &str, name: &str) -> bool {
    if let Some((of, named)) = pattern.split_once('/') {
        return of == provider && (named == "*" || named == name);
    }
    match pattern.strip_suffix('*') {
        Some("") => !kind.starts_with("provider."),
        Some(family) => kind.starts_with(family),
        None => pattern == kind,
    }
}

/// Why `pattern` can never match, if so, and what to write.
pub fn problem(pattern: &str) -> Option<String> {
    if pattern == "*" || is_known(pattern) {
        return None;
    }
    let remedy = match (pattern.split_once('/'), pattern.split_once('.')) {
        (Some((provider, name)), _) if is_provider(provider) => match name {
            "*" => return None,
            "" => "write a provider's own name of an event behind it, or `*` for all of them".to_owned(),
            _ if !name.contains('*') => return None,
            _ => format!(
                "`*` stands for no part of a name; write each name whole, or `{provider}/*` for all of them"
            ),
        },
        (Some(_), _) => "a provider's name is of a-z, 0-9, `-` and `_`".to_owned(),
        (None, Some((family, "*"))) if of_family(family).next().is_some() => return None,
        (None, Some((family, _))) if of_family(family).next().is_some() => {
            let kinds: Vec<_> = of_family(family).map(|kind| format!("`{kind}`")).collect();
            format!("write `{family}.*`, or of it one of {}", kinds.join(", "))
        }
        (None, _) => "write a canonical type, `family.*`, `*`, `provider/NAME` or `provider/*`".to_owned(),
    };
    Some(format!("`{pattern}` matches no event: {remedy}"))
}

/// Whether a source can have a provider of this name: of `a-z`, `0-9`, `-` and `_`.
pub fn is_provider(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.bytes().all(fits)
}

/// The canonical types of a family.
fn of_family(family: &str) -> impl Iterator<Item = &'static str> {
    let is_of = move |kind: &&str| kind.split_once('.').is_some_and(|(of, _)| of == family);
    KINDS.iter().copied().filter(is_of)
}

#[cfg(test)]
mod tests {
    use super::{matches, problem};
    use crate::kind::KINDS;

    #[test]
    fn what_can_match_is_no_problem() {
        let usual = ["*", "invoice.*", "provider.*", "acme/*", "acme/bill:settled", "a-c_3/x", "acme/a/b"];
        for pattern in usual.iter().chain(KINDS) {
            assert_eq!(problem(pattern), None, "{pattern}");
        }
    }

    #[test]
    fn what_can_never_match_is_told_with_what_to_write() {
        let whole = "write each name whole, or `stripe/*` for all of them";
        let cases = [
            ("stripe/invoice.*", whole),
            ("stripe/*.paid", whole),
            ("stripe/**", whole),
            ("stripe/", "write a provider's own name of an event behind it, or `*`"),
            ("Stripe/*", "a provider's name is of a-z"),
            ("*/invoice.paid", "a provider's name is of a-z"),
            (
                "refund.payed",
                "write `refund.*`, or of it one of `refund.created`, `refund.succeeded`, `refund.failed`, ",
            ),
            ("invoice.pa*", "write `invoice.*`, or of it one of "),
            ("invoice.", "write `invoice.*`, or of it one of "),
            ("inv.*", "write a canonical type, `family.*`, `*`, `provider/NAME` or `provider/*`"),
            ("invoice", "write a canonical type"),
            ("invoice*", "write a canonical type"),
            ("", "write a canonical type"),
        ];
        for (pattern, remedy) in cases {
            let told = problem(pattern).unwrap();
            assert!(
                told.starts_with(&format!("`{pattern}` matches no event: ")) && told.contains(remedy),
                "{told}"
            );
        }
        assert!(!matches("stripe/invoice.*", "invoice.paid", "stripe", "invoice.paid"));
    }
}
