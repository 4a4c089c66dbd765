//! Reads a TOML tree that knows its lines, and goes on after a mistake: whatever is wrong is noted with its key, its
//! line and a remedy, and the reader answers `None`. Nothing noted is lost, so one run reports all.

use crate::config::environment::{DOCUMENTED, Environment};
use crate::config::mistake::{At, Mistake, quote};
use crate::model::words::{all_of, any_of, did_you_mean, nearest};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// What is said of a key or variable that nobody asked for.
pub(super) const UNKNOWN: &str = "no setting has this name";
/// What is said of a key that has to be there.
pub(super) const MISSING: &str = "is missing";

/// What the tables and items of one run share.
pub(super) struct Reader<'a> {
    /// What relative paths in the file are relative to.
    pub(super) base: &'a Path,
    pub(super) environment: &'a Environment,
    line_starts: Vec<usize>,
    mistakes: RefCell<Vec<Mistake>>,
    /// What is no mistake and has no effect.
    idle: RefCell<Vec<Mistake>>,
    /// The variables that stand for a setting, or that a secret names.
    variables: RefCell<BTreeSet<String>>,
}

/// A table, and which of its keys have been asked for.
pub(super) struct Table<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// Such as `source[1].auth`; empty for the whole file.
    pub(super) key: String,
    pub(super) at: At,
    entries: Option<&'a DeTable<'a>>,
    /// What counts where `entries` are silent.
    preset: Option<&'a DeTable<'a>>,
    /// Whether variables can set its scalars: not inside arrays of tables.
    open: bool,
    known: BTreeSet<&'static str>,
}

/// A value somebody wrote.
pub(super) struct Item<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) key: String,
    pub(super) at: At,
    written: Written<'a>,
}

#[derive(Clone, Copy)]
enum Written<'a> {
    File(&'a DeValue<'a>),
    Variable(&'a str),
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &str, base: &'a Path, environment: &'a Environment) -> Reader<'a> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let (mistakes, idle, variables) = (RefCell::default(), RefCell::default(), RefCell::default());
        Reader {
            base,
            environment,
            line_starts: std::iter::once(0).chain(ends).collect(),
            mistakes,
            idle,
            variables,
        }
    }

    /// Where a span of the text begins.
    pub(super) fn at(&self, span: Range<usize>) -> At {
        At::Line(self.line_starts.partition_point(|start| *start <= span.start).max(1))
    }

    pub(super) fn note(&self, at: At, key: &str, wrong: impl Into<String>, remedy: impl Into<String>) {
        let mistake = Mistake { at, key: key.to_owned(), wrong: wrong.into(), remedy: remedy.into() };
        self.mistakes.borrow_mut().push(mistake);
    }

    /// Notes what has no effect.
    pub(super) fn note_idle(&self, at: At, key: &str, wrong: impl Into<String>, remedy: impl Into<String>) {
        let idle = Mistake { at, key: key.to_owned(), wrong: wrong.into(), remedy: remedy.into() };
        self.idle.borrow_mut().push(idle);
    }

    /// What has no effect, in the order of the file.
    pub(super) fn idle(&self) -> Vec<Mistake> {
        let mut idle = self.idle.take();
        idle.sort_by(|a, b| a.at.cmp(&b.at));
        idle
    }

    /// Whether a mistake was noted of a key that ends so.
    pub(super) fn has_noted(&self, end: &str) -> bool {
        self.mistakes.borrow().iter().any(|mistake| mistake.key.ends_with(end))
    }

    /// Says that the variable `name` has a meaning.
    pub(super) fn knows_variable(&self, name: &str) {
        self.variables.borrow_mut().insert(name.to_owned());
    }

    /// The table of the whole file.
    pub(super) fn root(&'a self, entries: &'a DeTable<'a>) -> Table<'a> {
        let (key, known) = (String::new(), BTreeSet::new());
        Table { reader: self, key, at: At::File, entries: Some(entries), preset: None, open: true, known }
    }

    /// Refuses the `BILLHOOK_` variables that nothing asked for. To be called when all has been read.
    pub(super) fn refuse_unknown_variables(&self) {
        let variables = self.variables.borrow();
        let known = || variables.iter().map(String::as_str).chain(DOCUMENTED.map(|(name, _)| name));
        for name in self.environment.ours().filter(|name| !known().any(|known| known == *name)) {
            let remedy = did_you_mean(name, known(), || {
                "unset it: variables set scalars outside arrays of tables, as `BILLHOOK_INGEST__LISTEN` sets `ingest.listen`"
                    .to_owned()
            });
            self.note(At::Variable(name.to_owned()), "", UNKNOWN, remedy);
        }
    }

    /// Every mistake, in the order of the file and then of the environment.
    pub(super) fn into_mistakes(self) -> Vec<Mistake> {
        let mut mistakes = self.mistakes.into_inner();
        mistakes.sort_by(|a, b| a.at.cmp(&b.at));
        mistakes
    }
}

