//! The process dies where it hurts, and nothing that was acknowledged is lost.

use crate::line::{FLEXPRICE, canceled};
use billhook_tests::ADMIN_TOKEN;
use billhook_tests::process::Process;
use billhook_tests::receiver::{Received, Receiver};
use billhook_tests::sender::{SECRET, try_post_signed};
use gateway::api::redrive::DeadLetterQuery;
use gateway::client::Client;
use gateway::clock::Clock;
use gateway::model::retry::PLUGIN_WAITS;
use gateway::model::secret::Secret;
use rand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::timeout;

/// How long everything may take to arrive before a test gives up.
const ARRIVAL_WAIT: Duration = Duration::from_secs(60);

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_billhook"))
}

/// Posts webhooks, one after the other, until the gateway is gone; notes which subscriptions were acknowledged.
async fn send_until_gone(
    url: String,
    prefix: String,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
    most: usize,
) {
    for n in 0..most {
        let id = format!("{prefix}-{n}");
        let now = Clock::system().now().secs();
        match try_post_signed(&url, &format!("msg_{id}"), now, &canceled(&id, "price")).await {
            Ok(answered) if answered.status == 200 => acknowledged.lock().unwrap().insert(id),
            _ => return,
        };
    }
}

/// The subscription of each delivery, and the `webhook-id`s it came under.
fn arrived(received: &[Received]) -> BTreeMap<String, BTreeSet<String>> {
    let mut arrived: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for delivery in received {
        assert!(delivery.is_signed(SECRET));
        let id = delivery.json()["data"]["subscription"]["id"].as_str().unwrap().to_owned();
        arrived.entry(id).or_default().insert(delivery.header("webhook-id").to_owned());
    }
    arrived
}

/// Starts the gateway once more and waits until everything acknowledged has arrived, each under one `webhook-id`.
async fn nothing_is_lost(
    dir: &Path,
    config: &str,
    receiver: &Receiver,
    acknowledged: &Mutex<BTreeSet<String>>,
) {
    let gateway = Process::start(binary(), dir, config, None).await.expect("it starts after a crash");
    let wanted = acknowledged.lock().unwrap().clone();
    let all = receiver.until(|received| {
        let arrived: BTreeSet<_> = received.iter().map(subscription).collect();
        wanted.is_subset(&arrived)
    });
    if timeout(ARRIVAL_WAIT, all).await.is_err() {
        let arrived = arrived(&receiver.received());
        panic!("lost: {:?}", wanted.iter().filter(|id| !arrived.contains_key(*id)).collect::<Vec<_>>());
    }
    for (id, webhook_ids) in arrived(&receiver.received()) {
        assert_eq!(webhook_ids.len(), 1, "{id} came under several ids: {webhook_ids:?}");
    }
    assert_eq!(gateway.terminate().await, Some(0));
}

fn subscription(received: &Received) -> String {
    let body = std::str::from_utf8(&received.body).unwrap();
    let at = body.find("\"subscription\":{\"id\":\"").expect("every delivery here has a subscription") + 22;
    body[at..].split('"').next().unwrap().to_owned()
}

/// Aborts the gateway at `point`, `times` in a row, and checks that nothing is lost.
async fn aborts_at(point: &str, times: usize) {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    if point == "in-recovery" {
        // There must be something to recover from.
        let gateway = Process::start(binary(), dir.path(), &config, None).await.unwrap();
        send_until_gone(gateway.url("/in/flexprice"), "before".to_owned(), acknowledged.clone(), 5).await;
        gateway.kill().await;
    }
    for time in 0..times {
        // The third time the point is passed, so that some webhooks are through and some are not.
        let switch = if point == "in-recovery" { point.to_owned() } else { format!("{point}:3") };
        let Some(mut gateway) = Process::start(binary(), dir.path(), &config, Some(&switch)).await else {
            continue;
        };
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let prefix = format!("{point}-{time}-{sender}");
                tokio::spawn(send_until_gone(
                    gateway.url("/in/flexprice"),
                    prefix,
                    acknowledged.clone(),
                    1000,
                ))
            })
            .collect();
        let ended = timeout(ARRIVAL_WAIT, gateway.ended()).await.expect("the switch aborts it");
        assert!(!ended.success());
        for sender in senders {
            sender.await.unwrap();
        }
    }
    nothing_is_lost(dir.path(), &config, &receiver, &acknowledged).await;
}

