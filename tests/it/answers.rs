//! Everything that an endpoint may answer, byte for byte, and what becomes of the delivery, of its connection, and of
//! everybody else.

use crate::delivery::send;
use crate::line::FLEXPRICE;
use billhook_tests::Gateway;
use billhook_tests::receiver::Receiver;
use billhook_tests::sender::SECRET;
use billhook_tests::wire::{Step, Waits, Wire};
use gateway::model::attempt::{ANSWER_BYTES_MAX, Attempt, Failure, Outcome};
use gateway::model::delivery::Delivery;
use gateway::model::id::EndpointId;
use std::time::Duration;

/// What a delivery should come to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Comes {
    To(u16),
    Status(u16),
    Timeout,
    Connect,
    Broken,
}

/// Whether the next delivery may use the connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Connection {
    Kept,
    Left,
}

use Comes::{Broken, Connect, Status, Timeout, To};
use Connection::{Kept, Left};

struct Case {
    name: &'static str,
    steps: Vec<Step>,
    comes: Comes,
    connection: Connection,
    /// How long the answer is that is kept.
    answer: usize,
    scheme: &'static str,
}

fn case(name: &'static str, steps: Vec<Step>, comes: Comes, connection: Connection, answer: usize) -> Case {
    Case { name, steps, comes, connection, answer, scheme: "http" }
}

