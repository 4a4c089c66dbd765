//! What is wrong with a configuration, said so that it can be mended without asking anybody.

use std::fmt;
use std::path::PathBuf;

/// One mistake. No text in it holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it is.
    pub at: At,
    /// The key it is about, such as `source[1].auth.secret` (counted from 0); empty where the text is not TOML.
    pub key: String,
    /// What is wrong, quoting what was written unless that is a secret.
    pub wrong: String,
    /// What to do about it.
    pub remedy: String,
}

/// Where a mistake is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum At {
    /// The file as a whole.
    File,
    /// A line of the file, from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
}

impl At {
    /// The line of the file, if it is one.
    pub fn line(&self) -> Option<usize> {
        match self {
            At::Line(line) => Some(*line),
            At::File | At::Variable(_) => None,
        }
    }
}

/// Every mistake of one run, in the order of the file and then of the environment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// The file, if one was read.
    pub file: Option<PathBuf>,
    /// At least one.
    pub list: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    /// One line for each: `billhook.toml:3: ingest.listen: what is wrong; what to do`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.as_ref().map_or("configuration".into(), |file| file.display().to_string());
        for (n, mistake) in self.list.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            match &mistake.at {
                At::File => write!(f, "{file}: ")?,
                At::Line(line) => write!(f, "{file}:{line}: ")?,
                At::Variable(name) => write!(f, "{name}: ")?,
            }
            if !mistake.key.is_empty() {
                write!(f, "{}: ", mistake.key)?;
            }
            write!(f, "{}; {}", mistake.wrong, mistake.remedy)?;
        }
        Ok(())
    }
}

/// What was written, for a message: between backticks, on one line, cut to 60 characters.
pub(super) fn quote(written: &str) -> String {
    const SHOWN_MAX: usize = 60;
    let mut shown: String = written.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if written.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// ``did you mean `x`?`` for the known word nearest to what was written, else `otherwise`.
pub(super) fn did_you_mean<'a>(
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
pub(super) fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
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
pub(super) fn any_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "or")
}

/// Words that there are, for a message: "`a`, `b` and `c`".
pub(super) fn all_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
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
