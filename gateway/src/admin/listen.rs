//! Serves the admin API on a listener until it is told to stop.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

/// The most connections that are open at once; the next waits to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// How long a request's header may take to arrive, and a connection may idle between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long whoever asked may read nothing of an answer before the connection is closed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests under way get to end once the gateway stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// The wait after a failed accept, which mostly means that the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` on `listener` until `stop` is done; requests under way then get a few seconds to end. Dropping the
/// future closes every connection.
pub async fn serve(router: Router, listener: TcpListener, stop: impl Future<Output = ()>) {
    serve_with(router, listener, stop, ANSWER_TIMEOUT).await;
}

async fn serve_with(
    router: Router,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
    answer_timeout: Duration,
) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.expect("the semaphore is never closed");
            (slot, listener.accept().await)
        };
        let (slot, stream) = tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next() => continue,
            (slot, stream) = accepted => (slot, stream),
        };
        let stream = match stream {
            Ok((stream, _)) => stream,
            Err(cause) => {
                tracing::warn!(%cause, "the admin listener cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(answer_timeout));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            // Who hangs up has asked all the same: what is committed is followed by its wake.
            .half_close(true)
            .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(router.clone()));
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            let _slot = slot;
            if let Err(cause) = connection.await {
                tracing::debug!(%cause, "an admin connection ended early");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(STOP_TIMEOUT, graceful.shutdown()).await.is_err() {
        tracing::warn!(left = connections.len(), "admin requests did not end in time and were cut off");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpStream;

    /// How long the test waits before it is red.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn who_reads_no_answer_does_not_keep_a_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/healthz", get(async || "ok"));
        let serving = tokio::spawn(async move {
            serve_with(router, listener, std::future::pending(), Duration::from_millis(100)).await;
        });
        let mut client = TcpStream::connect(address).await.unwrap();
        let many = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
        // What the system keeps between the two is full soon; then nothing moves until the gateway hangs up.
        let full = async { while client.write_all(many.as_bytes()).await.is_ok() {} };
        tokio::time::timeout(PATIENCE, full).await.expect("the gateway hangs up");
        serving.abort();
    }
}
