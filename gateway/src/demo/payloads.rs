//! What the demo's providers send: bodies of our own in each shape that the providers document.

use crate::model::signature;
use crate::model::source::Hash;
use billhook_event::Time;
use std::time::Duration;

/// One act of the demo: something a provider sends, and what should come of it.
#[derive(Debug)]
pub struct Act {
    /// What happens, in a sentence.
    pub title: &'static str,
    /// Below the gateway's address.
    pub path: &'static str,
    /// How the provider proves itself.
    pub proof: Proof,
    /// The body; `@ago-2m` and `@in-12d` stand for times before and after now.
    body: &'static str,
    /// What should come of it.
    pub expect: Expect,
}

/// How the provider of an act proves itself.
#[derive(Clone, Copy, Debug)]
pub enum Proof {
    /// Standard Webhooks under the id given.
    Signed(&'static str),
    /// Standard Webhooks with a signature made for other bytes.
    Forged(&'static str),
    /// The public key in the path.
    Path,
    /// The secret header.
    Header,
    /// Hex HMAC-SHA256 of the body.
    Hmac,
    /// The secret in the query.
    Query,
}

/// What should come of an act.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// Stored; gives one event of this type with this primary strategy, delivered.
    Event {
        /// The canonical type.
        kind: &'static str,
        /// The primary retention strategy.
        strategy: Option<&'static str>,
    },
    /// Stored; gives an event of this type that one endpoint takes only after it has failed.
    Recovery {
        /// The canonical type.
        kind: &'static str,
    },
    /// Stored; gives an event that a filter drops.
    Dropped,
    /// Answered 200 as a duplicate of what came before; delivered once.
    Duplicate,
    /// Answered 401, nothing stored.
    Refused,
}

/// The header that the demo's wingback source takes as proof, and its value.
pub const WINGBACK_HEADER: (&str, &str) = ("wb-secret", "demo-wingback-secret");
/// The header in which the demo's wingspan source takes the MAC, and its shared secret.
pub const WINGSPAN: (&str, &str) = ("X-Wingspan-Signature", "demo-wingspan-secret");
/// The value of the query that the demo's abowire source takes as proof, and its value.
pub const ABOWIRE: (&str, &str) = ("token", "demo-abowire-token");
/// The public key of the demo's windback source.
pub const WINDBACK_KEY: &str = "pub_demo";

const CANCELED: &str = r#"{"webhook_type":"subscription.terminated","object_type":"subscription","data":{"object":{"id":"subs_demo_1","customer_id":"cust_demo_1","plan_id":"plan_team","lookup_key":"team-monthly","subscription_status":"cancelled","currency":"usd","start_date":"@ago-564d","current_period_start":"@ago-18d","current_period_end":"@in-12d","cancel_at_period_end":false,"cancelled_at":"@ago-2m","end_date":"@ago-2m","billing_cadence":"RECURRING","billing_period":"MONTHLY","billing_period_count":1,"customer":{"id":"cust_demo_1","external_id":"northwind","name":"Northwind Ltd","email":"ap@northwind.example"},"metadata":{"cancellation_type":"immediate","cancellation_reason":"Switching because of the price"}}}}"#;

const SCHEDULED: &str = r#"{"event_type":"subscription.updated","subscription":{"billing_cadence":"RECURRING","billing_period":"ANNUAL","billing_period_count":1,"cancel_at":"@in-144d","cancel_at_period_end":true,"cancelled_at":"@ago-1m","currency":"eur","current_period_end":"@in-144d","current_period_start":"@ago-221d","customer":{"email":"it@fabrikam.example","external_id":"fabrikam","id":"cust_demo_2","name":"Fabrikam GmbH"},"customer_id":"cust_demo_2","id":"subs_demo_2","lookup_key":"business-annual","metadata":{"cancellation_reason":"We need SAML sign-in","cancellation_type":"end_of_period"},"plan_id":"plan_business","start_date":"@ago-951d","subscription_status":"active"}}"#;

const DECLINED: &str = r#"{"event_type":"payment.failed","payment":{"amount":"129.00","currency":"usd","destination_id":"inv_demo_7","destination_type":"INVOICE","error_message":"Your card has insufficient funds.","failed_at":"@ago-1m","id":"pay_demo_7","invoice_number":"INV-0007","payment_gateway":"stripe","payment_method_type":"CARD","payment_status":"FAILED"}}"#;

const WINDBACK_SEED: &str = r#"{"customer_email":"mia@contoso.example","event_type":"cancellation","cancel_reason":"just a break for the summer","mrr":2900,"currency":"usd","provider":"paddle","plan_name":"Starter","tenure_days":45}"#;

const WINDBACK_CODED: &str = r#"{"customer_email":"lee@tailspin.example","customer_name":"Lee Tailspin","provider_subscription_id":"sub_demo_9","provider_customer_id":"cus_demo_9","plan_name":"Pro Monthly","mrr_cents":62000,"currency":"usd","tenure_days":900,"cancel_reason":"switching_competitor"}"#;

const WINDBACK_FAILED: &str = r#"{"customer_email":"ana@wideworld.example","event_type":"payment_failed","mrr":4900,"currency":"usd","provider":"lemonsqueezy","plan_name":"Team"}"#;

const CONTRACT: &str = r#"{"id":"Cont_0d9f2c4e-7a51-4b0e-9a37-5c1f6f2b8e11"}"#;

const OVERDUE: &str = r#"{"webhook_type":"invoice.payment_overdue","object_type":"invoice","data":{"object":{"id":"inv_demo_8","customer_id":"cust_demo_2","subscription_id":"subs_demo_2","invoice_status":"FINALIZED","payment_status":"PENDING","currency":"eur","amount_due":"1188.00","amount_paid":"0","amount_remaining":"1188.00","total":"1188.00","invoice_number":"INV-0008","due_date":"@ago-18d"}}}"#;

const NOISE: &str = r#"{"event_type":"customer.updated","customer":{"id":"cust_demo_1","external_id":"northwind","email":"ap@northwind.example","name":"Northwind Limited"}}"#;

const PAID: &str = r#"{"eventId":"wsev_demo_1","eventType":"InvoicePaid","resourceType":"Invoice","resourceId":"inv_ws_31","data":{"invoiceId":"inv_ws_31","invoiceNumber":"2026-031","clientId":"client_4","memberId":"member_2","amount":1250.5,"currency":"USD","status":"Paid","events":{"openedAt":"@ago-18d","paidAt":"@ago-2m"}}}"#;

const LICENSES: &str = r#"{"id":"whd_demo","eventArn":"arn:abowire:subscription:bulk-disable","component":"subscription","action":"bulk-disable","userId":"usr_demo_7","timestamp":"@ago-1m","origin":"dashboard","destination":"https://hooks.example.com/in/abowire?token=demo-abowire-token","payload":[{"id":"sub_ab_1","status":"disabled"}]}"#;

/// The acts, in order.
pub const ACTS: &[Act] = &[
    Act {
        title: "Flexprice: a subscription ends, with a reason in free text",
        path: "/in/flexprice",
        proof: Proof::Signed("msg_demo_1"),
        body: CANCELED,
        expect: Expect::Event { kind: "subscription.canceled", strategy: Some("discount") },
    },
    Act {
        title: "Flexprice sends the same webhook again",
        path: "/in/flexprice",
        proof: Proof::Signed("msg_demo_1"),
        body: CANCELED,
        expect: Expect::Duplicate,
    },
    Act {
        title: "Somebody else posts to the Flexprice source with a signature that is not right",
        path: "/in/flexprice",
        proof: Proof::Forged("msg_demo_2"),
        body: CANCELED,
        expect: Expect::Refused,
    },
    Act {
        title: "Flexprice, its other format: a cancellation is scheduled for the end of a paid year",
        path: "/in/flexprice",
        proof: Proof::Signed("msg_demo_3"),
        body: SCHEDULED,
        expect: Expect::Event { kind: "subscription.cancel_scheduled", strategy: Some("pain_point_fix") },
    },
    Act {
        title: "Flexprice: a payment fails, so this customer is dunned, not won back",
        path: "/in/flexprice",
        proof: Proof::Signed("msg_demo_4"),
        body: DECLINED,
        expect: Expect::Event { kind: "payment.failed", strategy: None },
    },
    Act {
        title: "Windback's custom webhook: a customer of Paddle wants a pause",
        path: "/api/v1/webhooks/custom/pub_demo",
        proof: Proof::Path,
        body: WINDBACK_SEED,
        expect: Expect::Event { kind: "subscription.canceled", strategy: Some("pause_option") },
    },
    Act {
        title: "Windback, its later shape: a reason from the list, high revenue, long tenure",
        path: "/api/v1/webhooks/custom/pub_demo",
        proof: Proof::Path,
        body: WINDBACK_CODED,
        expect: Expect::Event { kind: "subscription.canceled", strategy: Some("social_proof") },
    },
    Act {
        title: "Windback: a payment failed upstream",
        path: "/api/v1/webhooks/custom/pub_demo",
        proof: Proof::Path,
        body: WINDBACK_FAILED,
        expect: Expect::Event { kind: "payment.failed", strategy: None },
    },
    Act {
        title: "Wingback: an id and nothing else; the path says what happened",
        path: "/in/wingback/v1.contract.cancellation.scheduled",
        proof: Proof::Header,
        body: CONTRACT,
        expect: Expect::Event { kind: "subscription.cancel_scheduled", strategy: Some("feedback_request") },
    },
    Act {
        title: "Wingspan: an invoice was paid, proved by an HMAC in hex",
        path: "/in/wingspan",
        proof: Proof::Hmac,
        body: PAID,
        expect: Expect::Event { kind: "payment.succeeded", strategy: None },
    },
    Act {
        title: "Abowire: licences were disabled; its token is in the query, and again in the body: neither is stored",
        path: "/in/abowire",
        proof: Proof::Query,
        body: LICENSES,
        expect: Expect::Event { kind: "license.disabled", strategy: None },
    },
    Act {
        title: "Flexprice: an invoice is overdue, and the second endpoint is down for a moment",
        path: "/in/flexprice",
        proof: Proof::Signed("msg_demo_5"),
        body: OVERDUE,
        expect: Expect::Recovery { kind: "invoice.overdue" },
    },
    Act {
        title: "Flexprice: a change that nobody here cares for",
        path: "/in/flexprice",
        proof: Proof::Signed("msg_demo_6"),
        body: NOISE,
        expect: Expect::Dropped,
    },
];

/// The times that bodies name.
const TIMES: [(&str, Offset); 8] = [
    ("@ago-1m", Offset::Ago(MINUTE)),
    ("@ago-2m", Offset::Ago(Duration::from_secs(120))),
    ("@ago-18d", Offset::Ago(DAY.saturating_mul(18))),
    ("@ago-221d", Offset::Ago(DAY.saturating_mul(221))),
    ("@ago-564d", Offset::Ago(DAY.saturating_mul(564))),
    ("@ago-951d", Offset::Ago(DAY.saturating_mul(951))),
    ("@in-12d", Offset::In(DAY.saturating_mul(12))),
    ("@in-144d", Offset::In(DAY.saturating_mul(144))),
];
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

/// A time before or after now.
enum Offset {
    Ago(Duration),
    In(Duration),
}

impl Act {
    /// The body that the provider sends at `now`.
    pub fn body(&self, now: Time) -> String {
        TIMES.iter().fold(self.body.to_owned(), |body, (mark, offset)| {
            let at = match offset {
                Offset::Ago(ago) => now.minus(*ago),
                Offset::In(later) => now.plus(*later),
            };
            body.replace(&format!("\"{mark}\""), &format!("\"{at}\""))
        })
    }

