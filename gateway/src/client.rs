//! A typed client of the admin API: what the command line and tests speak to a running gateway with.

#[cfg(test)]
mod live;

use crate::api::Story;
use crate::api::delivery::{Delivery, DeliveryQuery, DeliveryStory, Resent};
use crate::api::endpoint::{Endpoint, Endpoints, Rotate, Rotated, Tested, Turn};
use crate::api::event::{Event, EventQuery};
use crate::api::job::{Counted, Job, JobQuery, NewJob};
use crate::api::page::Page;
use crate::api::plugin::{LoadQuery, PluginDetail, Plugins, Rollback, SwapQuery};
use crate::api::problem::Problem;
use crate::api::redrive::{DeadLetter, DeadLetterQuery, Redrive, RedriveQuery, Redriven};
use crate::api::refused::{Readmitted, Refused, RefusedDetail, RefusedQuery};
use crate::api::rehearsal::{Rehearsal, RehearsalQuery, Shadows};
use crate::api::webhook::{Webhook, WebhookQuery};
use crate::model::id::{DeliveryId, EventId, JobId, RefusedId, WebhookId};
use crate::model::secret::Secret;
use crate::model::stats::Stats;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode, redirect};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use url::Url;

/// The longest that a request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that a request with a component may take, which is compiled before it is answered.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(180);
/// The longest that a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// A client of one gateway's admin API.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    base: Url,
    token: Secret,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is not one that a gateway can have.
    #[error(
        "`{0}` is not the URL of a gateway's admin listener: use http://HOST:PORT, as in http://127.0.0.1:8401"
    )]
    BadUrl(String),
    /// The token cannot be sent.
    #[error(
        "the admin token has a character that no header can hold: look at `--token`, BILLHOOK_ADMIN_TOKEN, or \
         wherever it comes from"
    )]
    BadToken,
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Setup(#[source] reqwest::Error),
    /// No connection, or it broke.
    #[error(
        "cannot reach the gateway at {url}: is `billhook serve` running, and is this its admin listener?"
    )]
    Unreachable {
        /// Where.
        url: Url,
        /// Why.
        #[source]
        cause: reqwest::Error,
    },
    /// No answer in time.
    #[error("the gateway at {url} did not answer in time: ask for less, or look at its log")]
    Slow {
        /// Where.
        url: Url,
    },
    /// The gateway does not know the token.
    #[error(
        "the gateway at {url} refused the token: set BILLHOOK_ADMIN_TOKEN to what `admin.token` says in its \
         configuration; where that says nothing, its log names the file with the token"
    )]
    Token {
        /// Where.
        url: Url,
    },
    /// The gateway refused the request, and says why.
    #[error("{} ({}, HTTP {})", .0.detail, .0.code, .0.status)]
    Refused(Box<Problem>),
    /// The answer is no answer of the admin API.
    #[error("the answer of {url} (HTTP {status}) is not one of this version's admin API: {why}")]
    Nonsense {
        /// What was asked.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// What is wrong with it.
        why: String,
    },
}

impl Client {
    /// A client of the gateway whose admin listener is at `url`, with its admin token.
    ///
    /// System proxies are not used: the listener is private.
    pub fn new(url: impl AsRef<str>, token: Secret) -> Result<Client, ClientError> {
        let url = url.as_ref();
        let bad = || ClientError::BadUrl(url.to_owned());
        let mut base = Url::parse(url).map_err(|_| bad())?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() || !base.username().is_empty() {
            return Err(bad());
        }
        base.set_query(None);
        base.set_fragment(None);
        HeaderValue::from_str(token.reveal()).map_err(|_| ClientError::BadToken)?;
        let http = http()?;
        Ok(Client { http, base, token })
    }

    /// A page of events, newest first.
    pub async fn events(&self, query: &EventQuery) -> Result<Page<Event>, ClientError> {
        self.get(&["events"], query).await
    }

