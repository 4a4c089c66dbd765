//! Tells the whole story of a webhook in the terminal: what arrived, what each plugin said, the events it gave, and
//! every attempt to deliver them, with times counted from its arrival.
//!
//! Pure: a story, a style and a width give a text. Everything in it may come from outside and is made harmless where it is
//! drawn, in [`crate::cli::terminal`].

mod facts;

use crate::api::delivery::{Attempt, DeliveryState, DeliveryStory, Outcome};
use crate::api::endpoint::Gate;
use crate::api::event::EventStory;
use crate::api::rehearsal::Compared;
use crate::api::webhook::{Note, Run, Said, Shadow, Webhook, WebhookState};
use crate::api::{Content, Story};
use crate::cli::comparison;
use crate::cli::terminal::{Span, Style, bad, care, faint, good, plain, strong};
use crate::cli::tree::Node;
use crate::model::Time;
use crate::model::text::is_harmful;
use billhook_event::{Patch, PluginRef, Verified};
use std::time::Duration;

/// How much of a body is shown where it has no end of line to fit in, and on the narrowest terminal, in characters.
const BODY_CHARS_MAX: usize = 240;
const BODY_CHARS_MIN: usize = 40;
/// The columns before a fact of a fact: its branch and its label.
const FACT_INDENT: usize = 19;
/// How much of an endpoint's answer is shown, in characters.
const ANSWER_CHARS_MAX: usize = 120;
/// How many headers are shown.
const HEADERS_MAX: usize = 8;

/// The whole story as text for a terminal, each line ended by `\n`. The body is cut to a terminal of `width` columns.
pub fn render(story: &Story, style: Style, width: Option<usize>) -> String {
    let mut root = Node::new([strong(story.webhook.id.to_string())]);
    let body_chars =
        width.map_or(BODY_CHARS_MAX, |width| width.saturating_sub(FACT_INDENT).max(BODY_CHARS_MIN));
    root.push(arrival(&story.webhook, story.body.as_ref(), body_chars));
    if let Some(run) = &story.run {
        root.push(pipeline(run, story.events.len()));
    }
    for event in &story.events {
        root.push(event_node(event, story.webhook.received_at, story.read_at));
    }
    if let Some(end) = standing(&story.webhook.state, story.read_at) {
        root.push(end);
    }
    root.draw(style)
}

/// A delivery and its attempts as text for a terminal, with times counted from when it was made.
pub fn render_delivery(story: &DeliveryStory, style: Style) -> String {
    let delivery = &story.delivery;
    let node = delivery_node(story, delivery.created, None);
    let head = Node::new([strong(delivery.id.to_string())]);
    let facts = [
        Node::fact("made", [plain(delivery.created.to_string())]),
        Node::fact("event", [plain(delivery.event.to_string())]),
    ];
    head.with(facts).with([node]).draw(style)
}

fn arrival(webhook: &Webhook, body: Option<&Content>, body_chars: usize) -> Node {
    let from = webhook.remote.map_or_else(String::new, |ip| format!(" from {ip}"));
    let line = format!("{}{from}, {}", webhook.received_at, bytes(webhook.body_bytes));
    let mut node = Node::fact("arrived", [plain(line)]);
    if let Some(at) = webhook.taken_at {
        node.push(Node::fact("refused", [care(format!("when it came; taken at {at} by `refused retry`"))]));
    }
    let provider =
        if webhook.provider == webhook.source { String::new() } else { format!(" ({})", webhook.provider) };
    node.push(Node::fact("source", [strong(webhook.source.clone()), plain(provider)]));
    node.push(Node::fact("verified", [verified(webhook.verified)]));
    if !webhook.path.is_empty() {
        node.push(Node::fact("path", [plain(webhook.path.clone())]));
    }
    if !webhook.query.is_empty() {
        node.push(Node::fact("query", [plain(webhook.query.clone())]));
    }
    let headers = || webhook.headers.iter().filter(|header| is_telling(&header.name)).take(HEADERS_MAX);
    let shown = |id: &String| headers().any(|header| text(&header.value) == *id);
    if let Some(id) = webhook.delivery_id.as_ref().filter(|id| !shown(id)) {
        node.push(Node::fact("sender's id", [plain(id.clone())]));
    }
    for header in headers() {
        node.push(Node::fact("header", [faint(format!("{}: ", header.name)), plain(text(&header.value))]));
    }
    node.push(match body {
        Some(body) => Node::fact("body", [plain(cut(&text(body), body_chars))]),
        None => Node::fact("body", [faint("aged out")]),
    });
    if webhook.duplicates > 0 {
        let mut line = vec![plain(format!("{} more arrived", webhook.duplicates))];
        if webhook.conflicts > 0 {
            line.push(care(format!(", {} with another body", webhook.conflicts)));
        }
        node.push(Node::fact("duplicates", line));
    }
    node
}