impl<'a> Table<'a> {
    /// The value of `name`, if it was written; what a variable says comes before what the file says.
    pub(super) fn item(&mut self, name: &'static str) -> Option<Item<'a>> {
        self.known.insert(name);
        if self.open
            && let Some(item) = self.variable(name)
        {
            return Some(item);
        }
        self.in_file(name)
    }

    /// The value of `name`; a mistake if it was not written.
    pub(super) fn required(&mut self, name: &'static str, remedy: &str) -> Option<Item<'a>> {
        let item = self.item(name);
        if item.is_none() {
            self.missing(name, remedy);
        }
        item
    }

    /// Notes that `name` is not there.
    pub(super) fn missing(&self, name: &str, remedy: &str) {
        self.reader.note(self.at.clone(), &join(&self.key, name), MISSING, remedy);
    }

    /// The table `name`; empty if it was not written, for variables may set what is in it.
    pub(super) fn table(&mut self, name: &'static str) -> Table<'a> {
        self.known.insert(name);
        let (key, reader, open) = (join(&self.key, name), self.reader, self.open);
        match self.in_file(name).map(|item| (item.table(), item.at)) {
            Some((Some(table), _)) => Table { open, ..table },
            other => {
                let at = other.map_or(At::File, |(_, at)| at);
                Table { reader, key, at, entries: None, preset: None, open, known: BTreeSet::new() }
            }
        }
    }

    /// The tables of the array `name`, in order.
    pub(super) fn tables(&mut self, name: &'static str) -> Vec<Table<'a>> {
        self.known.insert(name);
        let Some(item) = self.in_file(name) else { return Vec::new() };
        let Written::File(DeValue::Array(array)) = item.written else {
            item.wrong(
                format!("{} stands where tables belong", item.kind()),
                format!("begin each with `[[{name}]]`"),
            );
            return Vec::new();
        };
        if array.is_empty() {
            return Vec::new();
        }
        item.items().iter().filter_map(Item::table).collect()
    }

    /// Has `preset` say what the file does not.
    pub(super) fn fill_from(&mut self, preset: &'a DeTable<'a>) {
        self.preset = Some(preset);
    }

    /// Every entry, whatever its name: for tables whose keys the operator chooses.
    pub(super) fn all(&mut self) -> Vec<(String, Item<'a>)> {
        let mut names: BTreeSet<String> =
            self.entries.into_iter().flatten().map(|(name, _)| name.get_ref().to_string()).collect();
        if self.open {
            let prefix = format!("{}__", variable_of(&self.key));
            let set = self.reader.environment.ours().filter_map(|name| name.strip_prefix(&prefix));
            names.extend(set.map(str::to_ascii_lowercase));
        }
        let entry = |name: String| {
            let item = self.open.then(|| self.variable(&name)).flatten().or_else(|| self.in_file(&name))?;
            Some((name, item))
        };
        names.into_iter().filter_map(entry).collect()
    }

    /// Refuses the keys that nobody asked for.
    pub(super) fn finish(self) {
        for (name, _) in self.entries.into_iter().flatten() {
            let written = name.get_ref().as_ref();
            if self.known.contains(written) {
                continue;
            }
            let of = if self.key.is_empty() { "here".to_owned() } else { format!("in `{}`", self.key) };
            let remedy = did_you_mean(written, self.known.iter().copied(), || {
                format!("the keys {of} are {}", all_of(self.known.iter().copied()))
            });
            self.reader.note(self.reader.at(name.span()), &join(&self.key, written), UNKNOWN, remedy);
        }
    }

    /// The value of `name` in the file, without asking for it.
    pub(super) fn peek(&self, name: &str) -> Option<Item<'a>> {
        self.in_file(name)
    }

    fn in_file(&self, name: &str) -> Option<Item<'a>> {
        let written = self.entries.and_then(|entries| entries.get(name));
        let (value, at) = match written {
            Some(value) => (value, self.reader.at(value.span())),
            None => (self.preset?.get(name)?, self.at.clone()),
        };
        Some(Item {
            reader: self.reader,
            key: join(&self.key, name),
            at,
            written: Written::File(value.get_ref()),
        })
    }

    fn variable(&self, name: &str) -> Option<Item<'a>> {
        let key = join(&self.key, name);
        let variable = variable_of(&key);
        self.reader.knows_variable(&variable);
        let value = self.reader.environment.get(&variable)?;
        Some(Item { reader: self.reader, key, at: At::Variable(variable), written: Written::Variable(value) })
    }
}

impl<'a> Item<'a> {
    /// Notes a mistake in this value.
    pub(super) fn wrong(&self, wrong: impl Into<String>, remedy: impl Into<String>) {
        self.reader.note(self.at.clone(), &self.key, wrong, remedy);
    }

