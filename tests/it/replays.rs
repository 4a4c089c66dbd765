//! Replays: what an operator does again in bulk, with the clock pushed and the process restarted or killed on the way.

use crate::cli::{ask, text};
use crate::delivery::send;
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::process::Process;
use billhook_tests::receiver::{Answer, Received, Receiver};
use billhook_tests::sender::{post, post_signed};
use billhook_tests::{ADMIN_TOKEN, Gateway};
use gateway::api::delivery::{Delivery, DeliveryQuery};
use gateway::api::job::{Job, JobState, NewJob, What};
use gateway::client::Client;
use gateway::clock::Clock;
use gateway::model::job::RUNNING_MAX;
use gateway::model::secret::Secret;
use gateway::model::webhook::WebhookState;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn asked(what: What) -> NewJob {
    NewJob {
        what,
        since: None,
        until: None,
        source: None,
        kind: None,
        endpoint: None,
        state: None,
        rate: None,
        resend: false,
    }
}

/// An endpoint that tries once, one at a time, and takes each fifth: none of its failures close the gate.
fn failing(receiver: &Receiver) -> String {
    format!("{FLEXPRICE}{}schedule = []\nconcurrency = 1\n", receiver.endpoint("app"))
}

/// Answers for `dead` deliveries that fail, in fours, and a fifth each that does not.
fn answers(dead: usize) -> Vec<Answer> {
    [500, 500, 500, 500, 200].repeat(dead.div_ceil(4)).into_iter().map(Answer::Status).collect()
}

/// How often each `webhook-id` came.
fn times(received: &[Received]) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for request in received {
        *times.entry(request.header("webhook-id").to_owned()).or_default() += 1;
    }
    times
}

/// Every delivery, by event.
async fn deliveries(client: &Client) -> BTreeMap<String, Vec<Delivery>> {
    let mut by_event: BTreeMap<String, Vec<Delivery>> = BTreeMap::new();
    let mut query = DeliveryQuery { limit: Some(200), ..DeliveryQuery::default() };
    loop {
        let page = client.deliveries(&query).await.unwrap();
        for delivery in page.items {
            by_event.entry(delivery.event.to_string()).or_default().push(delivery);
        }
        query.after = page.next;
        if query.after.is_none() {
            return by_event;
        }
    }
}

