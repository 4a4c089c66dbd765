//! Checks what a plugin gave before anybody else sees it.

use crate::plugins::bindings::filter::exports::billhook::plugin::filter;
use crate::plugins::text::{SHOWN_MAX, one_line};
use crate::plugins::transform::Outgoing;
use crate::plugins::{CallError, Limits, Verdict};
use billhook_event::{Draft, Patch, kind};
use http::HeaderValue;
use serde::de::DeserializeOwned;

/// The drafts of a normalizer, if each is one and they are not too many.
pub(super) fn drafts(answer: &[Vec<u8>], limits: &Limits) -> Result<Vec<Draft>, CallError> {
    if answer.len() > limits.drafts {
        return Err(CallError::Limit(format!("{} drafts; it gave {}", limits.drafts, answer.len())));
    }
    check_size(answer.iter().map(Vec::len).sum(), limits)?;
    answer
        .iter()
        .enumerate()
        .map(|(at, json)| draft(json).map_err(|why| invalid(&format!("draft {at} {why}"))))
        .collect()
}

fn draft(json: &[u8]) -> Result<Draft, String> {
    let draft: Draft = read(json).map_err(|why| format!("is no `billhook.draft/1`: {why}"))?;
    if !kind::is_known(&draft.kind) {
        return Err(format!("has the type `{}`, which is no canonical type", draft.kind));
    }
    Ok(draft)
}

/// The patch of a map, if it is one.
pub(super) fn patch(json: &[u8], limits: &Limits) -> Result<Patch, CallError> {
    check_size(json.len(), limits)?;
    read(json).map_err(|why| invalid(&format!("the patch is no `billhook.patch/1`: {why}")))
}

/// JSON as its type. That it is UTF-8 is checked of the whole at once, which takes a fifth less time than of each text.
fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    let text = str::from_utf8(json).map_err(|error| error.to_string())?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The verdict of a filter.
pub(super) fn verdict(verdict: filter::Verdict) -> Verdict {
    match verdict {
        filter::Verdict::Keep => Verdict::Keep,
        filter::Verdict::Drop(why) => Verdict::Drop(one_line(&why, SHOWN_MAX)),
    }
}

/// What a transform made of a request, if it is not too long and its content type is one.
pub(super) fn outgoing(request: Outgoing, limits: &Limits) -> Result<Outgoing, CallError> {
    check_size(request.body.len(), limits)?;
    if HeaderValue::from_str(&request.content_type).is_err() {
        return Err(invalid("the content type of the body is none"));
    }
    Ok(request)
}

fn check_size(bytes: usize, limits: &Limits) -> Result<(), CallError> {
    if bytes > limits.output {
        let most = limits.output;
        return Err(CallError::Limit(format!("{most} bytes of output (`output`); it gave {bytes}")));
    }
    Ok(())
}

/// An output that nobody can use.
pub(super) fn invalid(why: &str) -> CallError {
    CallError::Invalid(format!("its output is wrong: {}", one_line(why, SHOWN_MAX / 2)))
}
