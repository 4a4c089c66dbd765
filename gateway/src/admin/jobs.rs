//! `GET` and `POST /api/v1/jobs`, `POST /api/v1/jobs/count`, `GET /api/v1/jobs/{id}`, `POST /api/v1/jobs/{id}/cancel`.

use crate::admin::Admin;
use crate::admin::cursor::List;
use crate::admin::error::ApiError;
use crate::admin::params::{Id, Params, body, rows, word};
use crate::api::job::{Counted, Job, JobQuery, JobState, NewJob, What};
use crate::api::page::Page;
use crate::model::id::JobId;
use crate::model::job;
use crate::model::rate::Rate;
use crate::store::Page as StorePage;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use billhook_event::kind;
use bytes::Bytes;
use http::HeaderMap;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// The rate of a job that does not say.
pub(crate) const RATE: &str = "100/s";
/// Up to how many are counted.
const COUNT_MAX: u64 = 100_000;
/// The longest `Idempotency-Key`, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// A page of jobs, newest first.
pub(crate) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<JobQuery>,
) -> Result<Json<Page<Job>>, ApiError> {
    let list = List::new("jobs", &[]);
    let page = StorePage { after: list.key(query.after.as_deref())?, n: rows(query.limit)? };
    let listing = admin.store.list_jobs(page).await?;
    let items = listing.rows.into_iter().map(|job| shown(&admin, job)).collect();
    Ok(Json(Page { items, next: listing.next.map(|key| list.cursor(&key)) }))
}

/// One job and how far it is.
pub(crate) async fn show(State(admin): State<Arc<Admin>>, Id(id): Id<JobId>) -> Result<Json<Job>, ApiError> {
    let job = admin.store.job(id).await?.ok_or_else(|| missing(id))?;
    Ok(Json(shown(&admin, job)))
}

/// Begins a job, unless as many go on as may. Asked for again under the same `Idempotency-Key`, the first is told.
pub(crate) async fn add(
    State(admin): State<Arc<Admin>>,
    headers: HeaderMap,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Job>, ApiError> {
    let mut job = meant(&admin, given)?;
    job.key = key(&headers)?;
    let stored = admin.store.add_job(job.clone()).await?.ok_or(ApiError::TooManyJobs(job::RUNNING_MAX))?;
    if !stored.is_as(&job) {
        return Err(ApiError::OtherUnderKey(stored.id.to_string()));
    }
    tracing::info!(job = %stored.id, what = ?stored.what, "a job was asked for");
    admin.replay.wake();
    Ok(Json(shown(&admin, stored)))
}

/// Counts what a job would move.
pub(crate) async fn count(
    State(admin): State<Arc<Admin>>,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Counted>, ApiError> {
    let counted = admin.store.count_job(meant(&admin, given)?, COUNT_MAX).await?;
    Ok(Json(Counted { count: counted.count, more: counted.more }))
}

/// Ends a job where it stands.
pub(crate) async fn cancel(
    State(admin): State<Arc<Admin>>,
    Id(id): Id<JobId>,
) -> Result<Json<Job>, ApiError> {
    let job = admin.store.cancel_job(id, admin.clock.now()).await?.ok_or_else(|| missing(id))?;
    admin.replay.wake();
    Ok(Json(shown(&admin, job)))
}

fn missing(id: JobId) -> ApiError {
    ApiError::Missing { what: "job", id: id.to_string() }
}

fn key(headers: &HeaderMap) -> Result<Option<[u8; 16]>, ApiError> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(ApiError::BadBody(format!("`Idempotency-Key` is 1 to {KEY_BYTES_MAX} bytes")));
    }
    let hash = Sha256::digest(key.as_bytes());
    Ok(Some(hash[..16].try_into().expect("a SHA-256 has 32 bytes")))
}

