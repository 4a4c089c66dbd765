//! Authenticates a refused request again, with the secrets that are configured now.

use crate::ingest::arrival::Arrival;
use crate::ingest::prove::{Asked, Judged};
use crate::ingest::take::{Found, webhook};
use crate::ingest::{Ingest, sender};
use crate::model::id::{RefusedId, WebhookId};
use crate::model::refused::{Readmission, RefusedHead};
use crate::model::webhook::{Accepted, Header};
use crate::store::StoreError;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tracing::info;

impl Ingest {
    /// Judges a refused request again, at the time when it came: a signature is as old as it was then. Is it
    /// authentic now, it is accepted as of that time, and is no longer among the refused. Its webhook has the
    /// bytes of its id, so that a repeat after a crash between the two stores nothing twice. The source's rate does
    /// not count: an operator asked for it.
    ///
    /// # Errors
    /// The store's.
    pub async fn readmit(&self, id: RefusedId) -> Result<Readmission, StoreError> {
        let Some(request) = self.store.refused(id).await? else { return Ok(Readmission::Unknown) };
        let head = request.head;
        if !head.whole {
            let kept = match request.body.len() {
                0 => "its body was not kept".to_owned(),
                n => format!("its body was not kept whole ({n} bytes of it were)"),
            };
            return Ok(Readmission::StillRefused(kept + ": have it sent again"));
        }
        let Found { inlet, key, tail } = match self.find(&head.path) {
            Ok(found) => found,
            Err(missing) => return Ok(Readmission::StillRefused(missing.why.to_string())),
        };
        let RefusedHead { at, remote, path, query, headers, presented, sha256, .. } = head;
        let mut arrival = Arrival::new(key, tail, query, header_map(headers), request.body);
        arrival.presented = presented;
        let remote = sender::of(&arrival.headers, remote, &self.options.trusted_proxies);
        // Only what was posted is kept.
        let asked = Asked { method: &Method::POST, path: &path, remote, at };
        let proof = match self.prove(&inlet, &arrival, &asked).await {
            Ok(Judged::Authentic(proof)) => proof,
            Ok(Judged::Challenge(_)) => {
                let why = "the plugin takes it for a challenge, of which nothing is stored";
                return Ok(Readmission::StillRefused(why.to_owned()));
            }
            Err(cause) => return Ok(Readmission::StillRefused(cause.to_string())),
        };
        let now = self.clock.now();
        let mut webhook = webhook(&inlet, arrival, &proof, sha256, remote, (WebhookId(id.0), now));
        (webhook.head.received_at, webhook.head.taken_at) = (at, Some(now));
        let accepted = self.store.accept(webhook, now).await?;
        let readmission = match accepted {
            Accepted::New => {
                self.wake.wake();
                Readmission::Accepted(WebhookId(id.0))
            }
            Accepted::Duplicate { first, .. } => Readmission::Duplicate(first),
        };
        self.store.forget_refused(id).await?;
        info!(source = inlet.source.name, %id, ?readmission, "refused request taken after all");
        Ok(readmission)
    }
}

fn header_map(headers: Vec<Header>) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        // They were headers when they came.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(&value))
        {
            map.append(name, value);
        }
    }
    map
}
