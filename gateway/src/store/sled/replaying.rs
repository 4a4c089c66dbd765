//! Jobs: what is done in bulk, step by step. What a step moves and the cursor behind it are one commit.
//!
//! A job goes through an index in the order of ids, which is that of the webhooks' arrival. What it selects is decided
//! twice by the same function: when the index is read, which may take a while, and when the step is committed.

use super::keys;
use super::reading;
use super::rerunning;
use super::resending::{self, Again};
use super::rows;
use super::view::View;
use crate::model::delivery::DeliveryState;
use crate::model::id::{DeliveryId, EventId, JobId, WebhookId};
use crate::model::job::{Job, JobState, RUNNING_MAX, What};
use crate::model::ping;
use crate::model::webhook::WebhookState;
use crate::store::{Counted, Selection, StoreError};
use billhook_event::Time;

/// Most rows that one step looks at.
const STEP_LOOKS_MAX: u64 = 2_000;
/// Most rows that a count looks at.
const COUNT_LOOKS_MAX: u64 = 200_000;

/// Stores a job unless it, or one with its key, is there, or as many go on as may.
pub(super) fn add(view: &mut View<'_>, job: Job) -> Result<Option<Job>, StoreError> {
    if let Some(known) = read(view, job.id)? {
        return Ok(Some(known));
    }
    if let Some(hash) = &job.key
        && let Some(first) = view.read::<JobId>("job key", &keys::job_key(hash))?
        && let Some(known) = read(view, first)?
    {
        return Ok(Some(known));
    }
    let prefix = keys::running_jobs();
    if view.range(&prefix, &keys::end_of(&prefix)).take(RUNNING_MAX).count() == RUNNING_MAX {
        return Ok(None);
    }
    if let Some(hash) = &job.key {
        view.put(keys::job_key(hash), rows::encode(&job.id));
    }
    write(view, &job)?;
    Ok(Some(job))
}

/// A job.
pub(super) fn read(view: &View<'_>, id: JobId) -> Result<Option<Job>, StoreError> {
    let Some(json) = view.read::<String>("job", &keys::job(id))? else { return Ok(None) };
    let job = serde_json::from_str(&json);
    job.map(Some).map_err(|error| StoreError::Damaged(format!("{id} cannot be read: {error}")))
}

fn write(view: &mut View<'_>, job: &Job) -> Result<(), StoreError> {
    match job.is_running() {
        true => view.put(keys::running_job(job.id), &[]),
        false => view.remove(keys::running_job(job.id)),
    }
    let json = serde_json::to_string(job).expect("a job has string keys only");
    view.write(keys::job(job.id), &json)
}

/// The oldest jobs that go on.
pub(super) fn running(view: &View<'_>, n: usize) -> Result<Vec<Job>, StoreError> {
    let prefix = keys::running_jobs();
    let mut jobs = Vec::new();
    for entry in view.range(&prefix, &keys::end_of(&prefix)).take(n) {
        let id = keys::last_id(&entry?.0).ok_or_else(keys::too_short)?;
        jobs.extend(read(view, JobId(id))?);
    }
    Ok(jobs)
}

/// Ends a job where it stands.
pub(super) fn cancel(view: &mut View<'_>, id: JobId, now: Time) -> Result<Option<Job>, StoreError> {
    let Some(mut job) = read(view, id)? else { return Ok(None) };
    if job.is_running() {
        job.state = JobState::Canceled { at: now };
        write(view, &job)?;
    }
    Ok(Some(job))
}

/// What a step found.
pub(super) struct Scan {
    /// What it selects, in order.
    found: Vec<[u8; 16]>,
    /// From where it looked, and how far.
    from: Option<[u8; 16]>,
    to: Option<[u8; 16]>,
    looked: u64,
    /// Whether there is nothing after that.
    ends: bool,
}

/// Looks for the next `n` things of a job, without holding anybody up.
pub(super) fn scan(view: &View<'_>, job: &Job, n: usize) -> Result<Scan, StoreError> {
    look(view, job, n, STEP_LOOKS_MAX)
}

/// Counts what a job would move.
pub(super) fn count(view: &View<'_>, job: &Job, cap: u64) -> Result<Counted, StoreError> {
    let n = usize::try_from(cap).unwrap_or(usize::MAX);
    let scan = look(view, job, n, COUNT_LOOKS_MAX)?;
    Ok(Counted { count: scan.found.len() as u64, more: !scan.ends })
}

/// The next webhooks that a reprocess would move.
pub(super) fn select(view: &View<'_>, job: &Job, n: usize) -> Result<Selection, StoreError> {
    let scan = look(view, job, n, STEP_LOOKS_MAX)?;
    let next = scan.to.filter(|_| !scan.ends);
    Ok(Selection { ids: scan.found.into_iter().map(WebhookId).collect(), looked: scan.looked, next })
}

