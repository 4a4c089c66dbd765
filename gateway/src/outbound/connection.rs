//! One HTTP/1.1 connection, driven by the task that uses it: no task of its own, no wake from one thread to another.

use crate::model::attempt::Failure;
use crate::outbound::innermost;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What moves the bytes of a connection. It is large, and goes from the pool to an attempt and back.
type Driver = Box<http1::Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>>;

/// A request as it is sent.
pub(super) type Sending = Request<Full<Bytes>>;

/// A connection. Dropping it closes it.
pub(super) struct Connection {
    pub(super) opened: Instant,
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<Driver>,
}

/// Why there is no response.
pub(super) enum Unanswered {
    /// The connection was closed before anything of the request was sent: here it is again.
    Unsent(Box<Sending>),
    /// The connection ended without an answer to the request, which may have been sent.
    Ended(Failure),
    /// What came is no answer.
    Broken(Failure),
}

impl Connection {
    pub(super) async fn over(stream: Box<dyn Stream>) -> Result<Connection, Failure> {
        let (sender, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Failure::Connect(innermost(&error)))?;
        Ok(Connection { opened: Instant::now(), sender, driver: Some(Box::new(driver)) })
    }

    /// Sends a request and waits for the head of the response. Dropping the future leaves a connection that cannot
    /// be used again.
    pub(super) async fn send(&mut self, request: Sending) -> Result<Response<Incoming>, Unanswered> {
        let response = self.sender.try_send_request(request);
        drive(&mut self.driver, response).await.map_err(|mut error| {
            let failure = |error: &hyper::Error| Failure::Broken(innermost(error));
            match error.take_message() {
                Some(request) => Unanswered::Unsent(Box::new(request)),
                None if error.error().is_parse() => Unanswered::Broken(failure(error.error())),
                None => Unanswered::Ended(failure(error.error())),
            }
        })
    }

    /// Reads the beginning of the body until `deadline`, at most `max` bytes. Whatever ends it, what was read is
    /// answered; the flag says whether that was all.
    pub(super) async fn read(
        &mut self,
        mut body: Incoming,
        max: usize,
        deadline: Instant,
    ) -> (Vec<u8>, bool) {
        let mut answer = Vec::new();
        while !body.is_end_stream() {
            let frame = tokio::time::timeout_at(deadline, drive(&mut self.driver, body.frame())).await;
            let Ok(Some(Ok(frame))) = frame else { return (answer, matches!(frame, Ok(None))) };
            let chunk = frame.into_data().unwrap_or_default();
            let room = max - answer.len();
            answer.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if answer.len() == max {
                return (answer, body.is_end_stream());
            }
        }
        (answer, true)
    }

    /// Whether another request can be sent at once. Takes in what came meanwhile, such as the end of the connection.
    pub(super) async fn is_usable(&mut self) -> bool {
        poll_fn(|context| {
            if let Some(driver) = &mut self.driver
                && Pin::new(driver).poll(context).is_ready()
            {
                self.driver = None;
            }
            let ready = self.sender.poll_ready(context);
            Poll::Ready(self.driver.is_some() && matches!(ready, Poll::Ready(Ok(()))))
        })
        .await
    }
}

/// Polls what waits for the connection, the connection, and what waits again: what it asks for is written at once, and
/// what comes in is seen at once.
async fn drive<F: Future>(driver: &mut Option<Driver>, waits: F) -> F::Output {
    let mut waits = pin!(waits);
    poll_fn(|context| {
        if let Poll::Ready(output) = waits.as_mut().poll(context) {
            return Poll::Ready(output);
        }
        // How it ended is told to what waits.
        if driver.as_mut().is_some_and(|driver| Pin::new(driver).poll(context).is_ready()) {
            *driver = None;
        }
        waits.as_mut().poll(context)
    })
    .await
}
