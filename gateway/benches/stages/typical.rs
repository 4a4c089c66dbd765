//! What providers typically send, and what a cancellation looks like at each stage.

use crate::{CALL, NOW, RUNTIME};
use billhook_event::event::Stamp;
use billhook_event::{Event, Raw, Verified};
use bytes::Bytes;
use gateway::model::id::{EventId, WebhookId};
use gateway::model::webhook::WebhookHead;
use gateway::plugins::manifest::{Kind, Manifest};
use gateway::plugins::{
    Component, EventInput, Limits, Options, Plugin, Plugins, Spec, WebhookInput, shipped,
};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// What a cancellation looks like at each stage.
pub(crate) static TYPICAL: LazyLock<Typical> = LazyLock::new(Typical::new);

pub(crate) struct Typical {
    pub(crate) draft: Vec<u8>,
    /// Before the strategy is chosen.
    pub(crate) event: Arc<EventInput>,
    /// After.
    pub(crate) chosen: Event,
}

impl Typical {
    fn new() -> Typical {
        let (normalizer, strategy) = (load("flexprice"), load("cancel-strategy"));
        let webhook = webhook("flexprice");
        let drafts = RUNTIME.block_on(normalizer.normalize(&CALL, &webhook)).expect("drafts");
        let draft = drafts.into_iter().next().expect("a draft");
        let json = serde_json::to_vec(&draft).expect("a draft is JSON");
        let event = Event::new(stamp(&normalizer, &webhook), draft);
        let before = Arc::new(EventInput {
            json: serde_json::to_vec(&event).expect("an event is JSON").into(),
            event: event.clone(),
            webhook: Some(webhook),
            seen: BTreeMap::new(),
            replayed: false,
        });
        let patch = RUNTIME.block_on(strategy.map(&CALL, &before)).expect("an answer").expect("a patch");
        let mut chosen = event;
        chosen.apply(strategy.name(), patch);
        chosen.plugins.push(strategy.reference().clone());
        Typical { draft: json, event: before, chosen }
    }
}

/// What each provider typically sends: the normalizer, the event's name where it is outside the body, the body.
pub(crate) const BODIES: &[(&str, Option<&str>, &str)] = &[
    (
        "flexprice",
        None,
        r#"{"webhook_type":"subscription.terminated","object_type":"subscription","data":{"object":{"id":"subs_1","customer_id":"cust_1","plan_id":"plan_team","lookup_key":"team-monthly","subscription_status":"cancelled","currency":"usd","start_date":"2025-02-01T00:00:00Z","current_period_start":"2026-08-01T00:00:00Z","current_period_end":"2026-09-01T00:00:00Z","cancel_at_period_end":false,"cancelled_at":"2026-08-10T11:59:00Z","end_date":"2026-08-10T11:59:00Z","customer":{"id":"cust_1","name":"Northwind Ltd","email":"ap@northwind.example"},"metadata":{"cancellation_reason":"Switching because of the price"}}}}"#,
    ),
    (
        "abowire",
        None,
        r#"{"id":"0e0e8a7c-hook","eventArn":"arn:x:payment:declined","component":"payment","action":"declined","userId":"usr_8","timestamp":"2026-05-06T07:08:09.100Z","origin":"console","destination":"https://billhook.example/in/abowire","payload":{"id":"pay_1","amount":4900,"currency":"EUR","subscriptionId":"sub_1","invoiceId":"inv_1","paymentMethod":{"type":"SEPA_MANDATE"},"errorCode":"R01"}}"#,
    ),
    (
        "wingspan",
        None,
        r#"{"eventId":"ev_9","eventType":"InvoicePaid","data":{"invoiceId":"inv_77","memberId":"mem_1","clientId":"cli_2","memberClientId":"mc_3","invoiceNumber":"A-77","amount":5000.75,"currency":"USD","status":"Paid","dueDate":"2026-07-31T00:00:00.000Z","events":{"openedAt":"2026-07-01T09:00:00.000Z","paidAt":"2026-07-30T09:00:00.000Z"}}}"#,
    ),
    ("wingback", Some("v1.contract.cancellation.scheduled"), r#"{"id":"Cont_0d9f2c4e"}"#),
    (
        "windback",
        None,
        r#"{"customer_email":"lee@tailspin.example","customer_name":"Lee Tailspin","event_type":"cancellation","provider":"paddle","plan_name":"Pro Monthly","mrr_cents":62000,"currency":"usd","tenure_days":900,"cancel_reason":"switching_competitor"}"#,
    ),
    (
        "stripe",
        None,
        r#"{"id":"evt_1PA","object":"event","api_version":"2025-06-30.basil","created":1786363140,"type":"customer.subscription.deleted","livemode":true,"data":{"object":{"id":"sub_1PA","object":"subscription","status":"canceled","customer":"cus_9","currency":"usd","start_date":1748736000,"canceled_at":1786363140,"ended_at":1786363140,"cancel_at_period_end":false,"cancellation_details":{"comment":"we found a cheaper one","feedback":"too_expensive","reason":"cancellation_requested"},"items":{"object":"list","data":[{"id":"si_1","quantity":2,"current_period_start":1785542400,"current_period_end":1788220800,"price":{"id":"price_1","currency":"usd","unit_amount":4900,"recurring":{"interval":"month","interval_count":1},"product":"prod_1"}}]}}}}"#,
    ),
    (
        "paddle",
        None,
        r#"{"event_id":"evt_01pa","event_type":"subscription.canceled","occurred_at":"2026-08-10T11:59:00.000000Z","notification_id":"ntf_01pa","data":{"id":"sub_01pa","status":"canceled","customer_id":"ctm_01pa","currency_code":"USD","started_at":"2025-02-01T00:00:00Z","canceled_at":"2026-08-10T11:59:00Z","billing_cycle":{"interval":"month","frequency":1},"scheduled_change":null,"items":[{"status":"active","quantity":2,"price":{"id":"pri_01pa","product_id":"pro_01pa","unit_price":{"amount":"4900","currency_code":"USD"},"billing_cycle":{"interval":"month","frequency":1}}}]}}"#,
    ),
    (
        "chargebee",
        None,
        r#"{"id":"ev_pa","occurred_at":1786363140,"source":"admin_console","object":"event","api_version":"v2","event_type":"subscription_cancelled","webhook_status":"not_configured","content":{"subscription":{"id":"sub_pa","status":"cancelled","customer_id":"cust_pa","currency_code":"USD","started_at":1738368000,"cancelled_at":1786363140,"cancel_reason_code":"Too expensive","billing_period":1,"billing_period_unit":"month","mrr":9800,"subscription_items":[{"item_price_id":"team-monthly","item_type":"plan","quantity":2,"unit_price":4900,"amount":9800}]},"customer":{"id":"cust_pa","email":"ap@northwind.example","first_name":"Ada"}}}"#,
    ),
];

/// The shipped normalizers that have a body here.
pub(crate) fn normalizers() -> Vec<&'static str> {
    let known = BODIES.iter().map(|(name, ..)| *name);
    known.filter(|name| shipped::component(name).is_some()).collect()
}

