//! Descriptors: how many this process may have open, and how many of them strangers may hold.
//!
//! A connection is a descriptor. If senders could hold all there are, nothing could be delivered and no operator could
//! ask why: so ingest gets what the limit leaves beside a reserve.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What is kept back from senders: the admin listener's connections, those to endpoints, and the store's files.
const RESERVE: u64 = 512;
/// What senders get however low the limit is.
const CONNECTIONS_MIN: u64 = 16;

/// Raises the soft limit of this process to the hard one: it is 1024 on most systems, for the sake of programs that
/// cannot count further. Where that is refused, the soft one stays.
pub fn raise() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "cannot raise the limit of descriptors");
    }
}

/// How many connections of senders this process has descriptors for, at most `wanted`. Fewer are told in the log.
pub(super) fn connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let connections = left(limit, wanted);
    if connections < wanted {
        tracing::warn!(
            connections,
            wanted,
            limit,
            "too few descriptors for all connections of senders: raise the limit (`ulimit -n`, `LimitNOFILE`)"
        );
    }
    connections
}

/// What a limit leaves beside the reserve; `None` is no limit.
fn left(limit: Option<u64>, wanted: usize) -> usize {
    let left = limit.map(|limit| limit.saturating_sub(RESERVE).max(CONNECTIONS_MIN));
    left.and_then(|left| usize::try_from(left).ok()).map_or(wanted, |left| left.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_get_what_the_limit_leaves_beside_the_reserve() {
        let cases = [
            (None, 1024),
            (Some(u64::MAX), 1024),
            (Some(1536), 1024),
            (Some(1535), 1023),
            (Some(1024), 512),
            (Some(512), 16),
            (Some(0), 16),
        ];
        for (limit, expected) in cases {
            assert_eq!(left(limit, 1024), expected, "{limit:?}");
        }
        assert_eq!(left(Some(0), 1), 1);
    }
}
