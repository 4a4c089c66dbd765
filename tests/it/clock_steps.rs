//! The machine's clock is set back or forward while deliveries wait.

use crate::delivery::send;
use crate::line::FLEXPRICE;
use billhook_tests::Gateway;
use billhook_tests::receiver::{Answer, Received, Receiver};
use gateway::model::Time;
use std::collections::BTreeMap;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// How often each event came.
fn times(received: &[Received]) -> Vec<usize> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for request in received {
        *times.entry(request.header("webhook-id")).or_default() += 1;
    }
    let mut times: Vec<usize> = times.into_values().collect();
    times.sort_unstable();
    times
}

async fn step(gateway: &Gateway, to: impl Fn(Time) -> Time) {
    gateway.clock.set(to(gateway.clock.now()));
    gateway.settle().await;
}

#[tokio::test]
async fn an_hour_back_loses_nothing_sends_nothing_twice_and_holds_up_nothing_new() {
    let receiver = Receiver::scripted([500, 500].map(Answer::Status)).await;
    let mut gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    for n in 0..2 {
        send(&gateway, &format!("subs_{n}")).await;
        gateway.settle().await;
    }
    for restarts in [false, true] {
        step(&gateway, |now| now.minus(HOUR)).await;
        if restarts {
            gateway = gateway.restart().await;
        }
        let before = receiver.received().len();
        send(&gateway, &format!("subs_new_{restarts}")).await;
        gateway.settle().await;
        assert_eq!(receiver.received().len(), before + 1, "what is new goes at once");
    }
    assert_eq!(times(&receiver.received()), [1, 1, 1, 1]);
    // What waited keeps its time, which comes.
    gateway.advance(HOUR * 2).await;
    gateway.advance(Duration::from_secs(6)).await;
    assert_eq!(times(&receiver.received()), [1, 1, 2, 2]);
    gateway.advance(HOUR * 1000).await;
    assert_eq!(times(&receiver.received()), [1, 1, 2, 2]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_hour_forward_sends_what_waited_once_and_a_step_back_after_it_changes_nothing() {
    let receiver = Receiver::scripted([500, 500, 500].map(Answer::Status)).await;
    let gateway = Gateway::start(&format!("{FLEXPRICE}{}", receiver.endpoint("app"))).await;
    for n in 0..3 {
        send(&gateway, &format!("subs_{n}")).await;
        gateway.settle().await;
    }
    assert_eq!(times(&receiver.received()), [1, 1, 1]);
    step(&gateway, |now| now.plus(HOUR)).await;
    assert_eq!(times(&receiver.received()), [2, 2, 2], "timers wake");
    step(&gateway, |now| now.minus(HOUR)).await;
    gateway.advance(HOUR * 1000).await;
    assert_eq!(times(&receiver.received()), [2, 2, 2]);
    gateway.stop().await;
}

#[tokio::test]
async fn an_endpoint_on_trial_is_tried_again_after_its_clock_was_set_both_ways() {
    let receiver = Receiver::scripted(vec![Answer::Status(500); 5]).await;
    let config = format!("{FLEXPRICE}{}concurrency = 1\n", receiver.endpoint("app"));
    let gateway = Gateway::start(&config).await;
    for n in 0..7 {
        send(&gateway, &format!("subs_{n}")).await;
        gateway.settle().await;
    }
    assert_eq!(times(&receiver.received()), [1; 5], "it is on trial");
    step(&gateway, |now| now.minus(HOUR)).await;
    assert_eq!(times(&receiver.received()), [1; 5]);
    for _ in 0..8 {
        step(&gateway, |now| now.plus(HOUR)).await;
    }
    assert_eq!(times(&receiver.received()), [1, 1, 2, 2, 2, 2, 2]);
    gateway.stop().await;
}