    /// The whole story of the webhook behind an event.
    pub async fn event(&self, id: EventId) -> Result<Story, ClientError> {
        self.get(&["events", &id.to_string()], &()).await
    }

    /// A page of webhooks, newest first.
    pub async fn webhooks(&self, query: &WebhookQuery) -> Result<Page<Webhook>, ClientError> {
        self.get(&["webhooks"], query).await
    }

    /// The whole story of a webhook.
    pub async fn webhook(&self, id: WebhookId) -> Result<Story, ClientError> {
        self.get(&["webhooks", &id.to_string()], &()).await
    }

    /// A page of deliveries, newest first.
    pub async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, ClientError> {
        self.get(&["deliveries"], query).await
    }

    /// A delivery with its attempts.
    pub async fn delivery(&self, id: DeliveryId) -> Result<DeliveryStory, ClientError> {
        self.get(&["deliveries", &id.to_string()], &()).await
    }

    /// Sends what was delivered, skipped or given up once more.
    pub async fn resend(&self, id: DeliveryId) -> Result<Resent, ClientError> {
        self.post(&["deliveries", &id.to_string(), "resend"], &()).await
    }

    /// A page of dead letters: webhooks, then deliveries.
    pub async fn dead_letters(&self, query: &DeadLetterQuery) -> Result<Page<DeadLetter>, ClientError> {
        self.get(&["dead-letters"], query).await
    }

    /// Redrives dead letters, as many as one request does; the answer says where the next goes on.
    pub async fn redrive(&self, redrive: &Redrive, query: &RedriveQuery) -> Result<Redriven, ClientError> {
        let url = self.url(&["dead-letters", "redrive"], query);
        self.send(self.http.request(Method::POST, url.clone()).json(redrive), url).await
    }

    /// A page of refused requests, newest first.
    pub async fn refused_requests(&self, query: &RefusedQuery) -> Result<Page<Refused>, ClientError> {
        self.get(&["refused"], query).await
    }

    /// A refused request with what was kept of its body.
    pub async fn refused(&self, id: RefusedId) -> Result<RefusedDetail, ClientError> {
        self.get(&["refused", &id.to_string()], &()).await
    }

    /// Authenticates a refused request again, and takes it if it is authentic now.
    pub async fn retry_refused(&self, id: RefusedId) -> Result<Readmitted, ClientError> {
        self.post(&["refused", &id.to_string(), "retry"], &()).await
    }

    /// The configured endpoints and how they are doing.
    pub async fn endpoints(&self) -> Result<Endpoints, ClientError> {
        self.get(&["endpoints"], &()).await
    }

    /// One configured endpoint, by its name or its `ep_...`.
    pub async fn endpoint(&self, name: &str) -> Result<Endpoint, ClientError> {
        self.get(&["endpoints", name], &()).await
    }

    /// Holds what an endpoint is owed.
    pub async fn pause(&self, name: &str, turn: &Turn) -> Result<Endpoint, ClientError> {
        self.post(&["endpoints", name, "pause"], turn).await
    }

    /// Lets deliveries pass to an endpoint that was paused.
    pub async fn resume(&self, name: &str, turn: &Turn) -> Result<Endpoint, ClientError> {
        self.post(&["endpoints", name, "resume"], turn).await
    }

    /// Lets deliveries pass to an endpoint that is disabled or on trial.
    pub async fn enable(&self, name: &str, turn: &Turn) -> Result<Endpoint, ClientError> {
        self.post(&["endpoints", name, "enable"], turn).await
    }

    /// Sends a test event to an endpoint.
    pub async fn test_endpoint(&self, name: &str) -> Result<Tested, ClientError> {
        self.post(&["endpoints", name, "test"], &()).await
    }

    /// What a component would make of webhooks that are stored.
    pub async fn rehearse(
        &self,
        component: Vec<u8>,
        query: &RehearsalQuery,
    ) -> Result<Rehearsal, ClientError> {
        self.upload(&["rehearsals"], query, component).await
    }

