//! Real sockets, and what they say.

use super::*;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// What a receiver does after it has written its answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    /// Closes in order.
    Close,
    /// Resets the connection.
    Reset,
    /// Says nothing more and keeps the connection.
    Hang,
    /// Goes on for ever, a byte now and then.
    Drip,
}

/// A receiver that answers every request with `answer`; the requests it heard, as text.
async fn receiver(answer: Vec<u8>, then: Then) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answering(stream, answer.clone(), then, heard.clone()));
        }
    });
    (address, hears)
}

async fn answering(mut stream: TcpStream, answer: Vec<u8>, then: Then, heard: mpsc::UnboundedSender<String>) {
    let mut request = Vec::new();
    while !request.ends_with(b"ping") {
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return;
        }
    }
    // Some tests do not listen.
    let _ = heard.send(String::from_utf8(request).unwrap());
    // The client may hang up before it has read everything.
    let _ = stream.write_all(&answer).await;
    match then {
        Then::Close => {}
        Then::Reset => {
            stream.flush().await.unwrap();
            // Let the answer arrive: a reset overtakes what has not been read.
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.set_zero_linger().unwrap();
        }
        Then::Hang => std::future::pending().await,
        Then::Drip => {
            while stream.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

fn allowing(nets: &[&str], listeners: &[SocketAddr]) -> Outbound {
    let allow = nets.iter().map(|net| net.parse().unwrap()).collect();
    let policy = Policy { allow, own: listeners.to_vec() };
    Outbound::new(policy).unwrap()
}

fn local() -> Outbound {
    allowing(&["127.0.0.0/8", "::1/128"], &[])
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())])
}

fn post(url: &str, timeout: Duration) -> Post<'static> {
    let now = Time::from_secs(1_000_000_000);
    Post { url: url.parse().unwrap(), headers: &headers, body: Bytes::from_static(b"ping"), timeout, now }
}

const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_request_is_what_was_asked_for_and_no_more() {
    let (address, mut heard) =
        receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec(), Then::Close).await;
    let sent = local().send(post(&format!("http://{address}/hooks?key=1"), LONG)).await;
    assert_eq!((sent.outcome, sent.answer), (Outcome::Delivered { status: 200 }, b"ok".to_vec()));
    let request = heard.recv().await.unwrap().to_lowercase();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let (agent, host) =
        (concat!("user-agent: billhook/", env!("CARGO_PKG_VERSION")), format!("host: {address}"));
    let expected = [
        "post /hooks?key=1 http/1.1",
        "accept: */*",
        "content-length: 4",
        "content-type: application/json",
        &host,
        agent,
    ];
    assert_eq!((lines.as_slice(), body), (expected.as_slice(), "ping"));
}

