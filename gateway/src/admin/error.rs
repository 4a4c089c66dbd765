//! What a request can be refused for, and the one place that says it in HTTP.

use crate::api::problem::{MEDIA_TYPE, Problem};
use crate::plugins::roster::RosterError;
use crate::store::StoreError;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use std::time::Duration;

/// Why a request was refused. The display form is public.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// The `Host` header is missing, doubled, or names somebody else.
    #[error("the request is not for this gateway: reach it as localhost or by the address it listens on")]
    Host,
    /// There is no token, or a wrong one.
    #[error("a valid token is wanted: send `Authorization: Bearer TOKEN` with the gateway's admin token")]
    Token,
    /// No route has this path.
    #[error("there is nothing at this path: the API is under /api/v1")]
    NoRoute,
    /// The route has other methods.
    #[error("this path does not take this method: see the `Allow` header")]
    Method,
    /// The path holds something that is not an id.
    #[error("{0}")]
    BadId(String),
    /// A parameter of the query is unknown or has no meaning.
    #[error("{0}")]
    BadQuery(String),
    /// The cursor is damaged, of another version, or of another list.
    #[error(
        "`after` is not a cursor of this list: send the `next` of a page with the same filters, or begin without it"
    )]
    BadCursor,
    /// The body is not what the route takes.
    #[error("{0}")]
    BadBody(String),
    /// The body is too long.
    #[error("the body is longer than {0} bytes")]
    TooLarge(usize),
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    Missing {
        /// What kind of thing.
        what: &'static str,
        /// Its id.
        id: String,
    },
    /// No endpoint is called so.
    #[error(
        "no endpoint is called `{name}`: configured are {}; one that no longer is has an `ep_...` id",
        list(known)
    )]
    UnknownEndpoint {
        /// What was asked for.
        name: String,
        /// The configured names.
        known: Vec<String>,
    },
    /// Only dead letters can be redriven.
    #[error("{id} is {state}, not dead: only dead letters can be redriven")]
    NotDead {
        /// What was asked for.
        id: String,
        /// What it is instead.
        state: String,
    },
    /// The key was used for another request.
    #[error("the `Idempotency-Key` was used for another job, {0}: use a new one")]
    OtherUnderKey(String),
    /// As many jobs as may go on.
    #[error("{0} jobs go on, which is the most: wait for one to end, or cancel one")]
    TooManyJobs(usize),
    /// What still waits need not be sent again.
    #[error("{0} still waits: it is sent when it is due and its endpoint's gate is open")]
    StillWaits(String),
    /// The gate of the endpoint is not one that this turns.
    #[error("`{name}` stays as it is: {why}")]
    WrongGate {
        /// The endpoint.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// The gate was changed by others each time it was looked at.
    #[error("the gate of `{0}` is being turned by others: ask again")]
    GateMoves(String),
    /// The secret of the endpoint cannot be rotated, or not now.
    #[error("the secret of `{name}` stays as it is: {why}")]
    NotRotated {
        /// The endpoint.
        name: String,
        /// Why.
        why: String,
    },
    /// The system has no randomness.
    #[error("no secret can be made: the system gives no randomness")]
    NoRandomness,
    /// A refused request is not authentic now either.
    #[error("{id} is still refused: {why}")]
    StillRefused {
        /// What was asked for.
        id: String,
        /// Why.
        why: String,
    },
    /// As many requests as are allowed are under way.
    #[error("{0} requests are under way, which is the most: ask again")]
    Busy(usize),
    /// It took too long.
    #[error("not done within {} s: ask for less, or again later", .0.as_secs())]
    Slow(Duration),
    /// A version of a plugin does not serve.
    #[error(transparent)]
    Plugin(#[from] RosterError),
    /// The store refused or failed.
    #[error("the store cannot answer")]
    Store(#[from] StoreError),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What a client should wait after a refusal that passes.
const RETRY_AFTER_SECS: &str = "1";

impl ApiError {
    /// The status, and the stable name that programs read.
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            ApiError::Host => (StatusCode::MISDIRECTED_REQUEST, "wrong_host"),
            ApiError::Token => (StatusCode::UNAUTHORIZED, "unauthorized"),
            ApiError::NoRoute => (StatusCode::NOT_FOUND, "no_route"),
            ApiError::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            ApiError::BadId(_) => (StatusCode::BAD_REQUEST, "bad_id"),
            ApiError::BadQuery(_) => (StatusCode::BAD_REQUEST, "bad_query"),
            ApiError::BadCursor => (StatusCode::BAD_REQUEST, "bad_cursor"),
            ApiError::BadBody(_) => (StatusCode::BAD_REQUEST, "bad_body"),
            ApiError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            ApiError::Missing { .. } => (StatusCode::NOT_FOUND, "not_found"),
            ApiError::UnknownEndpoint { .. } => (StatusCode::NOT_FOUND, "unknown_endpoint"),
            ApiError::NotDead { .. } => (StatusCode::CONFLICT, "not_dead"),
            ApiError::OtherUnderKey(_) => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_mismatch"),
            ApiError::TooManyJobs(_) => (StatusCode::CONFLICT, "too_many_jobs"),
            ApiError::StillWaits(_) => (StatusCode::CONFLICT, "still_waits"),
            ApiError::WrongGate { .. } => (StatusCode::CONFLICT, "wrong_gate"),
            ApiError::GateMoves(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            ApiError::NotRotated { .. } => (StatusCode::CONFLICT, "not_rotated"),
            ApiError::NoRandomness => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
            ApiError::StillRefused { .. } => (StatusCode::CONFLICT, "still_refused"),
            ApiError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            ApiError::Slow(_) => (StatusCode::SERVICE_UNAVAILABLE, "timeout"),
            ApiError::Plugin(error) => match error {
                RosterError::Unknown { .. } => (StatusCode::NOT_FOUND, "unknown_plugin"),
                RosterError::Exists(_) | RosterError::Shipped(_) => (StatusCode::CONFLICT, "plugin_exists"),
                RosterError::BadName(_) => (StatusCode::BAD_REQUEST, "bad_name"),
                RosterError::Full => (StatusCode::CONFLICT, "too_many_plugins"),
                RosterError::NotMeant { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "wrong_digest"),
                RosterError::Pinned { .. } => (StatusCode::CONFLICT, "plugin_pinned"),
                RosterError::Load(_) => (StatusCode::UNPROCESSABLE_ENTITY, "plugin_does_not_load"),
                RosterError::Lost { .. } => (StatusCode::CONFLICT, "plugin_lacks_what_is_used"),
                RosterError::Smoke { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "plugin_does_not_work"),
                RosterError::NoneBefore(_) => (StatusCode::CONFLICT, "nothing_before"),
                RosterError::Keep { .. } | RosterError::Broke { .. } => {
                    (StatusCode::INTERNAL_SERVER_ERROR, "internal")
                }
            },
            ApiError::Store(StoreError::Full { .. }) => (StatusCode::SERVICE_UNAVAILABLE, "store_full"),
            ApiError::Store(StoreError::Busy(_)) => (StatusCode::SERVICE_UNAVAILABLE, "store_busy"),
            ApiError::Store(StoreError::Closed(_)) => (StatusCode::SERVICE_UNAVAILABLE, "store_closed"),
            ApiError::Store(
                StoreError::Damaged(_)
                | StoreError::Newer { .. }
                | StoreError::Older { .. }
                | StoreError::Open { .. },
            ) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.kind();
        if let ApiError::Store(cause) = &self {
            tracing::error!(code, %cause, "the admin API got no answer from the store");
        }
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: code.to_owned(),
            detail: self.to_string(),
        };
        let json = serde_json::to_vec(&problem).expect("a struct of texts and numbers has a JSON form");
        let mut response = Response::new(Body::from(json));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"billhook\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECS));
        }
        response
    }
}