/// A 307 to `inside`, which nobody may follow.
fn cases(inside: &str) -> Vec<Case> {
    let say = Step::say;
    let ok = "HTTP/1.1 200 OK\r\n";
    let plain = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf";
    let endless = || vec![b'x'; 64 << 10];
    let to =
        |status: u16| say(&format!("HTTP/1.1 {status} x\r\nlocation: {inside}\r\ncontent-length: 0\r\n\r\n"));
    vec![
        case("a plain 200", vec![say(plain)], To(200), Kept, 2),
        case("a hang before the header", vec![Step::Hang], Timeout, Left, 0),
        case("a hang in the header", vec![say("HTTP/1.1 200 OK\r\nx-a:"), Step::Hang], Timeout, Left, 0),
        case("a hang in the body", vec![say(half), Step::Hang], To(200), Left, 4),
        case(
            "a hang in the body of a 500",
            vec![say("HTTP/1.1 500 x\r\ncontent-length: 9\r\n\r\nno"), Step::Hang],
            Status(500),
            Left,
            2,
        ),
        case("a reset before the header", vec![Step::Reset], Broken, Left, 0),
        case("a reset in the header", vec![say("HTTP/1.1 200 OK\r\nx-a:"), Step::Reset], Broken, Left, 0),
        case("a reset in the body", vec![say(half), Step::Reset], To(200), Left, 4),
        case("a close before the header", vec![Step::Close], Broken, Left, 0),
        case("a close in the body", vec![say(half), Step::Close], To(200), Left, 4),
        case(
            "garbage",
            vec![Step::Say(vec![0, 159, 146, 150, 255, b'\r', b'\n', b'\r', b'\n'])],
            Broken,
            Left,
            0,
        ),
        case("another protocol", vec![say("220 mail.example.com ESMTP\r\n")], Broken, Left, 0),
        case(
            "an answer of 10 MB",
            vec![
                say("HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n"),
                Step::Say(vec![b'x'; 10_000_000]),
            ],
            To(200),
            Left,
            ANSWER_BYTES_MAX,
        ),
        case(
            "an answer without an end",
            vec![say("HTTP/1.1 500 x\r\n\r\n"), Step::Flood(endless())],
            Status(500),
            Left,
            ANSWER_BYTES_MAX,
        ),
        case(
            "chunks without an end",
            vec![
                say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
                Step::Flood(b"4\r\nabcd\r\n".repeat(1000)),
            ],
            To(200),
            Left,
            ANSWER_BYTES_MAX,
        ),
        case(
            "a header without an end",
            vec![say(ok), Step::Flood(b"x-a: b\r\n".repeat(1000))],
            Broken,
            Left,
            0,
        ),
        case(
            "one line of a header without an end",
            vec![say("HTTP/1.1 200 OK\r\nx-a: "), Step::Flood(endless())],
            Broken,
            Left,
            0,
        ),
        case(
            "a header byte by byte",
            vec![say("HTTP/1.1 200 "), Step::Drip(b"x".to_vec())],
            Timeout,
            Left,
            0,
        ),
        case(
            "100, 102 and 103 before the answer",
            vec![
                say(
                    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
                ),
                say(plain),
            ],
            To(200),
            Kept,
            2,
        ),
        case(
            "100 and nothing else",
            vec![say("HTTP/1.1 100 Continue\r\n\r\n"), Step::Hang],
            Timeout,
            Left,
            0,
        ),
        case(
            "100 without an end",
            vec![Step::Drip(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())],
            Timeout,
            Left,
            0,
        ),
        case(
            "101",
            vec![
                say("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
                Step::Hang,
            ],
            Status(101),
            Left,
            0,
        ),
        case("301 to a private address", vec![to(301)], Status(301), Kept, 0),
        case("307 to a private address", vec![to(307)], Status(307), Kept, 0),
        case("308 to a private address", vec![to(308)], Status(308), Kept, 0),
        case("304", vec![say("HTTP/1.1 304 Not Modified\r\n\r\n")], Status(304), Kept, 0),
        case("HTTP/1.0", vec![say("HTTP/1.0 200 OK\r\n\r\nok"), Step::Close], To(200), Left, 2),
        case(
            "HTTP/1.0 with a length",
            vec![say("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok")],
            To(200),
            Left,
            2,
        ),
        case(
            "HTTP/1.0 that stays",
            vec![say("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok")],
            To(200),
            Kept,
            2,
        ),
        case("HTTP/2.0", vec![say("HTTP/2.0 200 OK\r\ncontent-length: 0\r\n\r\n")], Broken, Left, 0),
        case(
            "connection: close",
            vec![say("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"), Step::Hang],
            To(200),
            Left,
            2,
        ),
        case("204", vec![say("HTTP/1.1 204 No Content\r\n\r\n")], To(204), Kept, 0),
        case(
            "204 with a body",
            vec![say("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello")],
            To(204),
            Left,
            0,
        ),
        case(
            "205 and 299 are success",
            vec![say("HTTP/1.1 299 x\r\ncontent-length: 0\r\n\r\n")],
            To(299),
            Kept,
            0,
        ),
        case(
            "a chunk size that is none",
            vec![say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n")],
            To(200),
            Left,
            0,
        ),
        case(
            "a chunk size of 2^68",
            vec![say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\nhello\r\n")],
            To(200),
            Left,
            0,
        ),
        case(
            "a chunk that is longer than it says",
            vec![say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n")],
            To(200),
            Left,
            2,
        ),
        case(
            "chunks with trailers",
            vec![say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-a: b\r\n\r\n")],
            To(200),
            Kept,
            2,
        ),
        case(
            "two lengths",
            vec![say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\nhello")],
            Broken,
            Left,
            0,
        ),
        case(
            "a length that is none",
            vec![say("HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello")],
            Broken,
            Left,
            0,
        ),
        case(
            "two answers",
            vec![say(plain), say("HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n")],
            To(200),
            Left,
            2,
        ),
        case(
            "two answers at once",
            vec![say(&format!("{plain}HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n"))],
            To(200),
            Left,
            2,
        ),
        case("a status of 000", vec![say("HTTP/1.1 000 x\r\ncontent-length: 0\r\n\r\n")], Broken, Left, 0),
        case(
            "a status of 999",
            vec![say("HTTP/1.1 999 x\r\ncontent-length: 0\r\n\r\n")],
            Status(999),
            Kept,
            0,
        ),
        Case {
            scheme: "https",
            ..case(
                "plain HTTP where TLS is spoken",
                vec![say("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")],
                Connect,
                Left,
                0,
            )
        },
        Case { scheme: "https", ..case("silence where TLS is spoken", vec![Step::Hang], Timeout, Left, 0) },
        // A fatal alert: unexpected message.
        case(
            "TLS where HTTP is spoken",
            vec![Step::Say(vec![0x15, 3, 3, 0, 2, 2, 10]), Step::Close],
            Broken,
            Left,
            0,
        ),
    ]
}

fn came(outcome: &Outcome) -> Option<Comes> {
    match outcome {
        Outcome::Delivered { status } => Some(To(*status)),
        Outcome::Failed(Failure::Status(status)) => Some(Status(*status)),
        Outcome::Failed(Failure::Timeout) => Some(Timeout),
        Outcome::Failed(Failure::Connect(_)) => Some(Connect),
        Outcome::Failed(Failure::Broken(_)) => Some(Broken),
        Outcome::Failed(_) | Outcome::Skipped(_) => None,
    }
}

#[tokio::test]
async fn whatever_an_endpoint_answers_is_recorded_bounded_and_hurts_nobody_else() {
    let (well, inside) = (Receiver::start().await, Receiver::start().await);
    let cases = cases(&inside.url());
    let mut wires = Vec::new();
    let mut config = format!("{FLEXPRICE}{}timeout = \"60s\"\n", well.endpoint("well"));
    for (n, case) in cases.iter().enumerate() {
        let waits = if case.scheme == "https" { Waits::ForBytes } else { Waits::ForAll };
        let wire = Wire::start(waits, case.steps.clone()).await;
        let (scheme, addr) = (case.scheme, wire.addr);
        config += &format!(
            "[[endpoint]]\nname = \"e{n}\"\nurl = \"{scheme}://{addr}/\"\nsecret = \"{SECRET}\"\ntimeout = \"1s\"\n"
        );
        wires.push(wire);
    }
    let gateway = Gateway::start(&config).await;
    let first = send(&gateway, "subs_1").await;
    well.got(1).await;
    gateway.settle().await;
    let tried = tries(&gateway, &first, cases.len()).await;
    for ((case, wire), (delivery, attempts)) in cases.iter().zip(&wires).zip(&tried) {
        let [attempt] = &attempts[..] else { panic!("{}: {attempts:?}", case.name) };
        assert_eq!(came(&attempt.outcome), Some(case.comes), "{}: {:?}", case.name, attempt.outcome);
        assert_eq!(attempt.answer.len(), case.answer, "{}", case.name);
        let is_delivered = matches!(case.comes, To(_));
        assert_eq!(
            delivery.state.name(),
            if is_delivered { "delivered" } else { "waiting" },
            "{}",
            case.name
        );
        // What the sockets on both sides hold beside what we read.
        assert!(wire.said() <= 32 << 20, "{}: {} bytes were taken", case.name, wire.said());
    }

    // The next event finds endpoints that are well again.
    let second = send(&gateway, "subs_2").await;
    gateway.settle().await;
    for ((case, wire), (delivery, attempts)) in
        cases.iter().zip(&wires).zip(tries(&gateway, &second, cases.len()).await)
    {
        if case.scheme == "https" {
            continue;
        }
        assert_eq!(delivery.state.name(), "delivered", "{}: {attempts:?}", case.name);
        let connection = if wire.requests()[..2] == [1, 1] { Kept } else { Left };
        assert_eq!(connection, case.connection, "{}: {:?}", case.name, wire.requests());
    }
    // What failed is tried again, once, and only that.
    gateway.advance(Duration::from_secs(61)).await;
    for (case, (delivery, attempts)) in cases.iter().zip(tries(&gateway, &first, cases.len()).await) {
        if case.scheme == "http" {
            let tries = if matches!(case.comes, To(_)) { 1 } else { 2 };
            assert_eq!((delivery.state.name(), attempts.len()), ("delivered", tries), "{}", case.name);
        }
    }
    assert_eq!(well.received().len(), 2);
    assert!(inside.received().is_empty(), "nobody follows a redirect");
    gateway.stop().await;
}

/// The delivery of a webhook's event to each of the cases' endpoints, with its attempts.
async fn tries(gateway: &Gateway, webhook: &str, n: usize) -> Vec<(Delivery, Vec<Attempt>)> {
    let deliveries = gateway.story(webhook).await.events.remove(0).deliveries;
    let of = |name: String| {
        let id = EndpointId::derive(&name);
        deliveries.iter().find(|(delivery, _)| delivery.endpoint == id).unwrap().clone()
    };
    (0..n).map(|n| of(format!("e{n}"))).collect()
}
