//! The admin token: the configured one, or one of our own in a file.

use crate::config::Config;
use crate::model::secret::Secret;
use anyhow::{Context, ensure};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

/// The file in `data_dir` that holds the token, readable by its owner only.
pub const FILE: &str = "admin-token";
/// Bytes of randomness in a token of our own.
const RANDOM_BYTES: usize = 32;

/// The configured admin token, or one of our own that is kept in `data_dir/admin-token`, readable by its owner only.
pub(super) fn admin_token(config: &Config) -> anyhow::Result<Secret> {
    if let Some(token) = &config.admin.token {
        return Ok(token.clone());
    }
    let path = config.data_dir.join(FILE);
    let token = match fs::read_to_string(&path) {
        Ok(token) => token.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let token = hex::encode(rand::random::<[u8; RANDOM_BYTES]>());
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
                .with_context(|| format!("cannot create {}", path.display()))?;
            file.write_all(token.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
            token
        }
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    ensure!(!token.is_empty(), "{} is empty: remove it, and a new token is made", path.display());
    tracing::info!(file = %path.display(), "the admin token is in a file");
    Ok(Secret::new(token))
}
