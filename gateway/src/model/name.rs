//! What sources, endpoints, plugins and secrets can be called.

use billhook_event::pattern::is_provider;

/// The longest name.
pub const NAME_MAX: usize = 64;

/// Whether a text can be a name: 1 to 64 of `a-z`, `0-9`, `-` and `_`.
pub fn is_name(text: &str) -> bool {
    text.len() <= NAME_MAX && is_provider(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_of_few_letters() {
        let longest = "a".repeat(NAME_MAX);
        for name in ["a", "0", "-", "my-app_2", &longest] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "A", "a b", "a.b", "../a", "é", &format!("{longest}a")] {
            assert!(!is_name(name), "{name}");
        }
    }
}