    /// How the shadows of sources have done.
    pub async fn shadows(&self) -> Result<Shadows, ClientError> {
        self.get(&["shadows"], &()).await
    }

    /// The plugins and how they are doing.
    pub async fn plugins(&self) -> Result<Plugins, ClientError> {
        self.get(&["plugins"], &()).await
    }

    /// One plugin and what served before.
    pub async fn plugin(&self, name: &str) -> Result<PluginDetail, ClientError> {
        self.get(&["plugins", name], &()).await
    }

    /// Loads a plugin that is not there yet.
    pub async fn load_plugin(
        &self,
        name: &str,
        component: Vec<u8>,
        query: &LoadQuery,
    ) -> Result<PluginDetail, ClientError> {
        self.upload(&["plugins", name, "load"], query, component).await
    }

    /// Has another version of a plugin serve.
    pub async fn swap_plugin(
        &self,
        name: &str,
        component: Vec<u8>,
        query: &SwapQuery,
    ) -> Result<PluginDetail, ClientError> {
        self.upload(&["plugins", name, "swap"], query, component).await
    }

    /// Has the version of a plugin serve that served before.
    pub async fn rollback_plugin(
        &self,
        name: &str,
        rollback: &Rollback,
    ) -> Result<PluginDetail, ClientError> {
        let url = self.url(&["plugins", name, "rollback"], &());
        let request = self.http.request(Method::POST, url.clone()).timeout(UPLOAD_TIMEOUT);
        self.send(request.json(rollback), url).await
    }

    /// Rotates the secret of an endpoint; the answer holds the new one, once.
    pub async fn rotate(&self, name: &str, rotate: &Rotate) -> Result<Rotated, ClientError> {
        self.post(&["endpoints", name, "rotate"], rotate).await
    }

    /// Begins a job.
    pub async fn add_job(&self, job: &NewJob) -> Result<Job, ClientError> {
        self.post(&["jobs"], job).await
    }

    /// Counts what a job would move, and moves nothing.
    pub async fn count_job(&self, job: &NewJob) -> Result<Counted, ClientError> {
        self.post(&["jobs", "count"], job).await
    }

    /// A page of jobs, newest first.
    pub async fn jobs(&self, query: &JobQuery) -> Result<Page<Job>, ClientError> {
        self.get(&["jobs"], query).await
    }

    /// One job and how far it is.
    pub async fn job(&self, id: JobId) -> Result<Job, ClientError> {
        self.get(&["jobs", &id.to_string()], &()).await
    }

    /// Ends a job where it stands.
    pub async fn cancel_job(&self, id: JobId) -> Result<Job, ClientError> {
        self.post(&["jobs", &id.to_string(), "cancel"], &()).await
    }

    /// Counters and sizes.
    pub async fn stats(&self) -> Result<Stats, ClientError> {
        self.get(&["stats"], &()).await
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.url(path, query);
        self.send(self.http.request(Method::GET, url.clone()), url).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let url = self.url(path, &());
        self.send(self.http.request(Method::POST, url.clone()).json(body), url).await
    }