#[tokio::test]
async fn a_redrive_keeps_its_rate_and_goes_on_after_a_restart_with_each_once() {
    let receiver = Receiver::scripted(answers(40)).await;
    let mut gateway = Gateway::start(&failing(&receiver)).await;
    for n in 0..50 {
        send(&gateway, &format!("subs_{n}")).await;
    }
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 50);
    let dry = text(&ask(&gateway, &["replay", "redrive", "--endpoint", "app", "--dry-run"]).await.stdout);
    assert_eq!(dry, "would redrive deliveries to app: 40; nothing was moved\n");
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 50);

    let begun = ask(&gateway, &["replay", "redrive", "--endpoint", "app", "--rate", "10/s"]).await;
    let begun = text(&begun.stdout);
    let id = begun.split(' ').next().unwrap().to_owned();
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 60, "a second's worth at once");
    gateway.advance(SECOND / 2).await;
    assert_eq!(receiver.received().len(), 60);
    gateway.advance(SECOND / 2).await;
    assert_eq!(receiver.received().len(), 70);
    let running = text(&ask(&gateway, &["job", "show", &id]).await.stdout);
    assert!(running.contains("running") && running.contains("20 of 20"), "{running}");
    gateway = gateway.restart().await;
    for _ in 0..4 {
        gateway.advance(SECOND).await;
    }
    let listed = text(&ask(&gateway, &["job", "ls"]).await.stdout);
    assert!(listed.contains(&id) && listed.contains("done") && listed.contains("40"), "{listed}");
    assert_eq!(receiver.received().len(), 90);
    let times = times(&receiver.received());
    assert_eq!(times.values().filter(|n| **n == 2).count(), 40, "each dead one came once more");
    assert_eq!(times.values().filter(|n| **n == 1).count(), 10, "and no other");
    for of_event in deliveries(&gateway.client()).await.values() {
        assert!(
            of_event.len() <= 2 && of_event.iter().all(|delivery| delivery.attempts == 1),
            "{of_event:?}"
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_redrive_that_is_killed_on_the_way_moves_each_once() {
    let dead = 300;
    let receiver = Receiver::scripted(answers(dead)).await;
    let dir = tempfile::tempdir().unwrap();
    let config = failing(&receiver);
    let binary = Path::new(env!("CARGO_BIN_EXE_billhook"));
    let client = |gateway: &Process| {
        Client::new(format!("http://{}", gateway.admin), Secret::new(ADMIN_TOKEN)).unwrap()
    };
    let mut gateway = Process::start(binary, dir.path(), &config, None).await.unwrap();
    let sent = dead / 4 * 5;
    for n in 0..sent {
        let now = Clock::system().now().secs();
        let body = canceled(&format!("subs_{n}"), "price");
        post_signed(&gateway.url("/in/flexprice"), &format!("msg_{n}"), now, &body).await;
    }
    receiver.got(sent).await;
    // The last answers are recorded a moment after they are given.
    while client(&gateway).stats().await.unwrap().waiting > 0 {
        tokio::task::yield_now().await;
    }
    let job = NewJob { rate: Some("60/s".to_owned()), ..asked(What::Redrive) };
    let job = client(&gateway).add_job(&job).await.unwrap();
    for so_far in [20, 90, 200] {
        receiver.got(sent + so_far).await;
        gateway.kill().await;
        gateway = Process::start(binary, dir.path(), &config, None).await.unwrap();
    }
    receiver.until(|received| times(received).values().filter(|n| **n >= 2).count() >= dead).await;
    assert_eq!(gateway.terminate().await, Some(0));
    gateway = Process::start(binary, dir.path(), &config, None).await.unwrap();
    let client = client(&gateway);
    let done: Job = client.job(job.id).await.unwrap();
    assert!(matches!(done.state, JobState::Done { .. }) && done.moved == dead as u64, "{done:?}");
    let deliveries = deliveries(&client).await;
    assert_eq!(deliveries.len(), sent);
    let numbers = |n| deliveries.values().filter(|of_event| of_event.len() == n).count();
    assert_eq!((numbers(1), numbers(2)), (sent - dead, dead), "each under one new number");
    gateway.terminate().await;
}

#[tokio::test]
async fn slow_jobs_hold_up_no_other_and_so_many_go_on_at_once() {
    let receiver = Receiver::scripted(answers(20)).await;
    let gateway = Gateway::start(&failing(&receiver)).await;
    for n in 0..25 {
        send(&gateway, &format!("subs_{n}")).await;
    }
    gateway.settle().await;
    let client = gateway.client();
    let slow = NewJob { rate: Some("1/h".to_owned()), ..asked(What::Redrive) };
    for _ in 0..10 {
        client.add_job(&slow).await.unwrap();
    }
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 35, "each moves one an hour");
    let quick = client.add_job(&asked(What::Redrive)).await.unwrap();
    gateway.settle().await;
    let quick = client.job(quick.id).await.unwrap();
    assert!(matches!(quick.state, JobState::Done { .. }) && quick.moved == 10, "{quick:?}");

    let slow = NewJob { what: What::Resend, ..slow };
    for _ in 10..RUNNING_MAX {
        client.add_job(&slow).await.unwrap();
    }
    let told = text(&ask(&gateway, &["replay", "redrive"]).await.stderr);
    assert!(told.contains("64 jobs go on") && told.contains("too_many_jobs, HTTP 409"), "{told}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_job_that_cannot_be_taken_further_holds_up_no_other() {
    let receiver = Receiver::scripted(answers(4)).await;
    let gateway = Gateway::start(&failing(&receiver)).await;
    for n in 0..5 {
        send(&gateway, &format!("subs_{n}")).await;
    }
    gateway.settle().await;
    let (dir, config, clock) = gateway.stop().await;
    {
        // A key that is cut short, among those of all dead deliveries, in a bundle of its own.
        let key = [&b"l\x01"[..], &[0; 16], &[0, 1]].concat();
        let tree = sled::open(dir.path().join("data/store")).unwrap();
        tree.insert(&key, &[key.len() as u8, 0, 0, 0]).unwrap();
        tree.flush().unwrap();
    }
    let gateway = Gateway::start_in(dir, &config, clock).await;
    let client = gateway.client();
    let stuck = client.add_job(&asked(What::Redrive)).await.unwrap();
    gateway.advance(SECOND).await;
    let app = NewJob { endpoint: Some("app".to_owned()), ..asked(What::Redrive) };
    let app = client.add_job(&app).await.unwrap();
    gateway.settle().await;
    let states = [client.job(stuck.id).await.unwrap(), client.job(app.id).await.unwrap()];
    assert!(matches!(states[0].state, JobState::Running) && states[0].moved == 0, "{states:?}");
    assert!(matches!(states[1].state, JobState::Done { .. }) && states[1].moved == 4, "{states:?}");
    gateway.stop().await;
}

#[tokio::test]
async fn a_job_that_is_canceled_moves_no_more_and_an_answer_repeats_under_its_key() {
    let receiver = Receiver::scripted(answers(8)).await;
    let gateway = Gateway::start(&failing(&receiver)).await;
    for n in 0..10 {
        send(&gateway, &format!("subs_{n}")).await;
    }
    gateway.settle().await;
    let post = async |rate: &str| {
        let body = format!(r#"{{"what":"redrive","rate":"{rate}"}}"#);
        let request = gateway::client::http().unwrap().post(format!("{}/api/v1/jobs", gateway.admin_url()));
        let request = request.bearer_auth(ADMIN_TOKEN).header("idempotency-key", "monday").body(body);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, first) = post("1/m").await;
    assert_eq!(status, 200, "{first}");
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 11);
    let id = serde_json::from_str::<Job>(&first).unwrap().id;
    assert_eq!(serde_json::from_str::<Job>(&post("1/m").await.1).unwrap().id, id);
    assert_eq!(post("2/m").await.0, 422, "the key was for something else");
    let canceled = text(&ask(&gateway, &["job", "cancel", &id.to_string()]).await.stdout);
    assert!(canceled.contains("canceled") && canceled.contains("1 of 1"), "{canceled}");
    gateway.advance(SECOND * 600).await;
    assert_eq!(receiver.received().len(), 11);
    gateway.stop().await;
}

#[tokio::test]
async fn a_reprocess_sends_what_it_changed_under_a_new_id_and_nothing_else() {
    let receiver = Receiver::start().await;
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let mut gateway = Gateway::start(&config).await;
    for (id, reason) in [("subs_1", "zu teuer"), ("subs_2", "too many bugs")] {
        let now = gateway.clock.now().secs();
        post_signed(&gateway.url("/in/flexprice"), &format!("msg_{id}"), now, &canceled(id, reason)).await;
    }
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 2);
    let reprocess = async |gateway: &Gateway, more: &[&str]| {
        let words: Vec<&str> =
            ["replay", "reprocess", "--source", "flexprice"].iter().chain(more).copied().collect();
        let told = ask(gateway, &words).await;
        assert!(told.status.success(), "{}", text(&told.stderr));
        gateway.settle().await;
    };
    reprocess(&gateway, &[]).await;
    assert_eq!(receiver.received().len(), 2, "what stays as it is is not sent again");
    reprocess(&gateway, &["--resend"]).await;
    let received = receiver.received();
    assert_eq!(received.len(), 4, "unless it is asked for");
    assert_eq!(times(&received).into_values().collect::<Vec<_>>(), [2, 2], "under the same ids");
    for resent in &received[2..] {
        let first = received.iter().find(|r| r.header("webhook-id") == resent.header("webhook-id")).unwrap();
        assert_eq!(resent.body, first.body, "and with the same bytes");
    }

    let (dir, _, clock) = gateway.stop().await;
    let mended = "name = \"cancel-strategy\"\nconfig = { keywords = { discount = [\"zu teuer\"] } }";
    let config = config.replacen("name = \"cancel-strategy\"", mended, 1);
    gateway = Gateway::start_in(dir, &config, clock).await;
    reprocess(&gateway, &[]).await;
    let received = receiver.received();
    assert_eq!(received.len(), 5, "only the one that the new configuration changes");
    let changed = &received[4];
    let event = changed.json()["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(changed.header("webhook-id"), format!("{event}-r2"));
    assert_eq!(changed.json()["data"]["replayed"], true);
    let shown = text(&ask(&gateway, &["event", "show", &event]).await.stdout);
    assert!(shown.contains(&format!("{event}-r2")), "{shown}");
    let url = format!("{}/api/v1/events/{event}-r2", gateway.admin_url());
    let told = gateway::client::http().unwrap().get(url).bearer_auth(ADMIN_TOKEN).send().await.unwrap();
    assert_eq!(told.status(), 200, "by what it was sent under");
    gateway.stop().await;
}

#[tokio::test]
async fn what_was_taken_out_of_the_configuration_is_passed_over() {
    let (receiver, gone) = (Receiver::start().await, Receiver::start().await);
    let paddle = "[[source]]\nname = \"paddle\"\nprovider = \"paddle\"\nauth = { scheme = \"none\" }\n";
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let more = format!("{config}{paddle}{}", gone.endpoint("old"));
    let gateway = Gateway::start(&more).await;
    let now = gateway.clock.now().secs();
    post_signed(&gateway.url("/in/flexprice"), "msg_1", now, &canceled("subs_1", "too many bugs")).await;
    let body = r#"{"event_id":"evt_1","event_type":"customer.created","data":{"id":"ctm_1"}}"#;
    let unread = post(&gateway.url("/in/paddle"), &[], body).await.id().to_owned();
    gateway.settle().await;
    assert_eq!((receiver.received().len(), gone.received().len()), (2, 2));

    let (dir, _, clock) = gateway.stop().await;
    let gateway = Gateway::start_in(dir, &config, clock).await;
    let ended = async |what: What| {
        let job = gateway
            .client()
            .add_job(&NewJob { resend: what == What::Reprocess, ..asked(what) })
            .await
            .unwrap();
        gateway.settle().await;
        gateway.client().job(job.id).await.unwrap().moved
    };
    assert_eq!(ended(What::Resend).await, 2, "to the endpoint that there is");
    assert_eq!(ended(What::Reprocess).await, 1, "of the source that there is");
    assert_eq!((receiver.received().len(), gone.received().len()), (5, 2));
    let state = gateway.story(&unread).await.webhook.state;
    assert!(matches!(state, WebhookState::Dispatched { .. }), "{state:?}");
    for more in [&[][..], &["--dry-run"]] {
        let words = [&["replay", "reprocess", "--source", "paddle"], more].concat();
        let told = ask(&gateway, &words).await;
        assert!(
            text(&told.stderr).contains("`source` is `paddle`, which is not configured"),
            "{}",
            text(&told.stderr)
        );
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_decision_that_is_told_again_and_again_is_answered_once_also_by_a_reprocess() {
    let receiver = Receiver::start().await;
    let source = "[[plugin]]\nname = \"cancel-strategy\"\n[[source]]\nname = \"paddle\"\nprovider = \"paddle\"\n\
                  auth = { scheme = \"none\" }\nplugins = [\"cancel-strategy\"]\n";
    let gateway = Gateway::start(&format!("{source}{}", receiver.endpoint("app"))).await;
    for n in 1..=3 {
        gateway.advance(SECOND).await;
        let body = format!(
            r#"{{"event_id":"evt_{n}","event_type":"subscription.updated","occurred_at":"2026-08-10T11:0{n}:00Z",
                "data":{{"id":"sub_1","status":"active","customer_id":"ctm_1","address_id":"add_{n}",
                "scheduled_change":{{"action":"cancel","effective_at":"2026-09-01T00:00:00Z"}}}}}}"#
        );
        post(&gateway.url("/in/paddle"), &[], body).await;
        gateway.settle().await;
    }
    let answered = |received: &Received| {
        let event = &received.json()["data"];
        assert_eq!(event["type"], "subscription.cancel_scheduled");
        !event["retention"].is_null()
    };
    assert_eq!(receiver.received().iter().map(answered).collect::<Vec<_>>(), [true, false, false]);
    assert!(ask(&gateway, &["replay", "reprocess"]).await.status.success());
    gateway.settle().await;
    assert_eq!(receiver.received().len(), 3, "nothing has changed");
    gateway.stop().await;
}