fn look(view: &View<'_>, job: &Job, n: usize, looks: u64) -> Result<Scan, StoreError> {
    let mut scan = Scan { found: Vec::new(), from: job.cursor, to: job.cursor, looked: 0, ends: false };
    let prefix = match job.what {
        What::Redrive => keys::dead_of(job.select.endpoint),
        What::Resend => vec![keys::prefix::DELIVERY],
        What::Reprocess { .. } => vec![keys::prefix::WEBHOOK],
    };
    let first = job.select.since.map(keys::least_id).unwrap_or_default();
    let from = match job.cursor {
        // After every row of the thing that was looked at last.
        Some(last) if last >= first => [&prefix[..], &last, &[0xff]].concat(),
        _ => [&prefix[..], &first].concat(),
    };
    let after = keys::least_id(job.until().plus(std::time::Duration::from_millis(1)));
    let end = [&prefix[..], &after].concat();
    let rows = (from < end).then(|| view.range(&from, &end));
    for entry in rows.into_iter().flatten() {
        let (key, _) = entry?;
        let id = key.get(prefix.len()..prefix.len() + 16).ok_or_else(keys::too_short)?;
        let id: [u8; 16] = id.try_into().expect("a slice of 16 bytes");
        if scan.to == Some(id) {
            // Another row of the same thing.
            continue;
        }
        if scan.found.len() >= n || scan.looked >= looks {
            return Ok(scan);
        }
        (scan.to, scan.looked) = (Some(id), scan.looked + 1);
        if reading::unless_damaged(selects(view, job, id), &id)?.unwrap_or(false) {
            scan.found.push(id);
        }
    }
    scan.ends = true;
    Ok(scan)
}

/// Commits a step. Does nothing if the job has ended or somebody else took the step.
pub(super) fn step(
    view: &mut View<'_>,
    id: JobId,
    scan: &Scan,
    now: Time,
) -> Result<(Option<Job>, Vec<Again>), StoreError> {
    let Some(mut job) = read(view, id)? else { return Ok((None, Vec::new())) };
    if !job.is_running() || job.cursor != scan.from {
        return Ok((Some(job), Vec::new()));
    }
    let mut moved = Vec::new();
    for id in &scan.found {
        if selects(view, &job, *id)? {
            moved.extend(move_on(view, &job, *id, now)?);
        }
    }
    job.cursor = scan.to;
    job.looked += scan.looked;
    job.moved += moved.len() as u64;
    if scan.ends {
        job.state = JobState::Done { at: now };
    }
    write(view, &job)?;
    Ok((Some(job), moved))
}

fn move_on(view: &mut View<'_>, job: &Job, id: [u8; 16], now: Time) -> Result<Option<Again>, StoreError> {
    match job.what {
        What::Resend | What::Redrive => {
            let Some(row) = view.delivery_row(DeliveryId(id))? else { return Ok(None) };
            let (_, line) = resending::again(view, row, Some(job.id), now)?;
            Ok(Some(Again::Delivery(line)))
        }
        What::Reprocess { resend } => {
            let Some(from) = view.state(WebhookId(id))? else { return Ok(None) };
            resending::rerun(view, WebhookId(id), from, resend, now)?;
            Ok(Some(Again::Webhook))
        }
    }
}

fn selects(view: &View<'_>, job: &Job, id: [u8; 16]) -> Result<bool, StoreError> {
    match job.what {
        What::Resend | What::Redrive => selects_delivery(view, job, DeliveryId(id)),
        What::Reprocess { .. } => selects_webhook(view, job, WebhookId(id)),
    }
}

/// Only the newest delivery of an event to an endpoint, and none that the job made itself. What is not wanted there any
/// more, since a filter dropped it or a reprocess withdrew it, is sent again by hand only; so is a test event.
fn selects_delivery(view: &View<'_>, job: &Job, id: DeliveryId) -> Result<bool, StoreError> {
    let Some(row) = view.delivery_row(id)? else { return Ok(false) };
    let (delivery, select) = (&row.delivery, &job.select);
    let ended = match delivery.state {
        DeliveryState::Waiting { .. } => false,
        DeliveryState::Dead { .. } => true,
        DeliveryState::Delivered { .. } | DeliveryState::Skipped { .. } => job.what == What::Resend,
    };
    let selected = ended
        && row.job != Some(job.id)
        && select.state.as_deref().is_none_or(|state| state == delivery.state.name())
        && job.sends_to(delivery.endpoint);
    if !selected || view.has(&keys::delivery(resending::next_id(delivery)))? {
        return Ok(false);
    }
    let Some(event) = view.event_row(delivery.event)? else { return Ok(false) };
    let selected = event.dropped.is_none()
        && event.source != ping::SOURCE
        && select.source.as_ref().is_none_or(|source| *source == event.source)
        && select.kind.as_ref().is_none_or(|kind| *kind == event.kind);
    Ok(selected && !rerunning::was_withdrawn(view, &row)?)
}

/// Only what the pipeline is done with and can read again.
fn selects_webhook(view: &View<'_>, job: &Job, id: WebhookId) -> Result<bool, StoreError> {
    let Some((head, body)) = view.head_and_body(id)? else { return Ok(false) };
    let select = &job.select;
    let state = match view.state_of(id, &head)?.state {
        WebhookState::Undispatched { .. } => return Ok(false),
        WebhookState::Dispatched { .. } => "dispatched",
        WebhookState::Dead { .. } => "dead",
    };
    let selected = body.is_some()
        && head.source != ping::SOURCE
        && select.state.as_deref().is_none_or(|wanted| wanted == state)
        && select.source.as_ref().is_none_or(|source| *source == head.source)
        && job.reads(&head.source);
    if !selected || select.kind.is_none() && select.endpoint.is_none() {
        return Ok(selected);
    }
    // Ids follow from places, and places have no gaps.
    for index in 0.. {
        let Some(event) = view.event_row(EventId::derive(id, index))? else { break };
        if select.kind.as_ref().is_none_or(|kind| *kind == event.kind)
            && select.endpoint.is_none_or(|endpoint| event.endpoints.contains(&endpoint))
        {
            return Ok(true);
        }
    }
    Ok(false)
}