/// Headers that say something about the event rather than the connection.
fn is_telling(name: &str) -> bool {
    let told_elsewhere = ["request-id", "trace-id", "correlation-id"];
    let ends = ["-id", "-event", "-topic", "-timestamp"];
    matches!(name, "content-type" | "user-agent")
        || ends.iter().any(|end| name.ends_with(end)) && !told_elsewhere.iter().any(|end| name.ends_with(end))
}

fn verified(verified: Verified) -> Span {
    match verified {
        Verified::Signature => good("a signature over the body"),
        Verified::Basic => good("a user name and password"),
        Verified::StaticHeader => good("a secret header (the body is not signed)"),
        Verified::QueryToken => good("a secret in the query (the body is not signed)"),
        Verified::PathKey => care("a public key in the path (anybody may know it)"),
        Verified::None => care("not at all: the source takes anything"),
    }
}

fn pipeline(run: &Run, events: usize) -> Node {
    let took = run.notes.iter().map(|note| note.took_us).fold(0, u64::saturating_add);
    let line =
        format!("{} in {}", count(run.notes.len(), "plugin call"), lasting(Duration::from_micros(took)));
    let notes = run.notes.iter().map(|note| note_node(note, events));
    Node::fact("pipeline", [plain(line)]).with(notes).with(run.shadow.as_ref().map(shadow))
}

fn shadow(shadow: &Shadow) -> Node {
    let said = match &shadow.compared {
        Compared::Same => good("makes the same"),
        Compared::Differs { .. } => care("would make something else, which is not delivered"),
        Compared::Failed { .. } => bad("fails, which hurts nobody"),
    };
    let PluginRef { name, version, .. } = &shadow.plugin;
    Node::new([faint("shadow "), strong(name.clone()), faint(format!(" {version}: ")), said])
        .with(comparison::lines(&shadow.compared))
}

fn note_node(note: &Note, events: usize) -> Node {
    let mut line = vec![
        strong(note.plugin.name.clone()),
        faint(format!(" {}, {} µs: ", note.plugin.version, note.took_us)),
    ];
    line.push(match &note.said {
        Said::Drafts(n) => plain(format!("made {}", count(*n as usize, "draft"))),
        Said::Keep => plain("kept it"),
        Said::Drop(why) => care(format!("dropped it: {why}")),
        Said::Patch(patch) => plain(patched(patch.get())),
        Said::Nothing => faint("had nothing to say"),
        Said::Skipped(why) => bad(format!("failed and was skipped: {why}")),
    });
    if let (Some(index), true) = (note.event, events > 1) {
        line.push(faint(format!(" (event {})", index.saturating_add(1))));
    }
    Node::new(line)
}

fn patched(json: &str) -> String {
    let Ok(patch) = serde_json::from_str::<Patch>(json) else {
        return "changed the event".to_owned();
    };
    let retention = patch.retention.map(|retention| match retention.primary {
        Some(primary) => format!("chose {primary}"),
        None => format!("marked it for {}", retention.kind),
    });
    let annotations = patch.annotations.map(|_| "annotated it".to_owned());
    let warnings = (!patch.warnings.is_empty()).then(|| count(patch.warnings.len(), "warning"));
    let said: Vec<String> = [retention, annotations, warnings].into_iter().flatten().collect();
    if said.is_empty() { "changed nothing".to_owned() } else { said.join(", ") }
}

