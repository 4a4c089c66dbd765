//! What went wrong in other gateways, each as a fact about this one, with the report it comes from.
//!
//! Some are tested where they belong: a webhook that fails for ever (WebhookX has no dead letter) by
//! `plugins::one_poisonous_webhook_ends_in_the_dead_letter_and_stops_nobody`, an answer that breaks off after a 2xx
//! (svix/svix-webhooks#675) by the rows of `answers` too, the end of a schedule (frain-dev/convoy#1833) by
//! `delivery::a_schedule_that_is_used_up_ends_in_the_dead_letter_and_a_redrive_begins_it_anew` too.

mod faltering;

use crate::cli::{ask, text};
use crate::delivery::send;
use crate::line::{FLEXPRICE, canceled};
use billhook_tests::process::Process;
use billhook_tests::receiver::{Answer, Receiver};
use billhook_tests::sender::post_signed;
use billhook_tests::wire::{Step, Waits, Wire};
use billhook_tests::{ADMIN_TOKEN, Gateway, START_SECS, configuration};
use faltering::Faltering;
use gateway::api::delivery::{DeliveryQuery, DeliveryState};
use gateway::client::Client;
use gateway::clock::Clock;
use gateway::config::Config;
use gateway::config::environment::Environment;
use gateway::deliver::{Deliver, Endpoints};
use gateway::dispatch::in_flight::InFlight;
use gateway::dispatch::{Dispatcher, Lines};
use gateway::model::Time;
use gateway::model::secret::Secret;
use gateway::outbound::Outbound;
use gateway::outbound::address::Policy;
use gateway::replay::Replay;
use gateway::server::load::shipped;
use gateway::store::sled::{Options as SledOptions, SledStore};
use gateway::store::{Committed, Shared};
use gateway::worker::{Stop, Wake};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// hookdeck/outpost#670: a manual retry after a success was swallowed as a duplicate, and nobody was told.
#[tokio::test]
async fn what_was_delivered_is_sent_again_by_every_kind_of_replay_and_never_swallowed_as_a_duplicate() {
    let receiver = Receiver::start().await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    let webhook = send(&gateway, "subs_1").await;
    gateway.settle().await;
    let delivery = gateway.story(&webhook).await.events[0].deliveries[0].0.id.to_string();
    let replays: [&[&str]; 4] = [
        &["delivery", "resend", &delivery],
        &["delivery", "resend", &delivery],
        &["replay", "resend", "--endpoint", "app"],
        &["replay", "reprocess", "--resend"],
    ];
    for (n, command) in (2..).zip(replays) {
        let told = ask(&gateway, command).await;
        assert!(told.status.success(), "{command:?}: {}", text(&told.stderr));
        gateway.settle().await;
        gateway.advance(Duration::from_secs(2)).await;
        assert_eq!(receiver.received().len(), n, "{command:?}");
    }
    let received = receiver.received();
    assert!(received.iter().all(|again| again.header("webhook-id") == received[0].header("webhook-id")));
    gateway.stop().await;
}

/// hookdeck/outpost#609: the key of a retry named the event and not the endpoint, so that of several endpoints that
/// failed one was tried again.
#[tokio::test]
async fn an_event_that_fails_at_several_endpoints_is_tried_again_at_each() {
    let receivers = [
        Receiver::scripted([Answer::Status(500)]).await,
        Receiver::scripted([Answer::Status(500)]).await,
        Receiver::scripted([Answer::Status(500), Answer::Status(503)]).await,
        Receiver::start().await,
    ];
    let endpoints: String =
        receivers.iter().enumerate().map(|(n, receiver)| receiver.endpoint(&format!("e{n}"))).collect();
    let gateway = Gateway::start(&format!("{FLEXPRICE}{endpoints}")).await;
    let webhook = send(&gateway, "subs_1").await;
    gateway.settle().await;
    gateway.advance(Duration::from_secs(6)).await;
    gateway.advance(Duration::from_secs(360)).await;
    for (receiver, n) in receivers.iter().zip([2, 2, 3, 1]) {
        assert_eq!(receiver.received().len(), n);
    }
    let deliveries = gateway.story(&webhook).await.events.remove(0).deliveries;
    assert_eq!(deliveries.len(), 4);
    assert!(deliveries.iter().all(|(delivery, _)| delivery.state.name() == "delivered"), "{deliveries:?}");
    gateway.stop().await;
}

