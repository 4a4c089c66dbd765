//! Reads what a request asks for, and refuses the rest in the API's own words.

use crate::admin::BODY_BYTES_MAX;
use crate::admin::error::ApiError;
use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::model::id::{EventId, NotAnId};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, Path, Query};
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;
use std::str::FromStr;

/// The parameters of the query; unknown ones are refused.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Params<T>, ApiError> {
        let Query(params) =
            Query::try_from_uri(&parts.uri).map_err(|why| ApiError::BadQuery(why.body_text()))?;
        Ok(Params(params))
    }
}

/// The id in the path.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr<Err = NotAnId>, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Id<T>, ApiError> {
        let text = in_path(parts, state).await?;
        text.parse().map(Id).map_err(|why: NotAnId| ApiError::BadId(why.to_string()))
    }
}

/// The name in the path.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Name, ApiError> {
        in_path(parts, state).await.map(Name)
    }
}

/// The event in the path, by its id or by a `webhook-id` that it was sent under.
pub(crate) struct OfEvent(pub(crate) EventId);

impl<S: Send + Sync> FromRequestParts<S> for OfEvent {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<OfEvent, ApiError> {
        let text = in_path(parts, state).await?;
        EventId::of_webhook_id(&text).map(OfEvent).map_err(|why| ApiError::BadId(why.to_string()))
    }
}

async fn in_path<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<String, ApiError> {
    let path = Path::<String>::from_request_parts(parts, state).await;
    path.map(|Path(text)| text).map_err(|why| ApiError::BadId(why.body_text()))
}

/// What the body says; `None` if it is empty. `what` ends the sentence "the body is not ...".
pub(crate) fn body<T: DeserializeOwned>(
    given: Result<Bytes, BytesRejection>,
    what: &str,
) -> Result<Option<T>, ApiError> {
    let given = given.map_err(|why| match why.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::TooLarge(BODY_BYTES_MAX),
        _ => ApiError::BadBody(why.body_text()),
    })?;
    if given.is_empty() {
        return Ok(None);
    }
    let read = serde_json::from_slice(&given);
    read.map(Some).map_err(|why| ApiError::BadBody(format!("the body ({why}) is not {what}")))
}

/// How many rows a page is to have.
pub(crate) fn rows(limit: Option<usize>) -> Result<usize, ApiError> {
    match limit {
        None => Ok(LIMIT_DEFAULT),
        Some(limit @ 1..=LIMIT_MAX) => Ok(limit),
        Some(limit) => Err(ApiError::BadQuery(format!("`limit` is {limit}: use 1 to {LIMIT_MAX}"))),
    }
}

/// One of the words that a filter takes.
pub(crate) fn word(name: &str, value: Option<&str>, words: &[&str]) -> Result<(), ApiError> {
    match value {
        Some(value) if !words.contains(&value) => Err(ApiError::BadQuery(format!(
            "`{name}` is `{value}`: use {}, or leave it out",
            words.join(", ")
        ))),
        _ => Ok(()),
    }
}