fn event_node(story: &EventStory, arrived: Time, now: Time) -> Node {
    let summary = &story.summary;
    let mut node = Node::fact("event", [strong(summary.kind.clone())]);
    node.push(Node::fact("id", [plain(summary.id.to_string())]));
    if let Some(id) = &summary.webhook_id {
        node.push(Node::fact("sent as", [care(id.clone()), plain(": a reprocess changed it")]));
    }
    match story.document() {
        Ok(event) => {
            node.push(Node::fact("happened", [plain(happened(event.occurred_at, arrived))]));
            for fact in facts::of(&event) {
                node.push(fact);
            }
        }
        Err(_) => node.push(Node::fact("event", [care("is of another version: see it with --json")])),
    }
    if let Some(dropped) = &summary.dropped {
        let line = format!("by {}: {}", dropped.plugin, dropped.why);
        node.push(Node::fact("dropped", [care(line)]));
    } else if story.deliveries.is_empty() {
        node.push(Node::fact("to", [faint("no endpoint subscribes to it")]));
    }
    node.with(story.deliveries.iter().map(|delivery| delivery_node(delivery, arrived, Some(now))))
}

fn happened(occurred: Option<Time>, arrived: Time) -> String {
    match occurred {
        None => "when it arrived, as far as the provider tells".to_owned(),
        Some(at) if at <= arrived => format!("{at}, {} before it arrived", lasting(arrived.since(at))),
        Some(at) => format!("{at}, {} after it arrived", lasting(at.since(arrived))),
    }
}

fn delivery_node(story: &DeliveryStory, origin: Time, now: Option<Time>) -> Node {
    let delivery = &story.delivery;
    let mut line = vec![strong(delivery.endpoint.label()), plain(": ")];
    line.push(match &delivery.state {
        DeliveryState::Waiting { due } => {
            let held = held(story, now);
            care(format!("waits: attempt {} {}{held}", delivery.attempts.saturating_add(1), when(*due, now)))
        }
        DeliveryState::Delivered { at } => good(format!("delivered {}", relative(*at, origin))),
        DeliveryState::Skipped { at, why } => care(format!("skipped {}: {why}", relative(*at, origin))),
        DeliveryState::Dead { at, why } => bad(format!("dead {}: {why}", relative(*at, origin))),
    });
    if delivery.resend > 0 {
        line.push(plain(format!(", resend {}", delivery.resend)));
    }
    let mut node = Node::fact("to", line);
    if let Some(later) = &delivery.stale {
        node.push(Node::fact("stale", [care(format!("{later} is later and was taken before"))]));
    }
    if let Some(url) = &delivery.endpoint.url {
        node.push(Node::fact("url", [faint(url.clone())]));
    }
    node.push(Node::fact("delivery", [faint(delivery.id.to_string())]));
    node.with(story.attempts.iter().map(|attempt| attempt_node(attempt, origin)))
}

fn attempt_node(attempt: &Attempt, origin: Time) -> Node {
    let mut line = vec![plain(format!("{}: ", relative(attempt.at, origin)))];
    line.push(match &attempt.outcome {
        Outcome::Delivered { status } => good(format!("HTTP {status}")),
        Outcome::Failed { why, .. } => bad(why.clone()),
        Outcome::Skipped { why } => care(format!("skipped: {why}")),
    });
    line.push(plain(format!(" in {}", lasting(Duration::from_micros(attempt.took_us)))));
    if attempt.trial {
        line.push(plain(", a trial"));
    }
    if let Some(wait) = attempt.retry_after_ms {
        line.push(plain(format!(", asked for {}", lasting(Duration::from_millis(wait)))));
    }
    if let Some(answer) = &attempt.answer {
        line.push(faint(format!(", answered “{}”", cut(&text(answer), ANSWER_CHARS_MAX))));
    }
    Node::fact(&format!("attempt {}", attempt.n), line)
}

