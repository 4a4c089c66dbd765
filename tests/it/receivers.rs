//! The receivers that `docs/integrators.md` shows, each against what a gateway really delivers.

mod rust;

use crate::docs::{blocks, page};
use crate::line::{FLEXPRICE, canceled};
use base64::{Engine, engine::general_purpose::STANDARD};
use billhook_tests::Gateway;
use billhook_tests::receiver::{Received, Receiver};
use billhook_tests::sender::{SECRET, post_signed, sign};
use gateway::clock::Clock;
use gateway::model::Time;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::io::{ErrorKind, Write, stderr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A secret that the endpoint signs with beside [`SECRET`], as while rotating.
const NEWER_SECRET: &str = "whsec_bmV3ZXIgc2VjcmV0IG9mIHRoaXJ0eS10d28gYnl0ZXM=";
/// A secret that no delivery is signed with.
const OTHER_SECRET: &str = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCBvZiAzMiBieXQ=";
/// A private key that the endpoint signs with too, its public key, and another's.
const PRIVATE_KEY: &str = "whsk_BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const PUBLIC_KEY: &str = "whpk_6kpsY+KcUgq+9VB7Ey7F+ZVHdq6+vnuSQh7qaRRG0iw=";
const OTHER_PUBLIC_KEY: &str = "whpk_E5j2LG0aRXxRumpLXz29L2n8qTIWIY3ImX5Ba9F9k8o=";
/// Longer ago than the five minutes that a receiver bears, and longer ahead, however slow the test is.
const TOO_OLD: Duration = Duration::from_secs(310);
const TOO_EARLY: Duration = Duration::from_secs(1200);

/// A request to a receiver, and whether it should be taken.
#[derive(Clone)]
struct Case {
    what: &'static str,
    secret: &'static str,
    headers: HeaderMap,
    body: Vec<u8>,
    authentic: bool,
}

impl Case {
    fn of(received: &Received, what: &'static str, authentic: bool) -> Case {
        let (headers, body) = (received.headers.clone(), received.body.to_vec());
        Case { what, secret: SECRET, headers, body, authentic }
    }

    /// A refused one: `fresh` after `change`.
    fn changed(fresh: &Received, what: &'static str, change: impl FnOnce(&mut Case)) -> Case {
        let mut case = Case::of(fresh, what, false);
        change(&mut case);
        case
    }

    fn set(&mut self, name: &'static str, value: &str) {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }
}

/// Three real deliveries, at times that are too old, right and too early for a receiver that reads the machine's
/// clock, and what somebody in between could make of the right one.
async fn cases() -> Vec<Case> {
    let receiver = Receiver::start().await;
    let endpoint = format!(
        "[[endpoint]]\nname = \"app\"\nurl = \"{}\"\nsecret = [\"{NEWER_SECRET}\", \"{SECRET}\", \"{PRIVATE_KEY}\"]\n",
        receiver.url()
    );
    let early = Time::from_secs(Clock::system().now().secs() - TOO_OLD.as_secs());
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::start_in(dir, &format!("{FLEXPRICE}{endpoint}"), Clock::manual(early)).await;
    for (id, then) in [("subs_old", TOO_OLD), ("subs_fresh", TOO_EARLY), ("subs_ahead", Duration::ZERO)] {
        let (now, body) = (gateway.clock.now().secs(), canceled(id, "zu teuer für uns, 太贵"));
        assert_eq!(post_signed(&gateway.url("/in/flexprice"), id, now, &body).await.status, 200);
        gateway.settle().await;
        gateway.clock.advance(then);
    }
    gateway.stop().await;
    let received = receiver.received();
    let [old, fresh, ahead] = &received[..] else { panic!("three were sent, not {}", received.len()) };
    assert!(fresh.header("webhook-signature").contains(' '), "each live secret signs");

    let unkeyed = sign("", fresh.header("webhook-id"), fresh.header("webhook-timestamp"), &fresh.body);
    vec![
        Case::of(fresh, "as it came", true),
        Case { secret: NEWER_SECRET, ..Case::of(fresh, "under the newer secret", true) },
        Case { secret: NEWER_SECRET.trim_end_matches('='), ..Case::of(fresh, "without its padding", true) },
        Case::of(old, "too old", false),
        Case::of(ahead, "too early", false),
        Case::changed(fresh, "another body", |case| *case.body.last_mut().unwrap() = b' '),
        Case::changed(fresh, "a longer body", |case| case.body.push(b'\n')),
        Case::changed(fresh, "another id", |case| case.set("webhook-id", "evt_another")),
        Case::changed(fresh, "another time", |case| {
            let at: u64 = fresh.header("webhook-timestamp").parse().unwrap();
            case.set("webhook-timestamp", &(at + 1).to_string());
        }),
        Case::changed(fresh, "no time", |case| case.set("webhook-timestamp", "soon")),
        Case::changed(fresh, "an endless time", |case| {
            case.set("webhook-timestamp", &"9".repeat(400));
        }),
        Case::changed(fresh, "an empty signature", |case| case.set("webhook-signature", "v1,")),
        Case::changed(fresh, "no headers", |case| case.headers.clear()),
        Case::changed(fresh, "another secret", |case| case.secret = OTHER_SECRET),
        Case::changed(fresh, "an empty secret", |case| {
            case.secret = "";
            case.set("webhook-signature", &unkeyed);
        }),
    ]
}

/// The same requests to a receiver that has a public key.
fn under_public_keys(cases: &[Case]) -> Vec<Case> {
    let key = |secret| match secret {
        SECRET => Some(PUBLIC_KEY),
        OTHER_SECRET => Some(OTHER_PUBLIC_KEY),
        _ => None,
    };
    cases.iter().filter_map(|case| Some(Case { secret: key(case.secret)?, ..case.clone() })).collect()
}

#[tokio::test]
async fn every_receiver_that_is_shown_takes_what_is_delivered_and_nothing_else() {
    let cases = cases().await;
    for case in &cases {
        let taken = rust::is_authentic(case.secret, &case.headers, &case.body);
        assert_eq!(taken, case.authentic, "rust: {}", case.what);
    }
    let page = page("docs/integrators.md");
    // In each language first the one that has a secret.
    let snippet = |language: &str, nth: usize| blocks(&page, language)[nth];
    assert!(
        include_str!("receivers/rust.rs").ends_with(snippet("rust", 0).trim_start()),
        "tests/it/receivers/rust.rs is not the snippet of docs/integrators.md"
    );
    let public = under_public_keys(&cases);
    assert_eq!((cases.len(), public.len()), (15, 12));
    let receivers = [
        ("python", 0, python as Run, &cases),
        ("js", 0, node, &cases),
        ("go", 0, go, &cases),
        ("php", 0, php, &cases),
        ("js", 1, node, &public),
        ("python", 1, python_with_cryptography, &public),
    ];
    for (language, nth, runs, cases) in receivers {
        let dir = tempfile::tempdir().unwrap();
        match runs(dir.path(), snippet(language, nth), &given(cases)) {
            Ok(taken) => {
                for (case, taken) in cases.iter().zip(taken.lines()) {
                    assert_eq!(taken == "true", case.authentic, "{language}: {}: {taken}", case.what);
                }
                assert_eq!(taken.lines().count(), cases.len(), "{language}:\n{taken}");
            }
            Err(Missing(interpreter)) => {
                skipped(&format!(
                    "`{interpreter}` is not on this machine, so the {language} receiver was not run"
                ));
            }
        }
    }
}

/// Says that a part of a test was left out, also where what tests say is kept back as long as they pass.
pub(crate) fn skipped(why: &str) {
    stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

/// Runs a snippet in a directory of its own over all cases: a line for each, `true` or `false`.
type Run = fn(&Path, &str, &str) -> Result<String, Missing>;

/// An interpreter that is not on this machine.
struct Missing(&'static str);

/// The cases as JSON, with bodies in base64.
fn given(cases: &[Case]) -> String {
    let case = |case: &Case| {
        let text = |value: &HeaderValue| Value::from(value.to_str().unwrap());
        let headers: Value =
            case.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        json!({ "secret": case.secret, "headers": headers, "body": STANDARD.encode(&case.body) })
    };
    Value::from_iter(cases.iter().map(case)).to_string()
}

fn python(dir: &Path, snippet: &str, given: &str) -> Result<String, Missing> {
    // In a dictionary that knows one spelling of a name, which is not ours.
    let driver = "import json, sys\nfor case in json.load(sys.stdin):\n    headers = {name.title(): value for name, value \
                  in case['headers'].items()}\n    taken = is_authentic(case['secret'], headers, \
                  base64.b64decode(case['body']))\n    print('true' if taken else 'false')\n";
    write(dir, "receiver.py", &format!("{snippet}\n{driver}"));
    run(dir, "python3", &["receiver.py"], given)
}

fn python_with_cryptography(dir: &Path, snippet: &str, given: &str) -> Result<String, Missing> {
    let has = Command::new("python3").args(["-c", "import cryptography"]).output();
    match has.is_ok_and(|has| has.status.success()) {
        true => python(dir, snippet, given),
        false => Err(Missing("python3 with its package `cryptography`")),
    }
}

fn node(dir: &Path, snippet: &str, given: &str) -> Result<String, Missing> {
    let driver = "import { readFileSync } from 'node:fs';\nfor (const { secret, headers, body } of \
                  JSON.parse(readFileSync(0, 'utf8')))\n  console.log(isAuthentic(secret, headers, \
                  Buffer.from(body, 'base64')));\n";
    write(dir, "receiver.mjs", &format!("{snippet}\n{driver}"));
    run(dir, "node", &["receiver.mjs"], given)
}

fn php(dir: &Path, snippet: &str, given: &str) -> Result<String, Missing> {
    // PHP names headers as CGI does (RFC 3875, 4.1.18).
    let driver = "foreach (json_decode(stream_get_contents(STDIN), true) as $case) {\n    $server = [];\n    foreach \
                  ($case['headers'] as $name => $value) {\n        $server['HTTP_' . strtoupper(strtr($name, '-', '_'))] = \
                  $value;\n    }\n    echo json_encode(is_authentic($case['secret'], $server, \
                  base64_decode($case['body']))), \"\\n\";\n}\n";
    write(dir, "receiver.php", &format!("<?php\n{snippet}\n{driver}"));
    run(dir, "php", &["receiver.php"], given)
}

fn go(dir: &Path, snippet: &str, given: &str) -> Result<String, Missing> {
    let driver = r#"package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"receiver/webhook"
)

func main() {
	var cases []struct {
		Secret  string
		Headers map[string]string
		Body    []byte
	}
	if err := json.NewDecoder(os.Stdin).Decode(&cases); err != nil {
		panic(err)
	}
	for _, one := range cases {
		header := http.Header{}
		for name, value := range one.Headers {
			header.Set(name, value)
		}
		fmt.Println(webhook.IsAuthentic(one.Secret, header, one.Body))
	}
}
"#;
    write(dir, "go.mod", "module receiver\n\ngo 1.19\n");
    write(dir, "main.go", driver);
    std::fs::create_dir(dir.join("webhook")).unwrap();
    write(dir, "webhook/webhook.go", snippet);
    run(dir, "go", &["run", "."], given)
}

fn write(dir: &Path, name: &str, text: &str) {
    std::fs::write(dir.join(name), text).unwrap();
}

fn run(dir: &Path, program: &'static str, arguments: &[&str], given: &str) -> Result<String, Missing> {
    let mut command = Command::new(program);
    command.current_dir(dir).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = match command.spawn() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Missing(program)),
        spawned => spawned.unwrap(),
    };
    let written = child.stdin.take().unwrap().write_all(given.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && written.is_ok(), "{program} ended with {}:\n{said}", output.status);
    Ok(String::from_utf8(output.stdout).unwrap())
}