    /// Notes that this value has no effect.
    pub(super) fn idle(&self, wrong: impl Into<String>, remedy: impl Into<String>) {
        self.reader.note_idle(self.at.clone(), &self.key, wrong, remedy);
    }

    /// Notes a mistake of what stands `path` below this value, at the line of as much of it as is there.
    pub(super) fn wrong_below(&self, path: &[String], wrong: &str, remedy: &str) {
        let (mut key, mut at, mut there) = (self.key.clone(), self.at.clone(), self.tree());
        for step in path {
            let found = match there {
                Some(DeValue::Array(array)) => {
                    key = format!("{key}[{step}]");
                    step.parse::<usize>().ok().and_then(|n| array.get(n))
                }
                Some(DeValue::Table(entries)) => {
                    key = join(&key, step);
                    entries.get(step.as_str())
                }
                _ => {
                    key = join(&key, step);
                    None
                }
            };
            if let Some(value) = found {
                at = self.reader.at(value.span());
            }
            there = found.map(|value| value.get_ref());
        }
        self.reader.note(at, &key, wrong, remedy);
    }

    /// The value as a string.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.as_text();
        if text.is_none() {
            self.wrong(format!("{} stands where a string belongs", self.kind()), "write it in quotes");
        }
        text
    }

    /// The value as a string, if it is one; nothing is noted if not.
    pub(super) fn as_text(&self) -> Option<&'a str> {
        match self.written {
            Written::File(DeValue::String(text)) => Some(text.as_ref()),
            Written::Variable(text) => Some(text),
            Written::File(_) => None,
        }
    }

    /// Whether it is an array.
    pub(super) fn is_list(&self) -> bool {
        matches!(self.written, Written::File(DeValue::Array(_)))
    }

    /// Whether it is a table.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.written, Written::File(DeValue::Table(_)))
    }

    /// The value as a truth value, if it is one; nothing is noted if not.
    pub(super) fn truth(&self) -> Option<bool> {
        match self.written {
            Written::File(DeValue::Boolean(truth)) => Some(*truth),
            Written::File(_) | Written::Variable(_) => None,
        }
    }

    /// The value as a whole number from `min` to `max`.
    pub(super) fn number(&self, min: u64, max: u64) -> Option<u64> {
        let number = match self.written {
            Written::Variable(text) => text.parse().ok(),
            Written::File(DeValue::Integer(number)) => {
                u64::from_str_radix(number.as_str(), number.radix()).ok()
            }
            Written::File(_) => None,
        };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.wrong("is not a number in its range", format!("write a whole number from {min} to {max}"));
        }
        number
    }

    /// The string as `parse` understands it; where it does not, "`written` is not {what}".
    pub(super) fn parsed<T, E>(
        &self,
        what: &str,
        remedy: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let Some(text) = self.as_text() else {
            self.wrong(format!("{} stands where a string belongs", self.kind()), remedy);
            return None;
        };
        let value = parse(text).ok();
        if value.is_none() {
            self.wrong(format!("{} is not {what}", quote(text)), remedy);
        }
        value
    }

    /// One of some words.
    pub(super) fn one_of<T: Clone>(&self, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let known = || words.iter().map(|(word, _)| *word);
        let choice = format!("write {}", any_of(known()));
        let remedy = nearest(text, known()).map_or(choice, |word| format!("did you mean `{word}`?"));
        self.wrong(format!("{} is not {what}", quote(text)), remedy);
        None
    }

    /// The value as a table.
    pub(super) fn table(&self) -> Option<Table<'a>> {
        let Written::File(DeValue::Table(entries)) = self.written else {
            self.wrong(
                format!("{} stands where a table belongs", self.kind()),
                "write `{ key = \"value\" }`",
            );
            return None;
        };
        let (key, at, entries) = (self.key.clone(), self.at.clone(), Some(entries));
        let known = BTreeSet::new();
        Some(Table { reader: self.reader, key, at, entries, preset: None, open: false, known })
    }

    /// The elements of an array.
    pub(super) fn items(&self) -> Vec<Item<'a>> {
        let Written::File(DeValue::Array(array)) = self.written else {
            let remedy = match self.written {
                Written::File(_) => "write `[\"...\"]`",
                Written::Variable(_) => "write it in the file: a variable holds one value",
            };
            self.wrong(format!("{} stands where a list belongs", self.kind()), remedy);
            return Vec::new();
        };
        let item = |(n, value): (usize, &'a toml::Spanned<DeValue<'a>>)| Item {
            reader: self.reader,
            key: format!("{}[{n}]", self.key),
            at: self.reader.at(value.span()),
            written: Written::File(value.get_ref()),
        };
        array.iter().enumerate().map(item).collect()
    }

    /// The elements of an array, or the value itself where it is none.
    pub(super) fn one_or_more(self) -> Vec<Item<'a>> {
        match self.written {
            Written::File(DeValue::Array(_)) => self.items(),
            _ => vec![self],
        }
    }

    /// [`Item::one_or_more`], of which there must be one: `wrong` says that there is none.
    pub(super) fn some(self, wrong: &str) -> Vec<Item<'a>> {
        let (reader, at, key) = (self.reader, self.at.clone(), self.key.clone());
        let items = self.one_or_more();
        if items.is_empty() {
            reader.note(at, &key, wrong, "give at least one");
        }
        items
    }

    /// The tree below this value.
    pub(super) fn tree(&self) -> Option<&'a DeValue<'a>> {
        match self.written {
            Written::File(value) => Some(value),
            Written::Variable(_) => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self.written {
            Written::Variable(_) | Written::File(DeValue::String(_)) => "a string",
            Written::File(DeValue::Integer(_)) => "a number",
            Written::File(DeValue::Float(_)) => "a number with a fraction",
            Written::File(DeValue::Boolean(_)) => "a truth value",
            Written::File(DeValue::Datetime(_)) => "a date",
            Written::File(DeValue::Array(_)) => "a list",
            Written::File(DeValue::Table(_)) => "a table",
        }
    }
}

fn join(table: &str, name: &str) -> String {
    // A key that TOML would quote is quoted here too, so that it reads as one key on one line.
    let bare =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let name = if bare { name.to_owned() } else { quote(name).replace('`', "\"") };
    if table.is_empty() { name } else { format!("{table}.{name}") }
}

/// `BILLHOOK_INGEST__LISTEN` for `ingest.listen`.
fn variable_of(key: &str) -> String {
    format!("BILLHOOK_{}", key.replace('.', "__").to_ascii_uppercase())
}
