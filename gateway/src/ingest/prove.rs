//! What a request proves: by the source's scheme, or by the plugin that the source names.

use crate::ingest::answer::Refused;
use crate::ingest::arrival::Arrival;
use crate::ingest::authenticate::{allowed, authenticate};
use crate::ingest::{Ingest, Inlet};
use crate::model::signature::Refusal;
use crate::model::source::Proof;
use crate::model::webhook::Header;
use crate::plugins::manifest::Kind;
use crate::plugins::verify::{self, Reply};
use crate::plugins::{Call, CallError, Judgement, Plugin, RequestInput, Slot};
use billhook_event::{Time, Verified};
use http::{HeaderMap, Method};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;
use tracing::debug;

/// What came of judging a request that is not refused.
#[derive(Debug)]
pub(super) enum Judged {
    /// It is authentic.
    Authentic(Proof),
    /// It is a challenge: this is its answer.
    Challenge(Reply),
}

/// What a verifier needs to know beside the arrival.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// The path, as sent.
    pub(super) path: &'a str,
    pub(super) remote: IpAddr,
    /// When it came.
    pub(super) at: Time,
}

impl Ingest {
    /// Judges a request. A plugin that gives no answer is no verdict: the sender is to come again.
    pub(super) async fn prove(
        &self,
        inlet: &Inlet,
        arrival: &Arrival,
        asked: &Asked<'_>,
    ) -> Result<Judged, Refused> {
        let Some(verifier) = inlet.verifier.as_ref().map(Slot::now) else {
            return Ok(Judged::Authentic(authenticate(&inlet.source, arrival, asked.remote, asked.at)?));
        };
        allowed(&inlet.source, asked.remote)?;
        let judgement = ask(&verifier, inlet, arrival, asked).await.map_err(|source| {
            let about = format!("a request to the source `{}`", inlet.source.name);
            Refused::Unproven(Box::new(verifier.failed(Kind::Verify, about, source)))
        })?;
        match judgement {
            Judgement::Authentic(proof) => {
                let verify::Proof { method, delivery_id, sent_at, extra } = proof;
                debug!(
                    source = inlet.source.name,
                    method,
                    delivery_id,
                    ?sent_at,
                    ?extra,
                    "a plugin vouches for it"
                );
                let verified = verified(&method);
                Ok(Judged::Authentic(Proof { verified, signed_headers: Vec::new(), delivery_id }))
            }
            Judgement::Refused(cause) => Err(Refusal::ByPlugin(cause).into()),
            Judgement::Answer(reply) => Ok(Judged::Challenge(reply)),
        }
    }
}

async fn ask(
    verifier: &Plugin,
    inlet: &Inlet,
    arrival: &Arrival,
    asked: &Asked<'_>,
) -> Result<Judgement, CallError> {
    // A verifier is asked again with the same randomness, as with the same time.
    let hash = Sha256::digest(&arrival.body);
    let (seed, _) = hash.split_first_chunk::<16>().expect("a SHA-256 has 32 bytes");
    let request = RequestInput {
        source: inlet.source.name.clone(),
        provider: inlet.source.provider.clone(),
        method: asked.method.as_str().to_owned(),
        path: tail(asked.path).to_owned(),
        query: arrival.query.clone(),
        headers: headers(&arrival.headers),
        body: arrival.body.clone(),
        received_at: asked.at,
        remote: Some(asked.remote),
    };
    verifier.verify(&Call::new(asked.at, *seed), &Arc::new(request)).await
}

/// What follows `/in/{source}`, with its `/`, as sent.
fn tail(path: &str) -> &str {
    let rest = path.strip_prefix("/in/").unwrap_or_default();
    rest.find('/').map_or("", |at| &rest[at..])
}

fn headers(headers: &HeaderMap) -> Vec<Header> {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
}

/// How events say that it was proved: by the plugin's word where it is one of ours, else by a signature, which is what
/// plugins are there to check.
fn verified(method: &str) -> Verified {
    match method {
        "basic" => Verified::Basic,
        "static_header" => Verified::StaticHeader,
        "query_token" => Verified::QueryToken,
        "path_key" => Verified::PathKey,
        "none" => Verified::None,
        _ => Verified::Signature,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_sees_what_follows_the_source_in_the_path() {
        for (path, expected) in [
            ("/in/acme", ""),
            ("/in/acme/", "/"),
            ("/in/acme/eu%2F1/x", "/eu%2F1/x"),
            ("/api/v1/webhooks/custom/pub_1", ""),
        ] {
            assert_eq!(tail(path), expected, "{path}");
        }
    }
}
