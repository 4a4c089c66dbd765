//! An endpoint that answers by script and records what it got.

use crate::sender;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// One answer of a script.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status and an empty body.
    Status(u16),
    /// This status, header and body.
    With(u16, &'static str, String, Vec<u8>),
    /// No answer until the receiver is told to let go.
    Hang,
    /// The connection is closed without an answer.
    Close,
}

/// A request that arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Its path and query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Received {
    /// A header as text.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a delivery is JSON")
    }

    /// Whether one of its signatures is right under `secret`.
    pub fn is_signed(&self, secret: &str) -> bool {
        let expected =
            sender::sign(secret, self.header("webhook-id"), self.header("webhook-timestamp"), &self.body);
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

struct State {
    script: Mutex<Vec<Answer>>,
    received: watch::Sender<Vec<Received>>,
    let_go: watch::Sender<bool>,
}

/// An endpoint that answers by script and records what it got.
pub struct Receiver {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn start() -> Receiver {
        Receiver::scripted([]).await
    }

    /// Answers by `script`, one answer a request, and 200 when it is used up.
    pub async fn scripted(script: impl IntoIterator<Item = Answer>) -> Receiver {
        Receiver::on("127.0.0.1:0".parse().expect("an address"), script).await
    }

    /// [`Receiver::scripted`] on an address that was used before.
    pub async fn on(addr: SocketAddr, script: impl IntoIterator<Item = Answer>) -> Receiver {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("a socket option");
        socket.bind(addr).expect("the address is free");
        let listener = socket.listen(1024).expect("a listener");
        let mut script: Vec<Answer> = script.into_iter().collect();
        script.reverse();
        let state = Arc::new(State {
            script: Mutex::new(script),
            received: watch::Sender::new(Vec::new()),
            let_go: watch::Sender::new(false),
        });
        let addr = listener.local_addr().expect("a bound socket has an address");
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        Receiver { addr, state, task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.addr)
    }

    /// An `[[endpoint]]` table for it.
    pub fn endpoint(&self, name: &str) -> String {
        format!(
            "[[endpoint]]\nname = \"{name}\"\nurl = \"{}\"\nsecret = \"{}\"\n",
            self.url(),
            sender::SECRET
        )
    }

    /// What it got so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.borrow().clone()
    }

    /// Waits until it got `n` requests.
    pub async fn got(&self, n: usize) -> Vec<Received> {
        self.until(|received| received.len() >= n).await;
        self.received()
    }

    /// Waits until what it got satisfies `enough`.
    pub async fn until(&self, enough: impl FnMut(&Vec<Received>) -> bool) {
        self.state.received.subscribe().wait_for(enough).await.expect("the receiver lives");
    }

    /// Adds answers to the end of the script.
    pub fn then(&self, answers: impl IntoIterator<Item = Answer>) {
        let mut script = self.state.script.lock().expect("no test panics here");
        for answer in answers {
            script.insert(0, answer);
        }
    }

    /// Drops what is left of the script: from now on the answer is 200.
    pub fn recover(&self) {
        self.state.script.lock().expect("no test panics here").clear();
    }

    /// Ends every hang.
    pub fn let_go(&self) {
        self.state.let_go.send_replace(true);
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(Arc::clone(&state), request));
            // An error here is a connection that one side cut: scripts do that on purpose.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    state.received.send_modify(|received| received.push(Received { path, headers: parts.headers, body }));
    let next = state.script.lock().expect("no test panics here").pop();
    let response = Response::builder();
    let empty = Full::default();
    Ok(match next.unwrap_or(Answer::Status(200)) {
        Answer::Status(status) => response.status(status).body(empty),
        Answer::With(status, name, value, body) => {
            response.status(status).header(name, value).body(Full::new(body.into()))
        }
        Answer::Close => return Err(Cut),
        Answer::Hang => {
            let _ = state.let_go.subscribe().wait_for(|let_go| *let_go).await;
            response.status(200).body(empty)
        }
    }
    .expect("scripted answers are valid"))
}

/// Ends the connection.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by script")
    }
}

impl std::error::Error for Cut {}
