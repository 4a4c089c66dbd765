//! `GET /api/v1/shadows`, and `POST /api/v1/rehearsals`: what a component would make of webhooks that are stored, in the place of a plugin. Its
//! body is the component; nothing is committed and nobody is served by it.

use crate::admin::error::ApiError;
use crate::admin::params::{Params, word};
use crate::admin::plugins::component;
use crate::admin::{Admin, guard, jobs};
use crate::api::rehearsal::{Compared, Grouped, Part, Rehearsal, RehearsalQuery, Rehearsed, Shadow, Shadows};
use crate::dispatch::rehearsal;
use crate::model::id::WebhookId;
use crate::model::job::{Job, Select, What};
use crate::plugins::{COMPONENT_BYTES_MAX, Plugin};
use crate::store::StoreError;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::middleware::from_fn_with_state;
use axum::routing::post;
use axum::{Json, Router};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The most rehearsals at once, and the longest that one may take.
const REHEARSALS_MAX: usize = 1;
const REHEARSAL_TIMEOUT: Duration = Duration::from_secs(150);
/// Webhooks that are put through a candidate if nothing is said, and the most.
const LIMIT: u64 = 200;
const LIMIT_MAX: u64 = 1_000;
/// Webhooks that are told one by one.
const EXAMPLES_MAX: usize = 20;
/// Changes that are told with how often they are seen.
const CHANGES_MAX: usize = 50;
/// Different changes that are counted; those that come later are told in the examples alone.
const COUNTED_MAX: usize = 10_000;
/// Webhooks that are asked of the store at once.
const PAGE: usize = 50;

/// The route.
pub(crate) fn rehearsals() -> Router<Arc<Admin>> {
    Router::new()
        .route("/rehearsals", post(rehearse))
        .method_not_allowed_fallback(async || ApiError::Method)
        .layer(DefaultBodyLimit::max(COMPONENT_BYTES_MAX))
        .layer(from_fn_with_state(guard::Load::of(REHEARSALS_MAX, REHEARSAL_TIMEOUT), guard::bounded))
}

/// How the shadow of each source has done since the start, by the source's name.
pub(crate) async fn shadows(State(admin): State<Arc<Admin>>) -> Json<Shadows> {
    let shown = |(source, tally): (String, rehearsal::ShadowTally)| Shadow {
        source,
        plugin: tally.plugin,
        same: tally.same,
        differ: tally.differ,
        failed: tally.failed,
        latest: tally.latest.iter().map(WebhookId::to_string).collect(),
    };
    Json(Shadows { items: admin.shadows.read().into_iter().map(shown).collect() })
}

async fn rehearse(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<RehearsalQuery>,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Rehearsal>, ApiError> {
    let component = component(given)?;
    let limit = query.limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::BadQuery(format!("`limit` is {limit}, not 1 to {LIMIT_MAX}")));
    }
    let name = query.plugin.clone();
    let job = selecting(&admin, query)?;
    let candidate = admin.plugins.candidate(name.as_deref(), component).await?;
    Ok(Json(rehearsed(&admin, &candidate, job, limit).await?))
}

/// The reprocess whose webhooks are looked at; it is never stored.
fn selecting(admin: &Admin, query: RehearsalQuery) -> Result<Job, ApiError> {
    let RehearsalQuery { since, until, source, kind, endpoint, state, plugin: _, limit: _ } = query;
    word("state", state.as_deref(), &["dispatched", "dead"])?;
    let mut select = Select { since, until, source, kind, endpoint: None, state };
    jobs::check(&select).map_err(ApiError::BadQuery)?;
    jobs::readable(admin, select.source.as_deref()).map_err(ApiError::BadQuery)?;
    select.endpoint = endpoint.as_deref().map(|name| admin.endpoint_named(name)).transpose()?;
    let rate = jobs::RATE.parse().expect("the rate of a job that does not say is one");
    Ok(jobs::begun(admin, What::Reprocess { resend: false }, select, rate))
}

async fn rehearsed(
    admin: &Admin,
    candidate: &Plugin,
    mut job: Job,
    limit: u64,
) -> Result<Rehearsal, StoreError> {
    let mut found = Rehearsal {
        plugin: candidate.reference().clone(),
        same: 0,
        differ: 0,
        failed: 0,
        elsewhere: 0,
        more: false,
        changes: Vec::new(),
        examples: Vec::new(),
    };
    let (mut left, mut changes) = (limit, BTreeMap::new());
    loop {
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(PAGE);
        let selection = admin.store.select_webhooks(job.clone(), n).await?;
        for id in selection.ids {
            match admin.rehearsal.of(id, candidate).await? {
                None => found.elsewhere += 1,
                Some(one) => {
                    left -= 1;
                    count(admin, one, &mut found, &mut changes);
                }
            }
        }
        match selection.next {
            Some(_) if left == 0 => {
                found.more = true;
                break;
            }
            Some(next) => job.cursor = Some(next),
            None => break,
        }
    }
    let mut changes: Vec<Grouped> =
        changes.into_iter().map(|(part, count)| Grouped { count, part }).collect();
    changes.sort_by_key(|change| std::cmp::Reverse(change.count));
    changes.truncate(CHANGES_MAX);
    Ok(Rehearsal { changes, ..found })
}

fn count(admin: &Admin, one: rehearsal::Rehearsed, found: &mut Rehearsal, changes: &mut BTreeMap<Part, u64>) {
    let compared = admin.compared(one.said);
    match &compared {
        Compared::Same => {
            found.same += 1;
            return;
        }
        Compared::Failed { .. } => found.failed += 1,
        Compared::Differs { differences, .. } => {
            found.differ += 1;
            for difference in differences {
                let part = grouped(difference.part.clone());
                if changes.len() < COUNTED_MAX || changes.contains_key(&part) {
                    *changes.entry(part).or_default() += 1;
                }
            }
        }
    }
    if found.examples.len() < EXAMPLES_MAX {
        let rehearsal::Rehearsed { webhook, source, received_at, .. } = one;
        found.examples.push(Rehearsed { webhook, source, received_at, compared });
    }
}

/// Values differ from webhook to webhook; where they are does not.
fn grouped(part: Part) -> Part {
    match part {
        Part::Field { pointer, .. } => Part::Field { pointer, before: None, after: None },
        part => part,
    }
}