    async fn upload<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
        bytes: Vec<u8>,
    ) -> Result<T, ClientError> {
        let url = self.url(path, query);
        let request = self.http.request(Method::POST, url.clone()).timeout(UPLOAD_TIMEOUT);
        self.send(request.header(CONTENT_TYPE, "application/wasm").body(bytes), url).await
    }

    /// The URL of `path` under the API, with the fields of `query` that are set.
    fn url(&self, path: &[&str], query: &impl Serialize) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        // Query types are flat structs of texts and numbers, whose JSON form has the names that the server reads.
        if let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(query)
            && !fields.is_empty()
        {
            let mut pairs = url.query_pairs_mut();
            for (name, value) in &fields {
                pairs.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        url
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder, url: Url) -> Result<T, ClientError> {
        let failed = |cause: reqwest::Error| match cause.is_timeout() && !cause.is_connect() {
            true => ClientError::Slow { url: self.base.clone() },
            false => ClientError::Unreachable { url: self.base.clone(), cause: cause.without_url() },
        };
        let mut response = request.bearer_auth(self.token.reveal()).send().await.map_err(failed)?;
        let status = response.status();
        let nonsense = |why: String| ClientError::Nonsense { url: url.clone(), status: status.as_u16(), why };
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(nonsense(format!("it is longer than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if status != StatusCode::OK {
            let problem: Box<Problem> =
                serde_json::from_slice(&body).map_err(|why| nonsense(why.to_string()))?;
            // Others have problems too, but not our codes.
            return Err(match status {
                _ if problem.code.is_empty() => nonsense("it has no `code`".to_owned()),
                StatusCode::UNAUTHORIZED => ClientError::Token { url: self.base.clone() },
                _ => ClientError::Refused(problem),
            });
        }
        serde_json::from_slice(&body).map_err(|why| nonsense(why.to_string()))
    }
}

/// The HTTP client below: no system proxies, no redirects, bounded waits.
pub fn http() -> Result<reqwest::Client, ClientError> {
    // The process may have chosen its cryptography before; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .build()
        .map_err(ClientError::Setup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::serve;
    use axum::Router;
    use std::net::Ipv4Addr;

    fn client(url: &str) -> Result<Client, ClientError> {
        Client::new(url, Secret::new("t"))
    }

    #[test]
    fn urls_are_built_below_the_base_with_what_is_set() {
        let query = EventQuery { kind: Some("a&b".to_owned()), limit: Some(3), ..EventQuery::default() };
        let cases = [
            ("http://127.0.0.1:8401", "http://127.0.0.1:8401/api/v1/events?limit=3&type=a%26b"),
            (
                "https://ops.example/billhook/?x#y",
                "https://ops.example/billhook/api/v1/events?limit=3&type=a%26b",
            ),
        ];
        for (base, expected) in cases {
            let url = client(base).unwrap().url(&["events"], &query);
            assert_eq!(url.as_str(), expected);
        }
        assert_eq!(client("http://a").unwrap().url(&["stats"], &()).as_str(), "http://a/api/v1/stats");
        for bad in ["127.0.0.1:8401", "localhost:8401", "ftp://a", "unix:/x", "http://user@a", ""] {
            assert!(matches!(client(bad), Err(ClientError::BadUrl(_))), "{bad}");
        }
    }

    #[test]
    fn a_token_that_no_header_can_hold_is_told_as_one() {
        for token in ["a\nb", "a\0"] {
            let told = Client::new("http://127.0.0.1:1", Secret::new(token));
            assert!(matches!(told, Err(ClientError::BadToken)), "{token:?}");
        }
    }

    #[tokio::test]
    async fn what_another_program_answers_is_no_answer_of_a_gateway() {
        let cases = [
            (404, r#"{"timestamp":"2026","status":404,"error":"Not Found","path":"/api/v1/stats"}"#),
            (401, r#"{"status":401}"#),
            (401, "who are you?"),
            (200, "<html>"),
        ];
        for (status, body) in cases {
            let status = StatusCode::from_u16(status).unwrap();
            let router = Router::new().fallback(move || std::future::ready((status, body)));
            let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let serving = tokio::spawn(serve(router, listener, std::future::pending()));
            let error = client(&url).unwrap().stats().await.unwrap_err();
            assert!(matches!(error, ClientError::Nonsense { .. }), "{status} {body}: {error}");
            serving.abort();
        }
    }

    #[tokio::test]
    async fn a_gateway_that_is_not_there_is_told_with_its_url() {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let error = client(&url).unwrap().stats().await.unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("cannot reach the gateway at {url}/: is `billhook serve` "))
        );
    }
}
