//! Partitions over a store that commits when it is told to.

use super::*;
use smallvec::SmallVec;
use tramline_record::{BatchBuilder, Compression};
use tramline_store::MemoryStore;
use tramline_types::Message;

const NOW: Timestamp = Timestamp::from_millis(1);
const TIMES: Times = Times { wall: NOW, earliest: NOW, latest: NOW };

fn partition(store: &Arc<MemoryStore>, log: u64, durability: Durability) -> Partition {
    let log = LogId(log);
    let ops = smallvec![Op::Create(log, Offset::ZERO)];
    store.submit(Commit { ops, on_durable: Box::new(|| ()) }, Reservation::unbounded());
    let settings = PartitionSettings {
        message_bytes_max: 1 << 20,
        timestamps: TimestampRule::LogAppend,
        retention: Retention { age_ms_max: None, bytes_max: None },
        compaction: None,
        compression: None,
        durability,
    };
    let store: Arc<dyn LogStore> = store.clone();
    Partition::create(store, log, 0, settings)
}

fn batch() -> Batch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(&Message::default(), NOW);
    builder.build().unwrap()
}

fn together(partitions: &[&Arc<Partition>]) -> Result<bool, Error> {
    let partitions = partitions.iter().map(|partition| Arc::clone(partition)).collect();
    let appends = [Together { partitions, batch: batch() }];
    let around = Around { lock: || Some(()), step: |_: &mut (), _: &[Bases]| SmallVec::new() };
    let reservation = Reservation::unbounded();
    let mut ending = Some(Ending { reservation, done: Box::new(|| ()) });
    append_together(&appends, NOW, around, &mut ending)
}

#[test]
fn a_topic_in_total_order_gets_nothing_together_with_others_and_then_nobody_does() {
    let store = Arc::new(MemoryStore::stepped());
    let ordered = Arc::new(partition(&store, 9, Durability::Sync));
    let of_topic = partition(&store, 1, Durability::Sync).ordered_by(Arc::clone(&ordered));
    let of_topic = Arc::new(of_topic);
    let of_queue = Arc::new(partition(&store, 2, Durability::Sync));
    let refused = together(&[&of_queue, &of_topic]);
    assert!(matches!(refused, Err(Error::InvalidRecord(_))), "{refused:?}");
    store.step_all();
    for partition in [&ordered, &of_topic, &of_queue] {
        assert_eq!(partition.high_watermark(), Offset::ZERO);
    }
    assert_eq!(together(&[&of_queue]), Ok(true));
    store.step_all();
    assert_eq!(of_queue.high_watermark().get(), 1);
}

#[test]
fn a_deletion_that_is_refused_makes_nothing_durable_and_hides_nothing() {
    let store = Arc::new(MemoryStore::stepped());
    let partition = Arc::new(partition(&store, 1, Durability::Memory));
    let admitted = partition.admit(batch(), TIMES).unwrap();
    partition.append(admitted, Reservation::unbounded(), Box::new(|| ())).unwrap();
    partition.close();
    partition.reopen();
    assert_eq!(partition.durable_end(), Offset::ZERO);
    let Reading::Ready(Ok(read)) = partition.read(0, 1 << 20) else { panic!("from memory") };
    assert_eq!(read.next.get(), 1);
    store.step_all();
    assert_eq!(partition.durable_end().get(), 1);
}
