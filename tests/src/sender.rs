//! Signs and posts webhooks as a provider would. The signature code is the tests' own: it shares nothing with the
//! gateway's.

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

/// The secret of every signed test source, and of every test endpoint.
pub const SECRET: &str = "whsec_dGhpcyBpcyBhIHRlc3Qgc2VjcmV0IG9mIDMyIGJ5dGU=";

/// `v1,<base64>` of HMAC-SHA256 over `id.timestamp.body` (Standard Webhooks 1.0.0).
pub fn sign(secret: &str, id: &str, timestamp: &str, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("a base64 secret");
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key length");
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// What a sender was answered.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body, null if it is not JSON.
    pub body: Value,
}

impl Answered {
    /// The id of the webhook that was stored, or that came first.
    pub fn id(&self) -> &str {
        self.body["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}"))
    }
}

/// Posts `body` with `headers`.
pub async fn post(url: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answered {
    try_post(url, headers, body).await.expect("the gateway answers")
}

/// Posts `body` with `headers`; fails if there was no answer.
pub async fn try_post(
    url: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> reqwest::Result<Answered> {
    let client = gateway::client::http().expect("an HTTP client");
    let mut request = client.post(url).header("content-type", "application/json").body(body.into());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await?;
    let status = answer.status().as_u16();
    let body = serde_json::from_slice(&answer.bytes().await?).unwrap_or(Value::Null);
    Ok(Answered { status, body })
}

/// Posts `body`, signed by Standard Webhooks with [`SECRET`] at the second `timestamp`.
pub async fn post_signed(url: &str, id: &str, timestamp: u64, body: &str) -> Answered {
    try_post_signed(url, id, timestamp, body).await.expect("the gateway answers")
}

/// [`post_signed`] that fails if there was no answer.
pub async fn try_post_signed(url: &str, id: &str, timestamp: u64, body: &str) -> reqwest::Result<Answered> {
    let timestamp = timestamp.to_string();
    let signature = sign(SECRET, id, &timestamp, body.as_bytes());
    let headers = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
    try_post(url, &headers, body).await
}
