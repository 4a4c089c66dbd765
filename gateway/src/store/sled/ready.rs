//! Who works on what, and what was just committed, in memory: a process that dies holds nothing.
//!
//! A *line* is the rows of one index in the order in which they are due: all webhooks, or one lane of an endpoint.
//! Each row of it is held by a worker, or *ready* here to be handed out, or *unread*: only the store knows it. A line
//! remembers when the first of its unread rows may be due, which may be too early and is never too late. So what was
//! just committed is not read back, a line is read only when it has due work that is not in memory, and rows that
//! are held are passed over once a read and not at every look.
//!
//! What is ready is bounded; beyond that rows stay unread, in their order.

use crate::store::StoreError;
use billhook_event::Time;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most rows of one line that are ready.
const LINE_ROWS_MAX: usize = 1024;
/// Most rows of all lines that are ready, and most bytes: when there are more, the line that waits longest is unread
/// again.
const ROWS_MAX: usize = 4096;
const BYTES_MAX: usize = 16 << 20;
/// Most rows that one read makes ready; it ends early after so many bytes.
const READ_ROWS_MAX: usize = 256;
const READ_BYTES_MAX: usize = 1 << 20;

/// Lines named `L` of things named `K`. `M` tells one lease of a thing from a later one, once the thing has moved
/// on; `T` is what a worker is handed.
pub(super) struct Ready<L, K, M, T> {
    /// Locked for a few looks and changes each time, never while the store is read.
    inner: Mutex<Inner<L, K, M, T>>,
}

struct Inner<L, K, M, T> {
    /// What is ready or handed out.
    held: HashMap<K, Held<L, M>>,
    lines: BTreeMap<L, Line<K, T>>,
    rows: usize,
    bytes: usize,
}

struct Held<L, M> {
    line: L,
    due: Time,
    /// `None` while it is being read.
    mark: Option<M>,
}

struct Line<K, T> {
    ready: VecDeque<Row<K, T>>,
    /// No unread row is due before.
    unread: Option<Time>,
}

/// A row that can be handed out.
pub(super) struct Row<K, T> {
    pub(super) key: K,
    pub(super) due: Time,
    /// About how much memory it takes.
    pub(super) bytes: usize,
    pub(super) what: T,
}