/// What there is to say of a delivery that waits, besides when its attempt is due.
fn held(story: &DeliveryStory, now: Option<Time>) -> String {
    let gate = match &story.held {
        _ if story.delivery.endpoint.name.is_none() => ", but the endpoint is not configured".to_owned(),
        None | Some(Gate::Open) => String::new(),
        Some(Gate::Trial { since, at, .. }) => {
            format!(", but the endpoint has failed since {since}: its next trial {}", when(*at, now))
        }
        Some(Gate::Paused) => ", but the endpoint is paused".to_owned(),
        Some(Gate::Disabled) => ", but the endpoint is disabled".to_owned(),
    };
    let behind = story.behind.map(|first| format!(", behind {first} of the same entity"));
    gate + &behind.unwrap_or_default()
}

/// What is still to come of the webhook itself.
fn standing(state: &WebhookState, now: Time) -> Option<Node> {
    match state {
        WebhookState::Undispatched { failures, due, last_failure } => {
            let node = Node::fact("pipeline", [care(format!("waits: a run {}", when(*due, Some(now))))]);
            let why = last_failure.as_ref().map(|why| {
                Node::fact(
                    "because",
                    [
                        plain(format!("{} failed, the last: ", count(*failures as usize, "run"))),
                        bad(why.clone()),
                    ],
                )
            });
            Some(node.with(why))
        }
        WebhookState::Dispatched { events: 0, .. } => {
            Some(Node::fact("events", [care("none: the normalizer found nothing to tell")]))
        }
        WebhookState::Dispatched { .. } => None,
        WebhookState::Dead { why, at } => {
            let redrive = "`billhook dead-letter redrive` and its id runs it again".to_owned();
            let node = Node::fact("dead", [bad(why.clone()), plain(format!(", {at}"))]);
            Some(node.with([Node::fact("remedy", [faint(redrive)])]))
        }
    }
}

/// When something is due, seen from `now`; absolute where nobody knows the time.
fn when(due: Time, now: Option<Time>) -> String {
    match now {
        None => format!("is due {due}"),
        Some(now) if due <= now => "is due now".to_owned(),
        Some(now) => format!("is due in {} ({due})", lasting(due.since(now))),
    }
}

/// A time counted from the start of the story.
fn relative(at: Time, origin: Time) -> String {
    if at < origin {
        format!("-{}", lasting(origin.since(at)))
    } else {
        format!("+{}", lasting(at.since(origin)))
    }
}

