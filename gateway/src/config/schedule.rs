//! `schedule` of an endpoint: a list of waits, or a rule that makes one.

use crate::config::mistake::quote;
use crate::config::reader::Item;
use crate::model::retry::Schedule;
use std::time::Duration;

/// The most waits in a schedule, and the least and the longest of them.
const WAITS_MAX: u64 = 100;
const WAIT_MIN: Duration = Duration::from_millis(1);
const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// What a rule means where it is silent: it doubles up to a day, and ten attempts are made.
const FACTOR: u64 = 2;
const FACTOR_MAX: u64 = 100;
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const ATTEMPTS: u64 = 10;

/// Reads a `schedule`.
pub(super) fn read(item: &Item<'_>) -> Option<Schedule> {
    if item.is_table() { exponential(item) } else { Some(listed(item)) }
}

fn listed(item: &Item<'_>) -> Schedule {
    let items = item.items();
    if items.len() as u64 > WAITS_MAX {
        item.wrong(format!("has {} waits", items.len()), format!("write at most {WAITS_MAX}"));
    }
    let waits = items.iter().take(WAITS_MAX as usize);
    let waits = waits.filter_map(|item| item.duration(WAIT_MIN, WAIT_MAX)).collect();
    Schedule { waits, ..Schedule::default() }
}

fn exponential(item: &Item<'_>) -> Option<Schedule> {
    let mut table = item.table()?;
    let first = table
        .required("first", "write the first wait, such as `10s`")
        .and_then(|item| item.duration(WAIT_MIN, WAIT_MAX));
    let factor = table.item("factor").map_or(Some(FACTOR), |item| item.number(1, FACTOR_MAX));
    let max = table.item("max");
    let longest = max.as_ref().map_or(Some(LONGEST), |item| item.duration(WAIT_MIN, WAIT_MAX));
    let attempts = table.item("attempts").map_or(Some(ATTEMPTS), |item| item.number(1, WAITS_MAX + 1));
    table.finish();
    let (first, longest) = (first?, longest?);
    if let Some(max) = max.filter(|_| longest < first) {
        let shown = quote(&humantime::format_duration(first).to_string());
        max.wrong(format!("is shorter than the first wait, {shown}"), "write a longer one, or take it out");
        return None;
    }
    let (factor, attempts) = (factor?.try_into().ok()?, attempts?.try_into().ok()?);
    Some(Schedule::exponential(first, factor, longest.max(first), attempts))
}