/// frain-dev/convoy#1833: attempts were not counted, and a delivery was tried for ever. Here an attempt that was made
/// and could not be recorded is made once more for each death of the process, and no more.
#[tokio::test]
async fn a_delivery_is_tried_as_often_as_its_schedule_says_and_once_more_for_each_death_of_the_process() {
    let receiver = Receiver::scripted(vec![Answer::Status(500); 100]).await;
    let config = format!("{FLEXPRICE}{}schedule = [\"1s\", \"1s\"]\n", receiver.endpoint("app"));
    let dir = tempfile::tempdir().unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_billhook"));
    let deaths = 3;
    for death in 0..deaths {
        let switch = Some("sent-not-finished:1");
        let Some(mut gateway) = Process::start(binary, dir.path(), &config, switch).await else { continue };
        if death == 0 {
            let (url, now) = (gateway.url("/in/flexprice"), Clock::system().now().secs());
            post_signed(&url, "msg_1", now, &canceled("subs_1", "price")).await;
        }
        assert!(!gateway.ended().await.success());
    }
    let gateway = Process::start(binary, dir.path(), &config, None).await.unwrap();
    let client = Client::new(format!("http://{}", gateway.admin), Secret::new(ADMIN_TOKEN)).unwrap();
    let delivery = loop {
        // None until the run that the last death cut short has been repeated.
        let mut deliveries = client.deliveries(&DeliveryQuery::default()).await.unwrap().items;
        if let Some(delivery) = deliveries.pop()
            && let DeliveryState::Dead { .. } = delivery.state
        {
            break delivery;
        }
        tokio::task::yield_now().await;
    };
    let attempts = client.delivery(delivery.id).await.unwrap().attempts;
    assert_eq!(attempts.iter().map(|attempt| attempt.n).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(receiver.received().len(), 3 + deaths);
    assert_eq!(gateway.terminate().await, Some(0));
}

/// svix/svix-webhooks#675: a body that could not be read made a failure of a 2xx, and duplicates of every delivery.
#[tokio::test]
async fn a_2xx_whose_body_breaks_off_is_a_success_and_nothing_is_sent_again() {
    let half = || Step::say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
    for end in [Step::Reset, Step::Close] {
        let wire = Wire::start(Waits::ForAll, vec![half(), end]).await;
        let config = format!(
            "{FLEXPRICE}[[endpoint]]\nname = \"app\"\nurl = \"http://{}/\"\nsecret = \"{}\"\n",
            wire.addr,
            billhook_tests::sender::SECRET
        );
        let gateway = Gateway::start(&config).await;
        let webhook = send(&gateway, "subs_1").await;
        gateway.settle().await;
        gateway.advance(Duration::from_secs(1_000_000)).await;
        assert_eq!(wire.requests().len(), 1);
        let story = gateway.story(&webhook).await;
        assert_eq!(story.events[0].deliveries[0].0.state.name(), "delivered");
        assert_eq!(story.events[0].deliveries[0].1[0].answer, b"half");
        gateway.stop().await;
    }
}

/// hookdeck/outpost#881: an outage of the store of three seconds ended the retry worker for good; and
/// the-momentum/open-wearables#1188: another one wrote millions of log lines in a loop without a wait.
#[tokio::test]
async fn a_store_that_is_out_for_a_while_ends_no_worker_and_is_not_hammered() {
    let receiver = Receiver::scripted([Answer::Hang]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("billhook.toml");
    let text = configuration(dir.path(), &format!("{FLEXPRICE}{}", receiver.endpoint("app")));
    std::fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), &Environment::default(), &shipped()).unwrap();
    let sled = SledOptions { min_free: 0, ..SledOptions::at(dir.path().join("store")) };
    let inner: Shared = Arc::new(SledStore::open(sled).unwrap());
    let faltering = Arc::new(Faltering::over(inner.clone()));
    let store: Shared = faltering.clone();
    let clock = Clock::manual(Time::from_secs(START_SECS));
    let policy = Policy { allow: vec!["127.0.0.0/8".parse().unwrap()], own: Vec::new() };
    let outbound = Outbound::new(policy).unwrap();
    let endpoints = Arc::new(Endpoints::new(config.endpoints.clone()).unwrap());
    let ((dispatch, dispatch_woken), (deliver, deliver_woken), (replay, replay_woken)) =
        (Wake::new(), Wake::new(), Wake::new());
    let (_stopper, stop) = Stop::new();
    let (in_flight, _) = InFlight::open(&dir.path().join("in-flight")).unwrap();
    let lines = Arc::new(Lines { endpoints: config.endpoints.clone(), ..Lines::default() });
    let dispatcher =
        Dispatcher::new(store.clone(), clock.clone(), lines, deliver.clone(), in_flight, Vec::new());
    let delivers = Deliver::new(store.clone(), clock.clone(), outbound, endpoints);
    let replays = Replay::new(store.clone(), clock.clone(), dispatch.clone(), deliver.clone());
    let stops = stop.clone();
    let workers = [
        tokio::spawn(async move { dispatcher.run(dispatch_woken, stops).await }),
        tokio::spawn(delivers.run(deliver_woken, stop.clone())),
        tokio::spawn(replays.run(replay_woken, stop)),
    ];

    // An attempt is under way when the store goes out: it cannot be recorded, and is made again.
    let (first, app) = (crate::queue_model::placed(1, "app"), config.endpoints[0].id);
    assert_eq!(inner.place(first.0, first.1, clock.now()).await.unwrap(), Committed::Done);
    deliver.wake();
    receiver.got(1).await;
    faltering.set_out(true);
    receiver.let_go();
    // Until the attempt is given up and its delivery back in the line.
    while inner.due(9).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        [&dispatch, &deliver, &replay].into_iter().for_each(Wake::wake);
        clock.advance(Duration::from_secs(1));
        tokio::task::yield_now().await;
    }
    let refused = faltering.refused();
    assert!(refused < 200, "{refused} verbs in 20 s");
    assert!(workers.iter().all(|worker| !worker.is_finished()));

    faltering.set_out(false);
    let second = crate::queue_model::placed(2, "app");
    inner.place(second.0, second.1, clock.now()).await.unwrap();
    clock.advance(Duration::from_secs(60));
    deliver.settled().await;
    replay.settled().await;
    let received = receiver.got(3).await;
    assert_eq!(received.len(), 3);
    assert_eq!(received[0].header("webhook-id"), received[1].header("webhook-id"), "made again, as it was");
    deliver.settled().await;
    assert!(inner.lease(app, Time::MAX, 9).await.unwrap().is_empty(), "both are delivered");
    assert!(workers.iter().all(|worker| !worker.is_finished()));
}