#[tokio::test]
async fn it_dies_before_a_group_is_applied() {
    aborts_at("before-apply", 1).await;
    aborts_at("before-apply", 2).await;
}

#[tokio::test]
async fn it_dies_when_a_group_is_applied_and_not_synced() {
    aborts_at("applied-not-synced", 1).await;
    aborts_at("applied-not-synced", 2).await;
}

#[tokio::test]
async fn it_dies_when_a_group_is_synced_and_not_answered() {
    aborts_at("synced-not-answered", 1).await;
    aborts_at("synced-not-answered", 2).await;
}

#[tokio::test]
async fn it_dies_when_half_of_the_rows_are_in_the_tree() {
    aborts_at("half-settled", 1).await;
    aborts_at("half-settled", 2).await;
}

#[tokio::test]
async fn it_dies_before_a_run_is_committed() {
    aborts_at("before-dispatch-commit", 1).await;
    aborts_at("before-dispatch-commit", 2).await;
}

#[tokio::test]
async fn it_dies_when_a_delivery_is_sent_and_not_recorded() {
    aborts_at("sent-not-finished", 1).await;
    aborts_at("sent-not-finished", 2).await;
}

#[tokio::test]
async fn a_webhook_at_which_it_dies_again_and_again_is_set_aside() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    for died in 0.. {
        assert!(died <= 2 * PLUGIN_WAITS.len(), "it dies for ever");
        let point = Some("before-dispatch-commit");
        let Some(mut gateway) = Process::start(binary(), dir.path(), &config, point).await else { continue };
        if died == 0 {
            let now = Clock::system().now().secs();
            let _ =
                try_post_signed(&gateway.url("/in/flexprice"), "msg_1", now, &canceled("s", "price")).await;
        }
        let admin = Client::new(format!("http://{}", gateway.admin), Secret::new(ADMIN_TOKEN)).unwrap();
        let aside = loop {
            match admin.dead_letters(&DeadLetterQuery::default()).await {
                Ok(page) if page.items.is_empty() => {}
                told => break told.is_ok(),
            }
        };
        if aside {
            assert_eq!(gateway.terminate().await, Some(0));
            break;
        }
        assert!(!timeout(ARRIVAL_WAIT, gateway.ended()).await.expect("the switch aborts it").success());
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn it_dies_while_its_store_is_made() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    for _ in 0..2 {
        assert!(Process::start(binary(), dir.path(), &config, Some("in-opening")).await.is_none());
    }
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let gateway = Process::start(binary(), dir.path(), &config, None).await.expect("it begins anew");
    send_until_gone(gateway.url("/in/flexprice"), "s".to_owned(), acknowledged.clone(), 2).await;
    assert_eq!(acknowledged.lock().unwrap().len(), 2);
    gateway.kill().await;
    nothing_is_lost(dir.path(), &config, &receiver, &acknowledged).await;
}

#[tokio::test]
async fn it_dies_while_it_recovers() {
    aborts_at("in-recovery", 1).await;
    aborts_at("in-recovery", 2).await;
}

#[tokio::test]
async fn fifty_kills_under_load_lose_nothing() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let config = format!("{FLEXPRICE}{}", receiver.endpoint("app"));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    for kill in 0..50 {
        let gateway =
            Process::start(binary(), dir.path(), &config, None).await.expect("it starts after a kill");
        let before = acknowledged.lock().unwrap().len();
        let enough = rand::rng().random_range(1..60);
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let prefix = format!("kill-{kill}-{sender}");
                tokio::spawn(send_until_gone(
                    gateway.url("/in/flexprice"),
                    prefix,
                    acknowledged.clone(),
                    1000,
                ))
            })
            .collect();
        while acknowledged.lock().unwrap().len() < before + enough {
            tokio::task::yield_now().await;
        }
        gateway.kill().await;
        for sender in senders {
            sender.await.unwrap();
        }
    }
    nothing_is_lost(dir.path(), &config, &receiver, &acknowledged).await;
}