#[tokio::test]
async fn the_status_decides_whatever_becomes_of_the_body() {
    let delivered = |status| Outcome::Delivered { status };
    let failed = |status| Outcome::Failed(Failure::Status(status));
    let big =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n".to_vec(), vec![b'x'; 10_000_000]].concat();
    let big_error = [b"HTTP/1.1 500 no\r\n\r\n".to_vec(), vec![b'x'; 10_000_000]].concat();
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_vec();
    let cases = [
        ("204", b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Then::Close, delivered(204), 0),
        ("299", b"HTTP/1.1 299 x\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Close, delivered(299), 0),
        ("10 MB after a 200", big, Then::Close, delivered(200), ANSWER_BYTES_MAX),
        ("10 MB after a 500", big_error, Then::Close, failed(500), ANSWER_BYTES_MAX),
        ("a body cut short", ok.clone(), Then::Close, delivered(200), 4),
        ("a reset in the body", ok.clone(), Then::Reset, delivered(200), 4),
        ("a body that hangs", ok, Then::Hang, delivered(200), 4),
        ("404", b"HTTP/1.1 404 no\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Close, failed(404), 0),
    ];
    for (name, answer, then, outcome, len) in cases {
        let (address, _heard) = receiver(answer, then).await;
        let timeout = if then == Then::Hang { SHORT } else { LONG };
        let sent = local().send(post(&format!("http://{address}/"), timeout)).await;
        assert_eq!((sent.outcome, sent.answer.len()), (outcome, len), "{name}");
    }
    let (address, _heard) =
        receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n".to_vec(), Then::Drip).await;
    let sent = local().send(post(&format!("http://{address}/"), SHORT)).await;
    assert_eq!(sent.outcome, delivered(200), "a byte at a time");
    assert!(sent.answer.len() < 9999, "the deadline ends the reading");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n");
        let (address, mut heard) = receiver(answer.into_bytes(), Then::Close).await;
        let sent = local().send(post(&format!("http://{address}/here"), LONG)).await;
        assert_eq!(sent.outcome, Outcome::Failed(Failure::Status(status)));
        assert!(heard.recv().await.unwrap().starts_with("POST /here "));
        assert!(heard.try_recv().is_err(), "{status}: a second request");
    }
}

#[tokio::test]
async fn failures_are_told_apart() {
    // Nobody listens there, and nobody else is given the port meanwhile.
    let unheard = TcpSocket::new_v4().unwrap();
    unheard.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = unheard.local_addr().unwrap();
    let hung = receiver(Vec::new(), Then::Hang).await.0;
    let header_drips = receiver(b"HTTP/1.1 200 ".to_vec(), Then::Drip).await.0;
    let reset = receiver(Vec::new(), Then::Reset).await.0;
    let silent = receiver(Vec::new(), Then::Close).await.0;
    let nonsense = receiver(b"SMTP ready\r\n\r\n".to_vec(), Then::Close).await.0;
    let cases = [
        (format!("http://user:hunter2@{closed}/?token=hunter2"), "connect"),
        (format!("http://{hung}/?token=hunter2"), "timeout"),
        (format!("http://{header_drips}/"), "timeout"),
        (format!("http://{reset}/?token=hunter2"), "broken"),
        (format!("http://{silent}/?token=hunter2"), "broken"),
        (format!("http://{nonsense}/?token=hunter2"), "broken"),
        // Not TLS on the other side.
        (format!("https://{nonsense}/?token=hunter2"), "timeout"),
        ("http://nothing.invalid/?token=hunter2".to_owned(), "resolve"),
    ];
    for (url, kind) in cases {
        let timeout = if kind == "timeout" { SHORT } else { LONG };
        let Outcome::Failed(failure) = local().send(post(&url, timeout)).await.outcome else {
            panic!("{url}")
        };
        let found = match &failure {
            Failure::Status(_) => "status",
            Failure::Timeout => "timeout",
            Failure::Connect(_) => "connect",
            Failure::Resolve(_) => "resolve",
            Failure::Forbidden(_) => "forbidden",
            Failure::Broken(_) => "broken",
            Failure::Unreadable(_) | Failure::Plugin { .. } | Failure::Exhausted(_) => "unreadable",
        };
        assert_eq!(found, kind, "{url}: {failure}");
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }
}

#[tokio::test]
async fn private_addresses_are_refused_in_every_spelling_unless_allowed() {
    let (address, mut heard) =
        receiver(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec(), Then::Close).await;
    let port = address.port();
    let spellings = [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "%31%32%37.0.0.1",
        "１２７.0.0.1",
        "localhost",
        "LOCALHOST",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
    ];
    let allowed = local();
    for host in spellings {
        let url = format!("http://{host}:{port}/");
        let refused = allowing(&[], &[]).send(post(&url, LONG)).await;
        assert!(
            matches!(refused.outcome, Outcome::Failed(Failure::Forbidden(_))),
            "{url}: {:?}",
            refused.outcome
        );
        assert!(heard.try_recv().is_err(), "{url} was reached");
        let sent = allowed.send(post(&url, LONG)).await;
        assert_eq!(sent.outcome, Outcome::Delivered { status: 200 }, "{url}");
        heard.recv().await.unwrap();
    }
    for host in ["0.0.0.0", "0", "[::]", "[::1]", "[64:ff9b::7f00:1]", "10.0.0.1", "169.254.169.254"] {
        let refused =
            allowing(&["192.168.0.0/16"], &[]).send(post(&format!("http://{host}:{port}/"), LONG)).await;
        assert!(
            matches!(refused.outcome, Outcome::Failed(Failure::Forbidden(_))),
            "{host}: {:?}",
            refused.outcome
        );
    }
}

#[tokio::test]
async fn our_own_listeners_are_refused_even_where_their_network_is_allowed() {
    let (own, mut heard) = receiver(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Close).await;
    let other = receiver(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Close).await.0;
    let everywhere = SocketAddr::new("0.0.0.0".parse().unwrap(), own.port());
    for listener in [own, everywhere] {
        let outbound = allowing(&["0.0.0.0/0", "::/0"], &[listener]);
        for host in
            ["127.0.0.1", "localhost", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "0x7f.1"]
        {
            let sent = outbound.send(post(&format!("http://{host}:{}/", own.port()), LONG)).await;
            let Outcome::Failed(Failure::Forbidden(why)) = &sent.outcome else {
                panic!("{host}: {:?}", sent.outcome)
            };
            assert!(why.ends_with("is this gateway itself"), "{why}");
        }
        let sent = outbound.send(post(&format!("http://{other}/"), LONG)).await;
        assert_eq!(sent.outcome, Outcome::Delivered { status: 200 });
    }
    assert!(heard.try_recv().is_err());
}

#[tokio::test]
async fn only_http_and_https_leave_the_house() {
    for url in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "unix:/run/docker.sock",
        "ws://example.com/",
    ] {
        let sent = local().send(post(url, LONG)).await;
        assert!(matches!(sent.outcome, Outcome::Failed(Failure::Forbidden(_))), "{url}: {:?}", sent.outcome);
    }
}