impl<L: Copy + Ord, K: Copy + Eq + Hash, M: PartialEq, T> Ready<L, K, M, T> {
    /// With the lines that have rows in the store, and when the first of each is due.
    pub(super) fn new(unread: impl IntoIterator<Item = (L, Time)>) -> Ready<L, K, M, T> {
        let mut inner = Inner { held: HashMap::new(), lines: BTreeMap::new(), rows: 0, bytes: 0 };
        unread.into_iter().for_each(|(line, due)| inner.see(line, due));
        Ready { inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner<L, K, M, T>> {
        // No holder panics: each only moves values between maps.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A row was committed: makes it ready, or leaves it unread when there is no room or others are before it.
    pub(super) fn committed(&self, line: L, mark: M, row: Row<K, T>) {
        let mut inner = self.inner();
        if inner.held.contains_key(&row.key) {
            // A read was faster.
            return;
        }
        inner.make_room(row.bytes, None);
        let of = inner.line(line);
        let is_first = of.unread.is_none_or(|unread| unread > row.due);
        if is_first && of.ready.len() < LINE_ROWS_MAX {
            inner.held.insert(row.key, Held { line, due: row.due, mark: Some(mark) });
            inner.push(line, row);
        } else {
            inner.see(line, row.due);
        }
    }

    /// There is a row in the store that is due then and that nobody holds.
    pub(super) fn unread(&self, line: L, due: Time) {
        self.inner().see(line, due);
    }

    /// Hands out up to `n` rows that are due, up to where an unread one may come first.
    pub(super) fn take(&self, line: L, now: Time, n: usize) -> Vec<T> {
        let mut inner = self.inner();
        let Some(of) = inner.lines.get_mut(&line) else { return Vec::new() };
        let until = of.unread.map_or(now, |unread| unread.min(now));
        let due = of.ready.iter().take(n).take_while(|row| row.due <= until).count();
        let taken: Vec<Row<K, T>> = of.ready.drain(..due).collect();
        inner.rows -= taken.len();
        inner.bytes -= taken.iter().map(|row| row.bytes).sum::<usize>();
        taken.into_iter().map(|row| row.what).collect()
    }

    /// Whether to read a line: something unread may be due, before all that is ready. Whoever is told so reads it.
    pub(super) fn begin_read(&self, line: L, now: Time) -> bool {
        let mut inner = self.inner();
        let Some(of) = inner.lines.get_mut(&line) else { return false };
        let first = of.ready.front().map_or(Time::MAX, |row| row.due);
        let reads = of.unread.is_some_and(|unread| unread <= now && unread < first);
        if reads {
            of.unread = None;
        }
        reads
    }

    /// Reads a line: `index` gives its rows in their order, `row` reads one of them and answers `None` if it has
    /// moved on. What cannot be read is told to `bad` and stays held until a restart: it holds up nobody else.
    pub(super) fn read(
        &self,
        line: L,
        now: Time,
        index: impl Iterator<Item = Result<(K, Time), StoreError>>,
        mut row: impl FnMut(K, Time) -> Result<Option<(M, usize, T)>, StoreError>,
        bad: impl Fn(K, StoreError),
    ) -> Result<(), StoreError> {
        let (mut rows, mut bytes) = (0, 0);
        for entry in index {
            let (key, due) = entry.inspect_err(|_| self.unread(line, now))?;
            if due > now || rows >= READ_ROWS_MAX || bytes >= READ_BYTES_MAX {
                if self.is_held(&key) {
                    continue;
                }
                self.unread(line, due);
                break;
            }
            // Held before it is read: from then on nobody else moves it.
            if !self.hold(line, key, due) {
                continue;
            }
            match row(key, due) {
                Ok(Some((mark, size, what))) => {
                    (rows, bytes) = (rows + 1, bytes + size);
                    self.keep(line, mark, Row { key, due, bytes: size, what });
                }
                Ok(None) => {
                    self.inner().held.remove(&key);
                }
                Err(error) => bad(key, error),
            }
        }
        Ok(())
    }

    /// Takes a row from the workers until it is freed; false: one of them has it.
    pub(super) fn seize(&self, line: L, key: K, due: Time) -> bool {
        let mut inner = self.inner();
        if inner.held.contains_key(&key) {
            let ready = &mut inner.line(line).ready;
            let Some(at) = ready.iter().position(|row| row.key == key) else { return false };
            let bytes = ready.remove(at).map_or(0, |row| row.bytes);
            (inner.rows, inner.bytes) = (inner.rows - 1, inner.bytes - bytes);
        }
        inner.held.insert(key, Held { line, due, mark: None });
        true
    }

    fn is_held(&self, key: &K) -> bool {
        self.inner().held.contains_key(key)
    }

    fn hold(&self, line: L, key: K, due: Time) -> bool {
        let mut inner = self.inner();
        let free = !inner.held.contains_key(&key);
        if free {
            inner.held.insert(key, Held { line, due, mark: None });
        }
        free
    }

    fn keep(&self, line: L, mark: M, row: Row<K, T>) {
        let mut inner = self.inner();
        if let Some(held) = inner.held.get_mut(&row.key) {
            held.mark = Some(mark);
            inner.make_room(row.bytes, Some(line));
            inner.push(line, row);
        }
    }

    /// Gives a lease back: the row is unread, as it was.
    pub(super) fn free(&self, key: &K) {
        let mut inner = self.inner();
        if let Some(Held { line, due, .. }) = inner.held.remove(key) {
            inner.see(line, due);
        }
    }

    /// Gives a lease back if it is still this one and not a later one of somebody else. `again`: when the row, which
    /// has moved, is due now.
    pub(super) fn free_if(&self, key: &K, mark: &M, again: Option<Time>) {
        let mut inner = self.inner();
        if inner.held.get(key).is_some_and(|held| held.mark.as_ref() == Some(mark))
            && let Some(Held { line, .. }) = inner.held.remove(key)
            && let Some(due) = again
        {
            inner.see(line, due);
        }
    }

    /// The lines with rows that nobody works on, in order, and when the first of each may be due.
    pub(super) fn lines(&self) -> Vec<(L, Time)> {
        let mut inner = self.inner();
        inner.lines.retain(|_, line| line.unread.is_some() || !line.ready.is_empty());
        let first = |line: &Line<K, T>| {
            [line.unread, line.ready.front().map(|row| row.due)].into_iter().flatten().min()
        };
        inner.lines.iter().filter_map(|(name, line)| Some((*name, first(line)?))).collect()
    }
}

impl<L: Copy + Ord, K: Copy + Eq + Hash, M, T> Inner<L, K, M, T> {
    fn line(&mut self, line: L) -> &mut Line<K, T> {
        self.lines.entry(line).or_insert_with(|| Line { ready: VecDeque::new(), unread: None })
    }

    fn see(&mut self, line: L, due: Time) {
        let line = self.line(line);
        line.unread = Some(line.unread.map_or(due, |unread| unread.min(due)));
    }

    fn push(&mut self, line: L, row: Row<K, T>) {
        (self.rows, self.bytes) = (self.rows + 1, self.bytes + row.bytes);
        let ready = &mut self.line(line).ready;
        // At the end, unless the store gave what came late and is due early.
        let at = ready.partition_point(|before| before.due <= row.due);
        ready.insert(at, row);
    }

    /// Forgets the lines that wait longest, but for `spared`, until there is room for one more row: nobody fetches them,
    /// and the store has them.
    fn make_room(&mut self, bytes: usize, spared: Option<L>) {
        while self.rows >= ROWS_MAX || (self.rows > 0 && self.bytes + bytes > BYTES_MAX) {
            let waits = |line: &Line<K, T>| line.ready.front().map(|row| row.due);
            let others = self.lines.iter().filter(|(name, _)| Some(**name) != spared);
            let longest = others.filter_map(|(name, line)| Some((waits(line)?, *name))).min();
            let Some((due, name)) = longest else { return };
            let forgotten = std::mem::take(&mut self.line(name).ready);
            for row in forgotten {
                (self.rows, self.bytes) = (self.rows - 1, self.bytes - row.bytes);
                self.held.remove(&row.key);
            }
            self.see(name, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const NOW: Time = Time::from_secs(100);

    /// A line's rows in the store: when they are due, and their name.
    type Rows = RefCell<Vec<(u64, u32)>>;
    type Lines = Ready<u8, u32, u32, u32>;

    fn row(due: u64, key: u32) -> Row<u32, u32> {
        Row { key, due: Time::from_secs(due), bytes: 1, what: key }
    }

    /// What `n` workers get.
    fn lease(ready: &Lines, rows: &Rows, n: usize) -> Vec<u32> {
        let mut got = ready.take(0, NOW, n);
        while got.len() < n && ready.begin_read(0, NOW) {
            let mut sorted = rows.borrow().clone();
            sorted.sort_unstable();
            let index = sorted.iter().map(|(due, key)| Ok((*key, Time::from_secs(*due))));
            ready.read(0, NOW, index, |key, _| Ok(Some((0, 1, key))), |_, _| ()).unwrap();
            got.extend(ready.take(0, NOW, n - got.len()));
        }
        got
    }

    #[test]
    fn what_was_just_committed_is_handed_out_without_a_read() {
        let (ready, nothing) = (Lines::new([]), Rows::default());
        for key in [1, 2, 3] {
            ready.committed(0, 0, row(10, key));
        }
        assert_eq!(ready.lines(), [(0, Time::from_secs(10))]);
        assert_eq!(lease(&ready, &nothing, 2), [1, 2]);
        assert_eq!(lease(&ready, &nothing, 2), [3]);
        assert_eq!(ready.lines(), [], "held rows are no work");
    }

    #[test]
    fn what_the_store_has_goes_before_what_came_later() {
        let rows = Rows::new(vec![(10, 1), (11, 2), (500, 3)]);
        let ready = Lines::new([(0, Time::from_secs(10))]);
        rows.borrow_mut().push((12, 4));
        ready.committed(0, 0, row(12, 4));
        assert_eq!(lease(&ready, &rows, 9), [1, 2, 4]);
        assert_eq!(ready.lines(), [(0, Time::from_secs(500))], "what is not due is known and not read");
        assert!(!ready.begin_read(0, NOW));
        ready.committed(0, 0, row(13, 5));
        assert_eq!(lease(&ready, &Rows::default(), 9), [5], "what is due later is not before it");
    }

    #[test]
    fn what_comes_late_and_is_due_early_goes_first() {
        let (ready, rows) = (Lines::new([]), Rows::default());
        for (due, key) in [(30, 3), (10, 1), (40, 4), (20, 2)] {
            rows.borrow_mut().push((due, key));
            ready.committed(0, 0, row(due, key));
        }
        assert_eq!(lease(&ready, &rows, 2), [1, 2]);
        assert_eq!(lease(&ready, &rows, 9), [3, 4]);
    }

    #[test]
    fn a_row_that_a_read_found_first_is_not_handed_out_twice() {
        let rows = Rows::new(vec![(10, 1)]);
        let ready = Lines::new([(0, Time::ZERO)]);
        assert_eq!(lease(&ready, &rows, 9), [1]);
        ready.committed(0, 0, row(10, 1));
        assert!(lease(&ready, &rows, 9).is_empty());
    }

    #[test]
    fn what_is_given_back_or_falls_due_again_is_found() {
        let rows = Rows::new(vec![(10, 1), (10, 2)]);
        let ready = Lines::new([(0, Time::ZERO)]);
        assert_eq!(lease(&ready, &rows, 9), [1, 2]);
        ready.free(&1);
        assert_eq!(lease(&ready, &rows, 9), [1]);
        ready.free_if(&2, &7, Some(Time::from_secs(50)));
        assert!(lease(&ready, &rows, 9).is_empty(), "a late answer does not free somebody else's lease");
        ready.free_if(&2, &0, Some(Time::from_secs(50)));
        assert_eq!(ready.lines(), [(0, Time::from_secs(50))]);
        assert_eq!(lease(&ready, &rows, 9), [2]);
        ready.free_if(&2, &0, None);
        rows.borrow_mut().retain(|(_, key)| *key != 2);
        assert!(lease(&ready, &rows, 9).is_empty());
    }

    #[test]
    fn what_is_seized_is_handed_out_to_nobody_until_it_is_freed() {
        let rows = Rows::new(vec![(10, 1), (11, 2), (12, 3)]);
        let ready = Lines::new([]);
        ready.committed(0, 0, row(10, 1));
        ready.committed(0, 0, row(11, 2));
        assert_eq!(ready.take(0, NOW, 1), [1]);
        assert!(!ready.seize(0, 1, Time::from_secs(10)), "a worker has it");
        for (due, key) in [(11, 2), (12, 3)] {
            assert!(ready.seize(0, key, Time::from_secs(due)), "{key}");
        }
        assert_eq!(ready.inner().rows, 0);
        assert_eq!(ready.inner().bytes, 0);
        assert!(lease(&ready, &rows, 9).is_empty());
        ready.free(&2);
        ready.free(&3);
        assert_eq!(lease(&ready, &rows, 9), [2, 3]);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_lost_or_out_of_order() {
        let rows = Rows::default();
        let ready = Lines::new([]);
        let total = LINE_ROWS_MAX as u32 + 2 * READ_ROWS_MAX as u32 + 7;
        for key in 0..total {
            rows.borrow_mut().push((10, key));
            ready.committed(0, 0, row(10, key));
        }
        assert_eq!(ready.inner().rows, LINE_ROWS_MAX);
        let mut got = Vec::new();
        while got.len() < total as usize {
            let some = lease(&ready, &rows, 100);
            assert!(!some.is_empty() && ready.inner().rows <= LINE_ROWS_MAX);
            got.extend(some);
        }
        assert_eq!(got, (0..total).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_that_nobody_fetches_makes_room_for_the_others() {
        let ready = Lines::new([]);
        for line in 0..5 {
            for key in 0..LINE_ROWS_MAX as u32 {
                ready.committed(line, 0, row(u64::from(line), u32::from(line) * 10_000 + key));
            }
        }
        let mut inner = ready.inner();
        assert_eq!((inner.rows, inner.held.len()), (ROWS_MAX, ROWS_MAX));
        let lines: Vec<_> = inner.lines.values().map(|line| (line.ready.len(), line.unread)).collect();
        assert_eq!(lines[0], (0, Some(Time::ZERO)), "the longest waiting line is the store's again");
        assert_eq!(lines[1..], [(LINE_ROWS_MAX, None); 4]);
        inner.make_room(BYTES_MAX, None);
        assert_eq!((inner.rows, inner.bytes, inner.held.len()), (0, 0, 0));
    }
}