/// The shipped normalizers that have none.
pub(crate) fn unmeasured() -> Vec<&'static str> {
    let is_known = |name: &str| BODIES.iter().any(|(known, ..)| *known == name);
    let normalizes = |name: &str| {
        let component = shipped::component(name).expect("it is shipped");
        Manifest::of(name, &component).expect("it has a manifest").kinds.contains(&Kind::Normalize)
    };
    shipped::names().filter(|name| !is_known(name) && normalizes(name)).collect()
}

pub(crate) fn webhook(normalizer: &str) -> Arc<WebhookInput> {
    let (_, event_name, body) = BODIES.iter().find(|(name, ..)| *name == normalizer).expect("it has a body");
    let head = head(normalizer, event_name.map(str::to_owned), body.as_bytes());
    Arc::new(WebhookInput {
        id: WebhookId::new(NOW, 1),
        head: Arc::new(head),
        body: Bytes::from_static(body.as_bytes()),
    })
}

pub(crate) fn head(provider: &str, event_name: Option<String>, body: &[u8]) -> WebhookHead {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    WebhookHead {
        headers: vec![
            header("host", "billing.example.com"),
            header("user-agent", "webhooks/1.0"),
            header("content-type", "application/json"),
            header("webhook-id", "msg_2b4gKhKiXrGxNqk7b4mzEGwVQXx"),
            header("webhook-timestamp", "1786363200"),
        ],
        event_name,
        delivery_id: Some("msg_2b4gKhKiXrGxNqk7b4mzEGwVQXx".to_owned()),
        verified: Verified::Signature,
        ..WebhookHead::of(provider, provider, NOW, body)
    }
}

fn stamp(normalizer: &Plugin, webhook: &WebhookInput) -> Stamp {
    Stamp {
        id: EventId::derive(webhook.id, 0).to_string(),
        source: webhook.head.source.clone(),
        provider: webhook.head.provider.clone(),
        provider_delivery_id: webhook.head.delivery_id.clone(),
        received_at: NOW,
        ordering_key: "flexprice:flexprice:subs_1".to_owned(),
        verified: Verified::Signature,
        replayed: false,
        raw: Raw {
            webhook: webhook.id.to_string(),
            sha256: "09".repeat(32),
            content_type: Some("application/json".to_owned()),
            bytes: webhook.body.len() as u64,
        },
        plugins: vec![normalizer.reference().clone()],
    }
}

pub(crate) fn load(name: &str) -> Plugin {
    load_component(name, shipped::component(name).expect("a shipped plugin"))
}

pub(crate) fn load_component(name: &str, component: Component) -> Plugin {
    static PLUGINS: LazyLock<Plugins> =
        LazyLock::new(|| Plugins::start(Options::default()).expect("the plugin engine starts"));
    let (config, grants) = (serde_json::json!({}), Vec::new());
    let (name, secrets, limits) = (name.to_owned(), Default::default(), Limits::default());
    let spec = Spec { name, component, config, grants, secrets, limits };
    PLUGINS.load(spec).expect("the plugin loads")
}
