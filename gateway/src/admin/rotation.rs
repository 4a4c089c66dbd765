//! `POST /api/v1/endpoints/{name}/rotate`: a new secret for an endpoint, beside those it has.

use crate::admin::Admin;
use crate::admin::endpoints::status;
use crate::admin::error::ApiError;
use crate::admin::params::{Name, body};
use crate::api::endpoint::{Rotate, Rotated};
use crate::model::rotation::{self, OVERLAP, OVERLAP_MAX, Rotation};
use crate::model::secret::Secret;
use crate::model::signature;
use axum::Json;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use rand::TryRngCore;
use rand::rngs::OsRng;
use std::sync::Arc;
use std::time::Duration;

/// Rotates. The answer is the only one that holds a secret, and a private key is in none.
pub(crate) async fn rotate(
    State(admin): State<Arc<Admin>>,
    Name(name): Name,
    given: Result<Bytes, BytesRejection>,
) -> Result<Json<Rotated>, ApiError> {
    let info = admin.configured(&name)?;
    let asked: Rotate = body(
        given,
        "a rotation: send nothing, or {\"overlap_ms\": 86400000, \"secret\": \"whsec_...\"}, or {\"v1a\": true}",
    )?
    .unwrap_or_default();
    let overlap = asked.overlap_ms.map_or(OVERLAP, Duration::from_millis);
    if overlap > OVERLAP_MAX {
        return Err(ApiError::BadBody(format!("`overlap_ms` is more than {}", OVERLAP_MAX.as_millis())));
    }
    let refused = |why: String| ApiError::NotRotated { name: info.name.clone(), why };
    if info.secrets.is_empty() {
        let why = "only `signature = \"standard\"` has room for two: change it in the configuration";
        return Err(refused(why.to_owned()));
    }
    let (secret, is_own) = new_secret(&asked)?;
    let row = admin.store.rotation(info.id).await?;
    let now = admin.clock.now();
    let before = row.rotation.as_deref();
    let rotation = Rotation::to(secret.clone(), before, &info.secrets, overlap, rand::random(), now)
        .map_err(|why| refused(why.to_string()))?;
    if admin.store.rotate(info.id, rotation, row.version).await?.is_none() {
        return Err(refused("somebody else rotates it: look at it, and ask again".to_owned()));
    }
    tracing::info!(
        endpoint = info.name,
        overlap_s = overlap.as_secs(),
        sha256 = rotation::fingerprint(&secret),
        "an operator rotated a secret"
    );
    let public_key = signature::public_key_of(&secret);
    // Nobody needs a private key that the gateway has.
    let told = (!is_own && public_key.is_none()).then(|| secret.reveal().to_owned());
    Ok(Json(Rotated { secret: told, public_key, endpoint: status(&admin, info).await? }))
}

/// The secret that was brought along, or one that is made; whether it was brought.
fn new_secret(asked: &Rotate) -> Result<(Secret, bool), ApiError> {
    if let Some(text) = &asked.secret {
        let secret = Secret::new(text.clone());
        if asked.v1a {
            return Err(ApiError::BadBody("`secret` and `v1a` exclude each other".to_owned()));
        }
        // The reason never quotes the secret.
        rotation::check(&secret).map_err(|why| ApiError::BadBody(why.to_string()))?;
        return Ok((secret, true));
    }
    let mut key = [0; 32];
    OsRng.try_fill_bytes(&mut key).map_err(|_| ApiError::NoRandomness)?;
    let text = match asked.v1a {
        true => signature::private_key_text(&SigningKey::from_bytes(&key)),
        false => format!("whsec_{}", STANDARD.encode(key)),
    };
    Ok((Secret::new(text), false))
}
