//! Ends the process at a named point, so that a test can see what a crash there leaves.
//!
//! `BILLHOOK_CRASH_AT=NAME` aborts at the first pass of the point `NAME`, `NAME:N` at the N-th. Builds without debug
//! assertions do not look.

/// A place where a crash matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A group of verbs has run; nothing of it is written.
    BeforeApply,
    /// A group is visible; its sync has not begun.
    AppliedNotSynced,
    /// A group is durable; nobody who waits for that has been answered.
    SyncedNotAnswered,
    /// Some of the rows of a layer are in the tree.
    HalfSettled,
    /// The pipeline has run; its commit is not asked for yet.
    BeforeDispatchCommit,
    /// An endpoint has answered; the attempt is not recorded yet.
    SentNotFinished,
    /// The store is being made or opened; none of what that writes is known to be durable.
    InOpening,
    /// The store is open; what the last process left is being looked at.
    InRecovery,
}

impl Point {
    /// Every point.
    pub const ALL: [Point; 8] = [
        Point::BeforeApply,
        Point::AppliedNotSynced,
        Point::SyncedNotAnswered,
        Point::HalfSettled,
        Point::BeforeDispatchCommit,
        Point::SentNotFinished,
        Point::InOpening,
        Point::InRecovery,
    ];

    /// Its name in `BILLHOOK_CRASH_AT`.
    pub const fn name(self) -> &'static str {
        match self {
            Point::BeforeApply => "before-apply",
            Point::AppliedNotSynced => "applied-not-synced",
            Point::SyncedNotAnswered => "synced-not-answered",
            Point::HalfSettled => "half-settled",
            Point::BeforeDispatchCommit => "before-dispatch-commit",
            Point::SentNotFinished => "sent-not-finished",
            Point::InOpening => "in-opening",
            Point::InRecovery => "in-recovery",
        }
    }
}

/// Ends the process here if the environment asks for it.
#[cfg(debug_assertions)]
pub fn crash_point(point: Point) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    static ASKED: OnceLock<Option<(Point, u32)>> = OnceLock::new();
    static PASSES: AtomicU32 = AtomicU32::new(0);
    let asked = ASKED.get_or_init(|| std::env::var("BILLHOOK_CRASH_AT").ok().and_then(|text| parse(&text)));
    if let Some((at, nth)) = asked
        && *at == point
        && PASSES.fetch_add(1, Ordering::SeqCst) + 1 == *nth
    {
        std::process::abort();
    }
}

/// Does nothing: this build takes no orders to crash.
#[cfg(not(debug_assertions))]
#[inline]
pub fn crash_point(_: Point) {}

/// Reads `NAME` or `NAME:N`.
#[cfg(any(debug_assertions, test))]
fn parse(text: &str) -> Option<(Point, u32)> {
    let (name, nth) = match text.split_once(':') {
        Some((name, nth)) => (name, nth.parse().ok()?),
        None => (text, 1),
    };
    Point::ALL.into_iter().find(|point| point.name() == name).map(|point| (point, nth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_named_with_or_without_a_count() {
        assert_eq!(parse("before-apply"), Some((Point::BeforeApply, 1)));
        assert_eq!(parse("in-recovery:3"), Some((Point::InRecovery, 3)));
        for bad in ["", "nowhere", "before-apply:x"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