/// The job that a request means, ready to be stored.
fn meant(admin: &Admin, given: Result<Bytes, BytesRejection>) -> Result<job::Job, ApiError> {
    let bad = |why: String| ApiError::BadBody(why);
    let asked: NewJob = body(given, "a job: send {\"what\": \"resend\"|\"redrive\"|\"reprocess\", ...}")?
        .ok_or_else(|| bad("there is no body: say `what` to do".to_owned()))?;
    let states: &[&str] = match asked.what {
        What::Resend => &["delivered", "skipped", "dead"],
        What::Redrive => &["dead"],
        What::Reprocess => &["dispatched", "dead"],
    };
    word("state", asked.state.as_deref(), states).map_err(|why| bad(why.to_string()))?;
    if asked.resend && asked.what != What::Reprocess {
        return Err(bad("`resend` belongs to a reprocess".to_owned()));
    }
    let mut select = job::Select {
        since: asked.since,
        until: asked.until,
        source: asked.source,
        kind: asked.kind,
        endpoint: None,
        state: asked.state,
    };
    check(&select).map_err(bad)?;
    let rate = asked.rate.as_deref().unwrap_or(RATE);
    let rate = rate.parse().map_err(|why| bad(format!("`rate` is `{rate}`, {why}")))?;
    select.endpoint = asked.endpoint.as_deref().map(|name| admin.endpoint_named(name)).transpose()?;
    if asked.what == What::Reprocess {
        readable(admin, select.source.as_deref()).map_err(bad)?;
    }
    let what = match asked.what {
        What::Resend => job::What::Resend,
        What::Redrive => job::What::Redrive,
        What::Reprocess => job::What::Reprocess { resend: asked.resend },
    };
    Ok(begun(admin, what, select, rate))
}

/// Refuses what selects nothing by mistake.
pub(crate) fn check(select: &job::Select) -> Result<(), String> {
    if let (Some(since), Some(until)) = (select.since, select.until)
        && since > until
    {
        return Err(format!("`since` ({since}) is after `until` ({until})"));
    }
    check_type(select.kind.as_deref())
}

/// Refuses a source that is no longer configured: nobody could read its webhooks.
pub(crate) fn readable(admin: &Admin, source: Option<&str>) -> Result<(), String> {
    match source.filter(|source| !admin.sources.iter().any(|name| name == source)) {
        Some(source) => Err(format!("`source` is `{source}`, which is not configured")),
        None => Ok(()),
    }
}

/// Refuses a type that no event has.
pub(crate) fn check_type(kind: Option<&str>) -> Result<(), String> {
    match kind.filter(|kind| !kind::is_known(kind)) {
        Some(kind) => Err(format!("`type` is `{kind}`, which is no canonical type")),
        None => Ok(()),
    }
}

/// A job that is asked for now and has done nothing yet.
pub(crate) fn begun(admin: &Admin, what: job::What, select: job::Select, rate: Rate) -> job::Job {
    let created = admin.clock.now();
    job::Job {
        id: JobId::new(created, rand::random()),
        what,
        select,
        configured: Some(job::Configured {
            sources: admin.sources.clone(),
            endpoints: admin.endpoints.iter().map(|endpoint| endpoint.id).collect(),
        }),
        rate,
        created,
        key: None,
        state: job::JobState::Running,
        cursor: None,
        looked: 0,
        moved: 0,
    }
}

fn shown(admin: &Admin, job: job::Job) -> Job {
    let (what, resend) = match job.what {
        job::What::Resend => (What::Resend, false),
        job::What::Redrive => (What::Redrive, false),
        job::What::Reprocess { resend } => (What::Reprocess, resend),
    };
    let select = job.select;
    let endpoint = select.endpoint.map(|id| match admin.endpoint(id) {
        Some(endpoint) => endpoint.name.clone(),
        None => id.to_string(),
    });
    Job {
        id: job.id,
        asked: NewJob {
            what,
            since: select.since,
            until: select.until,
            source: select.source,
            kind: select.kind,
            endpoint,
            state: select.state,
            rate: Some(job.rate.to_string()),
            resend,
        },
        created: job.created,
        state: match job.state {
            job::JobState::Running => JobState::Running,
            job::JobState::Done { at } => JobState::Done { at },
            job::JobState::Canceled { at } => JobState::Canceled { at },
        },
        looked: job.looked,
        moved: job.moved,
    }
}