/// A duration as people say it, with its two largest units.
fn lasting(duration: Duration) -> String {
    let (micros, secs) = (duration.as_micros(), duration.as_secs());
    match secs {
        0 if micros < 1000 => format!("{micros} µs"),
        0 => format!("{} ms", micros / 1000),
        1..60 => format!("{}.{} s", secs, duration.subsec_millis() / 100),
        60..3600 => format!("{} min {} s", secs / 60, secs % 60),
        3600..86_400 => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

fn bytes(n: u64) -> String {
    if n == 1 { "1 byte".to_owned() } else { format!("{n} bytes") }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// What was sent, as text; what is none is marked as base64.
pub(crate) fn text(content: &Content) -> String {
    match content {
        Content::Text(text) => text.clone(),
        Content::Base64(base64) => format!("base64:{base64}"),
    }
}

/// The whole text if it is drawn in `max` characters, else as much of it as leaves room to say how much more there is.
fn cut(text: &str, max: usize) -> String {
    let width = |c: char| if is_harmful(c) { c.escape_default().count() } else { 1 };
    let fits = |max: usize| {
        let mut drawn = 0;
        text.find(|c| {
            drawn += width(c);
            drawn > max
        })
    };
    if fits(max).is_none() {
        return text.to_owned();
    }
    let more = |end: usize| format!("… ({} more)", bytes((text.len() - end) as u64));
    let end = fits(max.saturating_sub(more(0).chars().count())).unwrap_or(text.len());
    format!("{}{}", &text[..end], more(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn webhook(state: Value) -> Value {
        let mut webhook = json!({
            "id": "whk_01K2A3B4C5D6E7F8G9HAJBKCMD",
            "source": "billing", "provider": "acme",
            "received_at": "2026-08-10T12:00:00.042Z",
            "remote": "203.0.113.9",
            "path": "", "query": "",
            "headers": [
                {"name": "content-type", "text": "application/json"},
                {"name": "accept", "text": "*/*"},
                {"name": "webhook-id", "text": "msg_2Lml"},
                {"name": "user-agent", "base64": "/w=="},
            ],
            "delivery_id": "msg_2Lml",
            "verified": "signature",
            "sha256": DIGEST,
            "body_bytes": 31,
            "duplicates": 2, "conflicts": 1,
        });
        webhook.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        webhook
    }

    fn note(name: &str, said: Value, took_us: u64) -> Value {
        let event = if name == "acme" { Value::Null } else { json!(0) };
        json!({"plugin": {"name": name, "version": "0.1.0", "digest": DIGEST}, "event": event, "said": said, "took_us": took_us})
    }

    fn event() -> Value {
        json!({
            "id": "evt_01K2A3B4C5D6E7F8G9HAJBKCME",
            "schema_version": 1,
            "type": "subscription.cancel_scheduled",
            "source": "billing", "provider": "acme",
            "provider_event_type": "sub.cancel",
            "occurred_at": "2026-08-10T11:59:58.042Z",
            "received_at": "2026-08-10T12:00:00.042Z",
            "ordering_key": "acme:billing:sub_1",
            "verified": "signature",
            "raw": {"webhook": "whk_01K2A3B4C5D6E7F8G9HAJBKCMD", "sha256": DIGEST, "bytes": 31},
            "warnings": ["unknown enum: `plan.tier` is `gold`"],
            "livemode": false,
            "customer": {"id": "cus_1", "name": "Ada", "email": "ada@example.com"},
            "subscription": {
                "id": "sub_1", "status": "active", "tenure_days": 400,
                "mrr": {"amount_minor": 4999, "currency": "USD", "exponent": 2, "original": "49.99"},
                "plan": {"name": "Pro", "interval": "year", "unit_amount":
                    {"amount_minor": 59988, "currency": "JPY", "exponent": 0, "original": "59988"}},
            },
            "cancellation": {
                "kind": "voluntary", "initiator": "customer", "phase": "requested",
                "effective_at": "2026-09-01T00:00:00.000Z",
                "reason_code": "too_expensive", "reason_group": "price",
                "provider_reason": "too \u{1b}[31mexpensive\nreally",
            },
            "retention": {
                "kind": "retention", "primary": "discount", "requires_human": true,
                "matched": {"by": "keyword", "value": "expensive"},
                "variants": [
                    {"strategy": "discount", "rank": 1, "eligible": true, "params": {"percent": 20},
                     "reasons": ["the reason is about price", "a customer for over a year"]},
                    {"strategy": "pause", "rank": 2, "eligible": true},
                    {"strategy": "downgrade", "rank": 3, "eligible": false, "reasons": ["no cheaper plan"]},
                ],
                "skipped_rules": ["tenure: no date"],
            },
            "annotations": {"score": {"risk": 7}},
        })
    }

    fn delivery(name: &str, state: Value, attempts: Vec<Value>) -> Value {
        let mut delivery = json!({
            "id": "dlv_01K2A3B4C5D6E7F8G9HAJBKCMF",
            "event": "evt_01K2A3B4C5D6E7F8G9HAJBKCME",
            "endpoint": {"id": "ep_01K2A3B4C5D6E7F8G9HAJBKCMG", "name": name, "url": "https://app.example/hooks?k=***"},
            "resend": 0, "created": "2026-08-10T12:00:00.050Z", "attempts": attempts.len(), "step": attempts.len(),
        });
        delivery.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        json!({"delivery": delivery, "attempts": attempts})
    }

    fn held(mut delivery: Value) -> Value {
        delivery["held"] = json!({"gate": "trial", "since": "2026-08-10T09:00:00.000Z",
            "at": "2026-08-10T12:01:00.000Z", "wait_ms": 60_000});
        delivery
    }

    fn attempt(n: u32, at: &str, outcome: Value) -> Value {
        let mut attempt = json!({
            "id": "att_01K2A3B4C5D6E7F8G9HAJBKCMH", "n": n, "at": at, "took_us": 23_456, "trial": false,
            "webhook_id": "evt_01K2A3B4C5D6E7F8G9HAJBKCME",
        });
        attempt.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
        attempt
    }

    fn story(value: Value) -> Story {
        // Through text: that is how a client reads it, and raw JSON cannot be read out of a tree.
        serde_json::from_str(&value.to_string()).unwrap()
    }

    fn whole() -> Story {
        let refused = json!({"outcome": "failed", "failure": "status", "status": 503, "why": "HTTP 503",
            "retry_after_ms": 5000, "answer": {"text": "upstream \u{1b}]0;down\u{7}"}});
        let taken = json!({"outcome": "delivered", "status": 200});
        let timeout = json!({"outcome": "failed", "failure": "timeout", "why": "timeout"});
        story(json!({
            "read_at": "2026-08-10T12:00:30.042Z",
            "webhook": webhook(json!({"state": "dispatched", "events": 1, "at": "2026-08-10T12:00:00.050Z"})),
            "body": {"text": "{\"event\":\"sub.cancel\"}"},
            "run": {"now": "2026-08-10T12:00:00.045Z", "notes": [
                note("acme", json!({"drafts": 1}), 212),
                note("only-live", json!("keep"), 90),
                note("cancel-strategy", json!({"patch": {"retention": event()["retention"], "warnings": ["w"]}}), 1403),
                note("score", json!({"skipped": "out of fuel"}), 100_000),
            ]},
            "events": [{
                "summary": {"id": "evt_01K2A3B4C5D6E7F8G9HAJBKCME", "webhook": "whk_01K2A3B4C5D6E7F8G9HAJBKCMD",
                    "type": "subscription.cancel_scheduled", "source": "billing", "occurred_at": "2026-08-10T11:59:58.042Z"},
                "event": event(),
                "deliveries": [
                    delivery("app", json!({"state": "delivered", "at": "2026-08-10T12:00:05.180Z"}), vec![
                        attempt(1, "2026-08-10T12:00:00.054Z", refused),
                        attempt(2, "2026-08-10T12:00:05.154Z", taken),
                    ]),
                    held(delivery("crm", json!({"state": "waiting", "due": "2026-08-10T12:01:15.042Z"}), vec![
                        attempt(1, "2026-08-10T12:00:00.055Z", timeout),
                    ])),
                ],
            }],
        }))
    }

    #[test]
    fn the_story_of_a_cancellation_is_told_whole_and_harmless() {
        assert_eq!(render(&whole(), Style::Plain, None), include_str!("story/whole.txt"));
    }

    #[test]
    fn colours_change_nothing_but_the_colours() {
        let coloured = render(&whole(), Style::Colour, None);
        let mut plain = String::new();
        let mut parts = coloured.split("\x1b[");
        plain.push_str(parts.next().unwrap());
        for part in parts {
            let (code, text) = part.split_once('m').unwrap();
            assert!(["0", "1", "2", "31", "32", "33"].contains(&code), "{code}");
            plain.push_str(text);
        }
        let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(lines(&plain), lines(&render(&whole(), Style::Plain, None)));
    }

    #[test]
    fn a_webhook_without_events_says_why() {
        let cases = [
            (
                json!({"state": "dead", "why": "acme 0.1.0: not JSON", "at": "2026-08-10T12:00:00.050Z"}),
                "└─ dead         acme 0.1.0: not JSON, 2026-08-10T12:00:00.050Z\n   └─ remedy       `billhook dead-letter redrive` and its id runs it again\n",
            ),
            (
                json!({"state": "undispatched", "failures": 2, "due": "2026-08-10T12:01:00.042Z", "last_failure": "trap"}),
                "└─ pipeline     waits: a run is due in 30.0 s (2026-08-10T12:01:00.042Z)\n   └─ because      2 runs failed, the last: trap\n",
            ),
            (
                json!({"state": "undispatched", "failures": 0, "due": "2026-08-10T12:00:00.042Z"}),
                "└─ pipeline     waits: a run is due now\n",
            ),
            (
                json!({"state": "dispatched", "events": 0, "at": "2026-08-10T12:00:00.050Z"}),
                "└─ events       none: the normalizer found nothing to tell\n",
            ),
        ];
        for (state, end) in cases {
            let story = story(
                json!({"read_at": "2026-08-10T12:00:30.042Z", "webhook": webhook(state), "events": []}),
            );
            let shown = render(&story, Style::Plain, None);
            assert!(shown.ends_with(end), "{shown}");
        }
    }

    #[test]
    fn a_dropped_event_names_the_plugin_and_a_dead_delivery_its_reason() {
        let mut story = whole();
        story.events[0].summary.dropped =
            Some(crate::api::event::Dropped { plugin: "only-live".to_owned(), why: "test data".to_owned() });
        story.events[0].deliveries.truncate(1);
        let at = story.read_at;
        story.events[0].deliveries[0].delivery.state =
            DeliveryState::Dead { at, why: "all 10 attempts failed".to_owned() };
        let shown = render(&story, Style::Plain, None);
        assert!(shown.contains("dropped      by only-live: test data\n"), "{shown}");
        assert!(shown.contains("to           app: dead +30.0 s: all 10 attempts failed\n"), "{shown}");
    }

    #[test]
    fn a_delivery_says_what_it_waits_for() {
        let mut story = whole();
        let waits = &mut story.events[0].deliveries[1];
        waits.held = None;
        let told = |story: &DeliveryStory, end: &str| {
            let shown = render_delivery(story, Style::Plain);
            assert!(shown.contains(&format!("is due 2026-08-10T12:01:15.042Z{end}\n")), "{shown}");
        };
        told(waits, "");
        waits.behind = Some("dlv_01K2A3B4C5D6E7F8G9HAJBKCMJ".parse().unwrap());
        told(waits, ", behind dlv_01K2A3B4C5D6E7F8G9HAJBKCMJ of the same entity");
        waits.delivery.endpoint.name = None;
        told(
            waits,
            ", but the endpoint is not configured, behind dlv_01K2A3B4C5D6E7F8G9HAJBKCMJ of the same entity",
        );
    }

    #[test]
    fn a_body_is_cut_to_the_width_of_the_terminal() {
        let long = format!("{{\"a\":\"\u{1b}{}\"}}", "é".repeat(200));
        let shown =
            |chars: usize, more| format!("{{\"a\":\"\\u{{1b}}{}… ({more} bytes more)", "é".repeat(chars));
        let short = "{\"event\":\"sub.cancel\"}";
        for (body, width, expected) in
            [(&*long, 80, shown(31, 340)), (&*long, 1, shown(10, 382)), (short, 80, short.to_owned())]
        {
            let mut story = whole();
            story.body = Some(Content::Text(body.to_owned()));
            let shown = render(&story, Style::Plain, Some(width));
            let line = shown.lines().find(|line| line.contains("─ body ")).unwrap();
            assert_eq!(line, format!("│  ├─ body         {expected}"));
            assert!(line.chars().count() <= width.max(BODY_CHARS_MIN + FACT_INDENT));
        }
    }

    #[test]
    fn durations_are_told_in_their_two_largest_units() {
        let cases = [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1 ms"),
            (999_999, "999 ms"),
            (5_312_000, "5.3 s"),
            (299_000_000, "4 min 59 s"),
            (7_800_000_000, "2 h 10 min"),
            (97_200_000_000, "1 d 3 h"),
        ];
        for (micros, expected) in cases {
            assert_eq!(lasting(Duration::from_micros(micros)), expected);
        }
    }
}