    /// The headers that the provider sends with `body`, at `now` and with the secret of the Flexprice source.
    pub fn headers(&self, body: &str, secret: &str, now: Time) -> Vec<(&'static str, String)> {
        let key = signature::standard_key(secret).expect("the demo makes its own secret");
        let signed = |id: &str, body: &str| {
            vec![
                ("webhook-id", id.to_owned()),
                ("webhook-timestamp", now.secs().to_string()),
                ("webhook-signature", signature::sign_v1(&key, id, now.secs(), body.as_bytes())),
            ]
        };
        match self.proof {
            Proof::Signed(id) => signed(id, body),
            Proof::Forged(id) => signed(id, "other bytes"),
            Proof::Path => Vec::new(),
            Proof::Header => vec![(WINGBACK_HEADER.0, WINGBACK_HEADER.1.to_owned())],
            Proof::Hmac => {
                let (header, secret) = WINGSPAN;
                vec![(
                    header,
                    hex::encode(signature::mac(Hash::Sha256, secret.as_bytes(), [body.as_bytes()])),
                )]
            }
            Proof::Query => Vec::new(),
        }
    }

    /// The path and query that the provider posts to.
    pub fn target(&self) -> String {
        match self.proof {
            Proof::Query => format!("{}?{}={}", self.path, ABOWIRE.0, ABOWIRE.1),
            Proof::Signed(_) | Proof::Forged(_) | Proof::Path | Proof::Header | Proof::Hmac => {
                self.path.to_owned()
            }
        }
    }
}
