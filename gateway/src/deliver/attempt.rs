//! Makes one attempt: has the body written, has plugins change it, signs it, sends it and says what came back. It decides nothing.
//!
//! The body is the same bytes in every attempt. Only the timestamp and with it the signature differ (Standard Webhooks
//! 1.0.0).

use crate::deliver::endpoints::Target;
use crate::deliver::format::{self, Content, Unsent};
use crate::deliver::signer::Signer;
use crate::deliver::transform::{Made, transform};
use crate::model::Time;
use crate::model::attempt::{Attempt, Failure, Outcome};
use crate::model::endpoint::Stale;
use crate::outbound::{Outbound, Post, Sent};
use crate::store::{DeliveryLease, Shared};
use billhook_event::header;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::time::Duration;

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const STALE: HeaderName = HeaderName::from_static(header::STALE);
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// Headers that are added to those of a content here and in `outbound`: room that need not be made later.
const OURS: usize = 6;

/// Tries `lease` once. `at` is the time of the attempt.
pub(super) async fn attempt(
    store: &Shared,
    outbound: &Outbound,
    target: &Target,
    lease: &DeliveryLease,
    at: Time,
    trial: bool,
) -> Attempt {
    let webhook_id = lease.webhook_id();
    let content = match unwanted(target, lease) {
        Some(why) => Err(Unsent::Skip(why)),
        None => format::write(&target.endpoint, lease, &webhook_id, &**store).await,
    };
    let made = match content {
        Ok(content) => transform(store, target, lease, content, at).await,
        Err(Unsent::Skip(why)) => Err(Outcome::Skipped(why)),
        Err(Unsent::Unreadable(why)) => Err(Outcome::Failed(Failure::Unreadable(why))),
    };
    let signed = match made {
        Ok(made) => match target.signer(&**store, at).await {
            Ok(signer) => Ok((made, signer)),
            Err(why) => Err(Outcome::Failed(Failure::Unreadable(why.to_string()))),
        },
        Err(outcome) => Err(outcome),
    };
    let sent = match signed {
        Ok((Made { url, content: Content { body, mut headers } }, signer)) => {
            if lease.delivery.stale.is_some() {
                headers.insert(STALE, HeaderValue::from_static("true"));
            }
            let headers = || with_ours(&headers, target, &signer, &webhook_id, at, &body);
            let timeout = target.endpoint.timeout;
            outbound.send(Post { url, headers: &headers, body: body.clone(), timeout, now: at }).await
        }
        Err(outcome) => unsent(outcome),
    };
    Attempt {
        n: lease.delivery.attempts + 1,
        at,
        took: sent.took,
        outcome: target.endpoint.manner.success.judge(sent.outcome),
        trial,
        webhook_id,
        retry_after: sent.retry_after,
        answer: sent.answer,
    }
}

/// Why the endpoint does not want it by now. What is sent again by hand it gets.
fn unwanted(target: &Target, lease: &DeliveryLease) -> Option<String> {
    let later = lease.delivery.stale.filter(|_| lease.delivery.resend == 0)?;
    (target.endpoint.terms.stale == Stale::Skip)
        .then(|| format!("stale: {later} is later and was taken before"))
}

fn unsent(outcome: Outcome) -> Sent {
    Sent { outcome, retry_after: None, answer: Vec::new(), took: Duration::ZERO }
}

/// Adds to the content's headers what the endpoint's configuration says and what we say. A `webhook-id` and its time are
/// there already where they belong to a signature that is passed on.
fn with_ours(
    content: &HeaderMap,
    target: &Target,
    signer: &Signer,
    webhook_id: &str,
    at: Time,
    body: &[u8],
) -> HeaderMap {
    let value = |text: &str| {
        HeaderValue::from_str(text).expect("ids, numbers, prefixes, hex and base64 are visible ASCII")
    };
    let configured = &target.endpoint.manner.headers;
    let mut headers = HeaderMap::with_capacity(content.len() + configured.len() + OURS);
    headers.extend(content.iter().map(|(name, value)| (name.clone(), value.clone())));
    for (name, value) in configured {
        headers.insert(name, value.clone());
    }
    headers.entry(WEBHOOK_ID).or_insert_with(|| value(webhook_id));
    headers.entry(WEBHOOK_TIMESTAMP).or_insert_with(|| value(&at.secs().to_string()));
    if let Some((name, signature)) = signer.sign(webhook_id, at, body) {
        headers.insert(name, value(&signature));
    }
    headers
}
