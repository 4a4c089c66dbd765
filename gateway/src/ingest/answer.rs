//! How a request went, and how that is said.

use crate::ingest::body::Unread;
use crate::model::id::WebhookId;
use crate::model::signature::Refusal;
use crate::plugins::Failed;
use crate::plugins::verify::Reply;
use crate::store::StoreError;
use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use std::time::Duration;

/// When to come back after a queue was full, in seconds.
const RETRY_AFTER_BUSY: u64 = 1;

/// When to come back after the disk was full or the store closed, in seconds.
const RETRY_AFTER_DOWN: u64 = 30;

/// What asks for basic authentication (RFC 7617, section 2).
const CHALLENGE: &str = r#"Basic realm="billhook", charset="UTF-8""#;

/// How a request went.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is stored.
    Stored(WebhookId),
    /// It was stored before, as this.
    Duplicate(WebhookId),
    /// It was a challenge, and a plugin gave the answer.
    Challenge(Reply),
    /// It is not taken.
    Refused(Refused),
}

/// Why a request is not taken. Its text is for the log, not for the stranger who sent it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    /// No source has the name or the public key.
    #[error("no source has this name or key")]
    NoSource,
    /// Not a POST.
    #[error("only POST is taken")]
    Method,
    /// The path cannot be decoded.
    #[error("{0}")]
    Path(&'static str),
    /// The body was not read.
    #[error("{0}")]
    Body(#[from] Unread),
    /// It is not authentic.
    #[error("{0}")]
    NotAuthentic(#[from] Refusal),
    /// It is authentic, but more come than the source takes.
    #[error("more come than the source's `rate`: there is room again in {wait:?}")]
    OverRate { wait: Duration },
    /// The plugin that is to judge gave no answer.
    #[error("{0}")]
    Unproven(Box<Failed>),
    /// It could not be stored.
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl Refused {
    /// Whether leaving it out was our decision, so that a source that says yes to everything says it here too.
    fn is_deliberate(&self) -> bool {
        match self {
            Refused::NoSource | Refused::NotAuthentic(_) | Refused::Body(Unread::TooLarge { .. }) => true,
            Refused::Method | Refused::Path(_) | Refused::OverRate { .. } => false,
            Refused::Unproven(_) | Refused::Store(_) => false,
            Refused::Body(Unread::TooSlow { .. } | Unread::NoRoom(_) | Unread::Broken(_)) => false,
        }
    }

    /// The status, the word for machines and the sentence for people.
    fn public(&self) -> (StatusCode, &'static str, String) {
        match self {
            Refused::NoSource => {
                let message = "no source has this name: post to `/in/{source}` as the operator told you";
                (StatusCode::NOT_FOUND, "not_found", message.to_owned())
            }
            Refused::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "use POST".to_owned()),
            Refused::Path(why) => (StatusCode::BAD_REQUEST, "unreadable", format!("{why}: mend the URL")),
            Refused::Body(Unread::TooLarge { max }) => {
                let message = format!("the body is longer than {max} bytes: send less, or ask the operator");
                (StatusCode::PAYLOAD_TOO_LARGE, "too_large", message)
            }
            Refused::Body(Unread::TooSlow { .. }) => {
                let message = "the body took too long: send again, faster";
                (StatusCode::REQUEST_TIMEOUT, "too_slow", message.to_owned())
            }
            Refused::Body(Unread::Broken(_)) => {
                let message = "the body ended early or is not HTTP: send again";
                (StatusCode::BAD_REQUEST, "unreadable", message.to_owned())
            }
            Refused::Body(Unread::NoRoom(_)) => {
                let message = "too much is in flight: send again later";
                (StatusCode::SERVICE_UNAVAILABLE, "busy", message.to_owned())
            }
            Refused::NotAuthentic(_) => {
                let message = "not authentic: check the secret on both sides";
                (StatusCode::UNAUTHORIZED, "not_authentic", message.to_owned())
            }
            Refused::OverRate { .. } => {
                let message = "more come than this source takes: send again later, slower";
                (StatusCode::TOO_MANY_REQUESTS, "too_many", message.to_owned())
            }
            Refused::Unproven(_) => {
                let message = "nobody can say now whether it is authentic: send again later";
                (StatusCode::SERVICE_UNAVAILABLE, "unproven", message.to_owned())
            }
            Refused::Store(error) => {
                let word = if matches!(error, StoreError::Busy(_)) { "busy" } else { "unavailable" };
                (StatusCode::SERVICE_UNAVAILABLE, word, "nothing was stored: send again later".to_owned())
            }
        }
    }

    /// When to come back, in seconds, if coming back may help.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Refused::Body(Unread::NoRoom(_)) | Refused::Store(StoreError::Busy(_)) => Some(RETRY_AFTER_BUSY),
            Refused::Unproven(_) | Refused::Store(_) => Some(RETRY_AFTER_DOWN),
            Refused::OverRate { wait } => {
                Some(wait.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(u64::MAX))
            }
            Refused::NoSource | Refused::Method | Refused::Path(_) => None,
            Refused::Body(_) | Refused::NotAuthentic(_) => None,
        }
    }
}

impl Outcome {
    /// The answer. `always_ok`: whoever asks is told yes unless it should send again.
    pub(super) fn answer(&self, always_ok: bool) -> Response<Full<Bytes>> {
        match self {
            Outcome::Stored(_) | Outcome::Duplicate(_) if always_ok => ok(),
            Outcome::Stored(id) => {
                json(StatusCode::OK, format!(r#"{{"status":"ok","id":"{id}","duplicate":false}}"#))
            }
            Outcome::Challenge(Reply { status, content_type, body }) => {
                let mut response = Response::new(Full::new(body.clone()));
                *response.status_mut() = *status;
                response.headers_mut().insert(CONTENT_TYPE, content_type.clone());
                response
            }
            Outcome::Duplicate(first) => {
                json(StatusCode::OK, format!(r#"{{"status":"ok","id":"{first}","duplicate":true}}"#))
            }
            Outcome::Refused(refused) => {
                let mut response = if always_ok && refused.is_deliberate() { ok() } else { refusal(refused) };
                // What is left of the body is not worth reading for the sake of the next request.
                if matches!(refused, Refused::Body(_)) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
        }
    }
}

fn refusal(refused: &Refused) -> Response<Full<Bytes>> {
    let (status, error, message) = refused.public();
    let mut response = json(status, serde_json::json!({ "error": error, "message": message }).to_string());
    match refused {
        Refused::Method => {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        // Some clients send their credentials only when they are asked to (RFC 9110, section 11.6.1).
        Refused::NotAuthentic(refusal) if refusal.asks_for_credentials() => {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        _ => {}
    }
    if let Some(seconds) = refused.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// What Windback answers to everything.
fn ok() -> Response<Full<Bytes>> {
    json(StatusCode::OK, r#"{"status":"ok"}"#.to_owned())
}

fn json(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