/// A receiver whose connections answer one request each, and do this with the next one.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    Close,
    Reset,
    Say(&'static [u8]),
}

/// What it heard: the number of the connection for each request. From the connection `silent` on, none is answered.
async fn forgetful(next: Next, silent: usize) -> (SocketAddr, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, hears) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for connection in 1.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            for nth in 1..=2 {
                let mut request = Vec::new();
                while !request.ends_with(b"ping") && stream.read_buf(&mut request).await.unwrap() > 0 {}
                if request.is_empty() {
                    break;
                }
                // A test may have ended before its last request.
                let _ = heard.send(connection);
                match next {
                    _ if nth == 1 && connection < silent => {
                        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        stream.write_all(ok).await.unwrap();
                    }
                    Next::Close => break,
                    Next::Reset => {
                        stream.set_zero_linger().unwrap();
                        break;
                    }
                    Next::Say(said) => stream.write_all(said).await.unwrap(),
                }
            }
        }
    });
    (address, hears)
}

#[tokio::test]
async fn a_post_is_sent_once_more_where_a_kept_connection_ends_without_an_answer() {
    // What the second post comes to, and the connections that were posted on.
    let cases = [
        ("closed", Next::Close, 9, None, vec![1, 1, 2]),
        ("reset", Next::Reset, 9, None, vec![1, 1, 2]),
        ("closed twice", Next::Close, 2, Some("broken"), vec![1, 1, 2]),
        ("no HTTP", Next::Say(b"SMTP ready\r\n\r\n"), 9, Some("broken"), vec![1, 1]),
    ];
    for (name, next, silent, failure, connections) in cases {
        let (address, mut heard) = forgetful(next, silent).await;
        let (outbound, url) = (local(), format!("http://{address}/"));
        assert_eq!(outbound.send(post(&url, LONG)).await.outcome, Outcome::Delivered { status: 200 });
        let found = match outbound.send(post(&url, LONG)).await.outcome {
            Outcome::Delivered { status: 200 } => None,
            Outcome::Failed(Failure::Broken(_)) => Some("broken"),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(found, failure, "{name}");
        let heard: Vec<usize> = std::iter::from_fn(|| heard.try_recv().ok()).collect();
        assert_eq!(heard, connections, "{name}");
    }
}

#[tokio::test]
async fn what_a_plugin_asks_is_never_sent_twice() {
    let (address, mut heard) = forgetful(Next::Close, 9).await;
    let outbound = local();
    let url: Url = format!("http://{address}/").parse().unwrap();
    let fetch = Fetch {
        method: Method::POST,
        url,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"ping"),
        timeout: LONG,
        answer_max: 9,
    };
    assert_eq!(outbound.fetch(fetch.clone()).await.unwrap().status, 200);
    assert!(matches!(outbound.fetch(fetch).await, Err(Failure::Broken(_))));
    assert_eq!((heard.recv().await, heard.recv().await), (Some(1), Some(1)));
    assert!(heard.try_recv().is_err());
}

#[test]
fn an_idle_connection_is_kept_for_less_than_the_receiver_keeps_it() {
    let cases = [
        ("", 4),
        ("timeout=5", 4),
        ("timeout=75, max=1000", 4),
        ("max=100, Timeout = 3", 2),
        ("timeout=1", 0),
        ("timeout=0", 0),
        ("timeout=soon", 4),
        ("timeout", 4),
    ];
    for (said, secs) in cases {
        let headers = HeaderMap::from_iter([(KEEP_ALIVE, said.parse().unwrap())]);
        assert_eq!(idle_of(&headers), Duration::from_secs(secs), "{said:?}");
    }
    assert_eq!(idle_of(&HeaderMap::new()), Duration::from_secs(4));
}

#[test]
fn retry_after_in_seconds_and_as_a_date() {
    let now = Time::parse("2015-10-21T07:28:00Z").unwrap();
    let cases = [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("Wed, 21 Oct 2015 07:29:30 GMT", Some(90)),
        ("Wednesday, 21-Oct-15 07:28:01 GMT", Some(1)),
        ("Wed Oct 21 07:28:02 2015", Some(2)),
        ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ];
    for (value, secs) in cases {
        assert_eq!(retry_after_of(value.as_bytes(), now), secs.map(Duration::from_secs), "{value:?}");
    }
    assert_eq!(retry_after_of(b"\xff", now), None);
}
