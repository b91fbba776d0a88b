//! Topics of earlier rounds that stay, with a digest of what they held: it must hold for as long
//! as they are there, through whatever happens to the rest.

use crate::{
    live::{audit::read_all, connection::Connection},
    soak::Failure,
};
use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hash, Hasher},
};
use tramline_store::fs::sim::Random;
use tramline_wire::{KafkaStr, kafka::DeleteTopicsRequest};

/// So many stay, the oldest goes.
const KEPT_MAX: usize = 6;

#[derive(Default)]
pub(super) struct Kept {
    topics: VecDeque<(String, Vec<Digest>)>,
}

/// Of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Digest {
    records: usize,
    hash: u64,
}

impl Kept {
    /// Keeps a topic as it is, and deletes the one that has been kept for long enough: not by way
    /// of a history, for that of this round knows nothing of it.
    pub(super) fn keep(
        &mut self,
        connection: &mut Connection,
        topic: &str,
        partitions: u32,
    ) -> Result<(), Failure> {
        let digests = digests(connection, topic, partitions)?;
        self.topics.push_back((topic.to_owned(), digests));
        if self.topics.len() <= KEPT_MAX {
            return Ok(());
        }
        let Some((oldest, _)) = self.topics.pop_front() else { return Ok(()) };
        let request = DeleteTopicsRequest {
            topic_names: vec![KafkaStr::from(oldest.clone())],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let answer = connection.call(&request, 3).map_err(|error| error.to_string())?;
        match answer.responses[0].error_code {
            0 => Ok(()),
            code => Err(format!("`{oldest}` cannot be deleted: error {code}")),
        }
    }

    /// Looks at one of them.
    pub(super) fn check_one(
        &self,
        connection: &mut Connection,
        random: &mut Random,
    ) -> Result<usize, Failure> {
        if self.topics.is_empty() {
            return Ok(0);
        }
        let (topic, expected) = &self.topics[random.index(self.topics.len())];
        let partitions = u32::try_from(expected.len()).expect("a handful");
        let seen = digests(connection, topic, partitions)?;
        if &seen != expected {
            return Err(format!("`{topic}` held {expected:?} and holds {seen:?}"));
        }
        Ok(seen.iter().map(|digest| digest.records).sum())
    }
}

fn digests(
    connection: &mut Connection,
    topic: &str,
    partitions: u32,
) -> Result<Vec<Digest>, Failure> {
    let digest = |partition| {
        let records = read_all(connection, (topic, partition));
        let records = records.map_err(|error| format!("`{topic}`/{partition}: {error}"))?;
        let mut hasher = DefaultHasher::new();
        for (offset, record) in &records {
            (offset, &record.key, &record.value, record.timestamp).hash(&mut hasher);
        }
        Ok(Digest { records: records.len(), hash: hasher.finish() })
    };
    (0..partitions).map(digest).collect()
}
