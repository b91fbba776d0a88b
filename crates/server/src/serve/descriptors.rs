//! Who may have how many of the process's file descriptors. The store must never want for one: a
//! write-ahead file that cannot be opened ends the process. So connections get what it leaves.

use crate::config::Config;
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing::{info, warn};

/// Standard streams, listeners, the runtime's own, the directory's lock.
const OWN: u64 = 32;
/// Files that the store has open for a moment: directories, checkpoints, segments in the making.
const PASSING: u64 = 24;
/// Write-ahead files beyond the bound: prepared ones, and those that are being retired.
const WAL_MORE: u64 = 8;
/// Sealed segments that the store keeps open where there is room, and where there is not.
const SEGMENTS: (u64, u64) = (256, 16);
/// Connections that there are always some of, whatever the limit.
const CONNECTIONS_MIN: u64 = 16;

/// What is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// Sealed segments that the store keeps open.
    pub(super) segments: usize,
    connections: Connections,
}

/// Connections of each front-end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connections {
    kafka: usize,
    amqp: usize,
    sqs: usize,
    http: usize,
}

impl Shares {
    /// Raises the process's limit as far as it goes, and lowers the number of connections in the
    /// configuration to what that allows.
    pub(super) fn take(config: &mut Config) -> Self {
        let limit = raise_limit();
        let wal_files = config.store.wal_max.0.div_ceil(config.store.wal_file.0.max(1));
        let wanted = Connections {
            kafka: config.kafka.connections_max,
            amqp: config.amqp.connections_max,
            sqs: config.sqs.connections_max,
            http: config.http.connections_max,
        };
        let shares = Self::of(limit, wal_files, wanted);
        let Connections { kafka, amqp, sqs, http } = shares.connections;
        if shares.connections != wanted {
            info!(
                limit,
                kafka, amqp, sqs, http, "the limit of open files allows fewer connections"
            );
        }
        config.kafka.connections_max = kafka;
        config.amqp.connections_max = amqp;
        config.sqs.connections_max = sqs;
        config.http.connections_max = http;
        shares
    }

    /// Of `limit` descriptors, with so many write-ahead files and connections wanted.
    fn of(limit: u64, wal_files: u64, wanted: Connections) -> Self {
        let segments = (limit / 8).clamp(SEGMENTS.1, SEGMENTS.0);
        let store = wal_files.saturating_add(WAL_MORE + PASSING + segments);
        let left = limit.saturating_sub(store.saturating_add(OWN)).max(CONNECTIONS_MIN);
        let count = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        // HTTP carries health checks and metrics: nobody can take its part.
        let http = wanted.http.min(count(left / 8));
        let amqp = wanted.amqp.min(count(left / 4));
        let sqs = wanted.sqs.min(count(left / 8));
        let kafka = wanted.kafka.min(count(left) - http - amqp - sqs);
        // What one does not want is the others'.
        let mut rest = count(left) - http - amqp - sqs - kafka;
        let mut more = |has: usize, wanted: usize| {
            let more = (wanted - has).min(rest);
            rest -= more;
            has + more
        };
        let (amqp, sqs) = (more(amqp, wanted.amqp), more(sqs, wanted.sqs));
        let connections = Connections { kafka, amqp, sqs, http: more(http, wanted.http) };
        Self { segments: count(segments), connections }
    }
}

/// Every connection and every open file takes a descriptor; the soft limit is often 1024.
fn raise_limit() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            warn!(%error, "the limit of open files stays as it is");
            limit.current = before;
        }
    }
    limit.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(n: usize) -> Connections {
        Connections { kafka: n, amqp: n, sqs: n, http: n }
    }

    #[test]
    fn a_large_limit_gives_everybody_what_they_want() {
        let shares = Shares::of(1 << 20, 64, wanted(20_000));
        assert_eq!(shares, Shares { segments: 256, connections: wanted(20_000) });
    }

    #[test]
    fn the_store_comes_first_and_connections_share_the_rest() {
        for limit in [192, 256, 1024, 20_000] {
            let Shares { segments, connections } = Shares::of(limit, 16, wanted(20_000));
            let Connections { kafka, amqp, sqs, http } = connections;
            let all = segments + 16 + 8 + 24 + 32 + kafka + amqp + sqs + http;
            assert_eq!(u64::try_from(all).unwrap(), limit);
            assert!(http > 0 && sqs > 0 && amqp > http && kafka > amqp);
        }
    }

    #[test]
    fn what_one_does_not_want_is_the_others() {
        let few = Connections { http: 20_000, ..wanted(100) };
        let Shares { segments, connections } = Shares::of(20_000, 16, few);
        let store = segments + 16 + 8 + 24 + 32;
        assert_eq!(connections, Connections { http: 20_000 - store - 300, ..wanted(100) });
    }

    #[test]
    fn a_tiny_limit_leaves_a_few_connections() {
        let Shares { segments, connections } = Shares::of(64, 64, wanted(100));
        assert_eq!(
            (segments, connections),
            (16, Connections { kafka: 8, amqp: 4, sqs: 2, http: 2 })
        );
        assert_eq!(Shares::of(0, 0, wanted(1)).connections, wanted(1));
        assert_eq!(Shares::of(u64::MAX, u64::MAX, wanted(9)).segments, 256);
    }
}
