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

/// Every mistake of one run, or all that has no effect, in the order of the file and then of the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Mistakes {
    /// The file, if one was read.
    pub file: Option<PathBuf>,
    /// At least one, where it is an error.
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
