//! An endpoint that says byte for byte what it is told to, and behaves as badly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What is done with a connection on which a request has arrived.
#[derive(Clone, Debug)]
pub enum Step {
    /// These bytes are sent.
    Say(Vec<u8>),
    /// These bytes are sent over and over, as fast as they are taken, until the other side goes away.
    Flood(Vec<u8>),
    /// These bytes are sent over and over, a piece every few milliseconds, until the other side goes away.
    Drip(Vec<u8>),
    /// Nothing more is said until the other side goes away.
    Hang,
    /// The connection is reset. What was said before has a moment to arrive: a reset overtakes it.
    Reset,
    /// The connection is closed in order.
    Close,
}

impl Step {
    /// Sends a text.
    pub fn say(text: &str) -> Step {
        Step::Say(text.as_bytes().to_vec())
    }
}

/// When the first request counts as arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// When all of it is there.
    ForAll,
    /// When its first bytes are there, whatever they are.
    ForBytes,
}

const PLAIN_200: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
/// Between two pieces of a drip.
const DRIP: Duration = Duration::from_millis(5);
/// Before a reset.
const ARRIVES: Duration = Duration::from_millis(50);

/// An endpoint that follows its steps on the first request and answers a plain 200 to all others.
pub struct Wire {
    /// Where it listens.
    pub addr: SocketAddr,
    /// For each request the number of its connection, from 1.
    requests: watch::Receiver<Vec<usize>>,
    said: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Wire {
    /// Listens on a free port.
    pub async fn start(waits: Waits, steps: Vec<Step>) -> Wire {
        Wire::over(waits, steps, |stream| async { Some(stream) }).await
    }

    /// [`Wire::start`] under TLS.
    pub async fn over_tls(tls: TlsAcceptor, steps: Vec<Step>) -> Wire {
        Wire::over(Waits::ForAll, steps, move |stream| {
            let accepts = tls.accept(stream);
            // The other side may not like what it is shown.
            async { accepts.await.ok() }
        })
        .await
    }

    async fn over<S, F>(
        waits: Waits,
        steps: Vec<Step>,
        layer: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Wire
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Linger + 'static,
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("port 0 can be bound");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let (hears, requests) = watch::channel(Vec::new());
        let (hears, said) = (Arc::new(hears), Arc::new(AtomicUsize::new(0)));
        let total = Arc::clone(&said);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 1.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let layered = layer(stream);
                let line = Line {
                    connection,
                    waits,
                    steps: steps.clone(),
                    hears: Arc::clone(&hears),
                    said: Arc::clone(&total),
                };
                connections.spawn(async move {
                    if let Some(stream) = layered.await {
                        line.serve(stream).await;
                    }
                });
            }
        });
        Wire { addr, requests, said, task }
    }

    /// For each request so far the number of its connection, from 1.
    pub fn requests(&self) -> Vec<usize> {
        self.requests.borrow().clone()
    }

    /// Waits until it got `n` requests.
    pub async fn got(&self, n: usize) {
        self.requests.clone().wait_for(|requests| requests.len() >= n).await.expect("it listens");
    }

    /// How many bytes were taken from it.
    pub fn said(&self) -> usize {
        self.said.load(Ordering::SeqCst)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What can be closed by a reset.
trait Linger {
    /// From now on closing it is a reset.
    fn reset_on_close(&self);
}

impl Linger for TcpStream {
    fn reset_on_close(&self) {
        // The other side may be gone already.
        let _ = self.set_zero_linger();
    }
}

impl Linger for TlsStream<TcpStream> {
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }
}

/// One connection.
struct Line {
    connection: usize,
    waits: Waits,
    steps: Vec<Step>,
    hears: Arc<watch::Sender<Vec<usize>>>,
    said: Arc<AtomicUsize>,
}

impl Line {
    async fn serve(self, mut stream: impl AsyncRead + AsyncWrite + Unpin + Linger) {
        let mut got = Vec::new();
        loop {
            let is_first = self.hears.borrow().is_empty();
            let waits = if is_first { self.waits } else { Waits::ForAll };
            if !request(&mut stream, &mut got, waits).await {
                return;
            }
            self.hears.send_modify(|requests| requests.push(self.connection));
            if !is_first {
                if stream.write_all(PLAIN_200).await.is_err() {
                    return;
                }
                continue;
            }
            for step in &self.steps {
                if !self.take(step, &mut stream).await {
                    return;
                }
            }
        }
    }

    /// Whether the connection goes on.
    async fn take(&self, step: &Step, stream: &mut (impl AsyncRead + AsyncWrite + Unpin + Linger)) -> bool {
        match step {
            Step::Say(bytes) => self.say(stream, bytes).await,
            Step::Flood(bytes) => {
                while self.say(stream, bytes).await {}
                false
            }
            Step::Drip(bytes) => {
                while self.say(stream, bytes).await {
                    tokio::time::sleep(DRIP).await;
                }
                false
            }
            Step::Hang => {
                let mut ignored = [0; 1024];
                while stream.read(&mut ignored).await.is_ok_and(|n| n > 0) {}
                false
            }
            Step::Reset => {
                tokio::time::sleep(ARRIVES).await;
                stream.reset_on_close();
                false
            }
            Step::Close => false,
        }
    }

    async fn say(&self, stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> bool {
        let said = stream.write_all(bytes).await.is_ok() && stream.flush().await.is_ok();
        self.said.fetch_add(if said { bytes.len() } else { 0 }, Ordering::SeqCst);
        said
    }
}

/// Reads a request into `got` and takes it out; false at the end of the connection.
async fn request(stream: &mut (impl AsyncRead + Unpin), got: &mut Vec<u8>, waits: Waits) -> bool {
    loop {
        if waits == Waits::ForBytes && !got.is_empty() {
            got.clear();
            return true;
        }
        if let Some(end) = end(got) {
            got.drain(..end);
            return true;
        }
        if !stream.read_buf(got).await.is_ok_and(|n| n > 0) {
            return false;
        }
    }
}

/// Where a request with a `content-length` ends, once it is whole.
fn end(got: &[u8]) -> Option<usize> {
    let head = got.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&got[..head]).ok()?.to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:"))?.trim();
    let end = head + length.parse::<usize>().ok()?;
    (got.len() >= end).then_some(end)
}
