//! Words that somebody may write, for a message about one that nobody knows.

/// ``did you mean `x`?`` for the known word nearest to what was written, else `otherwise`.
pub fn did_you_mean<'a>(
    written: &str,
    known: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    match nearest(written, known) {
        Some(word) => format!("did you mean `{word}`?"),
        None => otherwise(),
    }
}

/// The known word that `written` is most likely meant to be, if any is near.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer than any word we know, and the distance costs the product of both lengths.
    const COMPARED_MAX: usize = 100;
    if written.len() > COMPARED_MAX {
        return None;
    }
    let distance = |word: &str| strsim::damerau_levenshtein(&written.to_lowercase(), &word.to_lowercase());
    let near = |word: &str, distance: usize| distance <= (word.chars().count() / 3).max(1);
    let words =
        known.into_iter().map(|word| (distance(word), word)).filter(|(distance, word)| near(word, *distance));
    words.min().map(|(_, word)| word)
}

/// Words to choose from, for a message: "`a`, `b` or `c`".
pub fn any_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "or")
}

/// Words that there are, for a message: "`a`, `b` and `c`".
pub fn all_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "and")
}

fn listed<'a>(words: impl IntoIterator<Item = &'a str>, joint: &str) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {joint} {last}", others.join(", ")),
    }
}
