//! Keyed records of a compacted topic: whatever compaction removes, the last value of each key
//! that was acknowledged is there, or a later one whose outcome nobody knows.

use crate::{
    live::{
        audit::read_all,
        connection::Connection,
        load::{Client, PRODUCE_VERSION, produce_request},
        world::World,
    },
    payload,
    soak::Failure,
};
use bytes::Bytes;
use std::{
    collections::BTreeMap,
    sync::Arc,
    thread::{self, JoinHandle, sleep},
    time::Duration,
};
use tramline_record::{BatchBuilder, Compression};
use tramline_store::fs::sim::Random;
use tramline_types::{Message, Timestamp};
use tramline_wire::KafkaStr;

const KEYS: u64 = 40;
/// Records sent at once.
const RECORDS_MAX: u64 = 8;
const BYTES_MAX: usize = 400;

/// The settings under which a topic of small files compacts within seconds.
pub(super) const SETTINGS: [(&str, &str); 2] =
    [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")];

/// What each key may hold: the last acknowledged value, and later ones of unknown outcome. A
/// value is none where the key was deleted.
#[derive(Default)]
pub(super) struct Expected {
    keys: BTreeMap<u64, Vec<Option<Bytes>>>,
    pub(super) sent: usize,
}

/// Starts the one writer of the topic; it ends with the world and gives back what must be there.
pub(super) fn writer(world: &Arc<World>, random: &mut Random, topic: &str) -> JoinHandle<Expected> {
    let random = Random::new(random.next_u64());
    let client = Client { name: "keyed".into(), world: Arc::clone(world), random };
    let topic = KafkaStr::from(topic.to_owned());
    thread::spawn(move || write(client, &topic))
}

fn write(mut client: Client, topic: &KafkaStr) -> Expected {
    let mut expected = Expected::default();
    while let Some(mut connection) = client.world.connect() {
        while !client.world.is_stopped() {
            let batch = expected.next(&mut client.random);
            let code = send(&mut connection, topic, &batch);
            let lost = code.is_err();
            expected.settle(batch, code.ok());
            if lost {
                break;
            }
            sleep(Duration::from_millis(client.random.below(20)));
        }
    }
    expected
}

type Keyed = Vec<(u64, Option<Bytes>)>;

impl Expected {
    /// A few records of different keys.
    fn next(&mut self, random: &mut Random) -> Keyed {
        let mut batch = BTreeMap::new();
        for _ in 0..=random.below(RECORDS_MAX) {
            self.sent += 1;
            let value = format!("keyed-{}", self.sent);
            let body = payload::encode(&value, random.index(BYTES_MAX));
            batch.insert(random.below(KEYS), (!random.one_in(10)).then_some(body));
        }
        batch.into_iter().collect()
    }

    /// Takes in what became of them; without a code nobody knows.
    fn settle(&mut self, batch: Keyed, code: Option<i16>) {
        for (key, value) in batch {
            let values = self.keys.entry(key).or_insert_with(|| vec![None]);
            match code {
                Some(0) => *values = vec![value],
                // A refusal, other than those after which nobody knows.
                Some(code) if ![-1, 7, 13].contains(&code) => {}
                _ => values.push(value),
            }
        }
    }

    /// Compares what is there; gives the number of records.
    pub(super) fn check(&self, connection: &mut Connection, topic: &str) -> Result<usize, Failure> {
        let records = read_all(connection, (topic, 0));
        let records = records.map_err(|error| format!("`{topic}`: {error}"))?;
        let mut last = BTreeMap::<u64, Option<Bytes>>::new();
        let mut before = None;
        for (offset, record) in &records {
            if before.is_some_and(|before| before >= *offset) {
                return Err(format!("`{topic}`: offset {offset} after {before:?}"));
            }
            before = Some(*offset);
            let key = record.key.as_deref().and_then(|key| <[u8; 8]>::try_from(key).ok());
            let key = key.ok_or_else(|| format!("`{topic}` {offset}: a key that nobody sent"))?;
            last.insert(u64::from_be_bytes(key), record.value.clone());
        }
        for (key, may) in &self.keys {
            let holds = last.get(key).cloned().flatten();
            if !may.contains(&holds) {
                let shown = |value: &Option<Bytes>| {
                    value.as_ref().map(|value| payload::decode(Some(value)))
                };
                let may: Vec<_> = may.iter().map(shown).collect();
                let holds = shown(&holds);
                return Err(format!("`{topic}`: key {key} holds {holds:?}, not one of {may:?}"));
            }
        }
        Ok(records.len())
    }
}

fn send(
    connection: &mut Connection,
    topic: &KafkaStr,
    batch: &[(u64, Option<Bytes>)],
) -> std::io::Result<i16> {
    let mut builder = BatchBuilder::new(Compression::None);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
    for (key, value) in batch {
        let key = Some(Bytes::copy_from_slice(&key.to_be_bytes()));
        let message = Message { key, value: value.clone(), ..Message::default() };
        builder.push(&message, Timestamp::from_millis(now));
    }
    let batch = builder.build().expect("the batch has records and is small");
    let request = produce_request((topic, 0), batch.bytes().clone());
    let answer = connection.call(&request, PRODUCE_VERSION)?;
    Ok(answer.responses[0].partition_responses[0].error_code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_may_hold_follows_from_the_answers() {
        let mut expected = Expected::default();
        let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        expected.settle(vec![(1, value("a"))], Some(0));
        expected.settle(vec![(1, value("refused"))], Some(56));
        expected.settle(vec![(1, value("unknown"))], None);
        expected.settle(vec![(2, value("never known"))], Some(7));
        assert_eq!(expected.keys[&1], [value("a"), value("unknown")]);
        assert_eq!(expected.keys[&2], [None, value("never known")]);
        expected.settle(vec![(1, None)], Some(0));
        assert_eq!(expected.keys[&1], [None]);
    }
}
