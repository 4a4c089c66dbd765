//! Paths below an endpoint's own, which a transform may set.

/// The longest path and query.
const BYTES_MAX: usize = 4 << 10;

/// Whether path and query stay below whatever they are put after.
///
/// # Errors
/// Says why they do not, or are not written as in a URL.
pub fn check(path: &str) -> Result<(), String> {
    let shown = || path.chars().take(200).collect::<String>().escape_default().to_string();
    if path.len() > BYTES_MAX {
        return Err(format!("a path of {} bytes is longer than {BYTES_MAX}", path.len()));
    }
    if !path.starts_with('/') || path.starts_with("//") {
        return Err(format!("`{}` does not begin with one `/`", shown()));
    }
    if let Some(wrong) = path.chars().find(|c| !c.is_ascii_graphic() || "#\\".contains(*c)) {
        return Err(format!("`{}` has {wrong:?}: write it as in a URL, without a fragment", shown()));
    }
    // A URL's reader takes `%2e` for a dot, and some receivers undo `%2f` and `%5c` before they look.
    let (segments, _query) = path.split_once('?').unwrap_or((path, ""));
    let plain = segments.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    if plain.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err(format!("`{}` has a segment of dots, which leads elsewhere", shown()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_lead_elsewhere_or_are_none_are_refused() {
        for path in ["/", "/a", "/a//b", "/@b.example", "/a/b.c/..d?x=../y", "/%20?q"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        let long = format!("/{}", "a".repeat(BYTES_MAX));
        let cases: [(&[&str], &str); 4] = [
            (&["", "a", "?q", "//b.example/", "https://b.example/"], "does not begin with one `/`"),
            (&["/a\\..", "/a b", "/a#b", "/\u{e9}", "/a\n"], "write it as in a URL"),
            (
                &[
                    "/..",
                    "/.",
                    "/a/../b",
                    "/%2e",
                    "/a/%2E%2e",
                    "/a/.%2e?q",
                    "/..%2fa",
                    "/a/..%5cb",
                    "/%2e%2e%2fb",
                ],
                "segment of dots",
            ),
            (&[&long], "longer than 4096"),
        ];
        for (refused, why) in cases {
            for path in refused {
                assert!(check(path).unwrap_err().contains(why), "{path}");
            }
        }
    }
}
