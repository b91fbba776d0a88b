//! Batches of two logs (a topic in total order has them): stored once, wherever they move.

use super::*;

/// The log in total order, beside the partitions [`LOG`] and [`SECOND`].
const ORDERED: LogId = LogId(20);
const SECOND: LogId = LogId(8);
const BYTES: usize = 3000;

/// Appends `count` batches to both partitions in turn, and each to the ordered log.
fn fill(store: &DiskStore, count: u64, in_one_group: bool) {
    commit(store, [LOG, SECOND, ORDERED].map(|log| Op::Create(log, Offset::ZERO)));
    let waits: Vec<_> = (0..count)
        .map(|n| {
            let log = if n % 2 == 0 { LOG } else { SECOND };
            let both = Op::Append(Append {
                targets: smallvec![
                    Target { log, base: offset(n / 2), leader_epoch: 1 },
                    Target { log: ORDERED, base: offset(n), leader_epoch: 2 },
                ],
                batch: batch(1, BYTES, n.to_le_bytes()[0]),
                offsets: 1,
                max_timestamp: Timestamp::from_millis(7),
            });
            let wait = submit(store, [both]);
            if !in_one_group {
                store.step_commit();
            }
            wait
        })
        .collect();
    while store.step_commit() {}
    waits.iter().for_each(|wait| wait.recv().unwrap());
}

/// What a store that keeps one copy of `count` batches takes at most: entries of footers are 56
/// bytes each, files end with whole blocks.
fn one_copy(count: u64) -> u64 {
    let batch = batch(1, BYTES, 0).len() as u64;
    count * (batch + 2 * 56) * 11 / 10 + 64 * 1024
}

fn contents(store: &DiskStore) -> [Vec<Bytes>; 3] {
    [LOG, SECOND, ORDERED].map(|log| {
        let start = store.ends(log).unwrap().start;
        read_all(store, log, start.get())
    })
}

/// Starts again, in a write-ahead file of its own, and retires all before it.
fn retired(store: Arc<DiskStore>, dir: &Path, options: DiskOptions) -> Arc<DiskStore> {
    wait(store.close());
    drop(store);
    let store = open_stepped(dir, options);
    assert_eq!(store.damage(), []);
    commit(&store, [Op::Put("k".into(), "v".into())]);
    assert!(store.step_retire(true));
    while store.step_retire(false) {}
    store
}

fn check_retired(options: fn() -> DiskOptions, in_one_group: bool) {
    const COUNT: u64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let store = open_stepped(dir.path(), options());
    fill(&store, COUNT, in_one_group);
    let before = contents(&store);
    assert_eq!(before.each_ref().map(Vec::len), [150, 150, 300]);
    let store = retired(store, dir.path(), options());
    let taken = store.stats().segment_bytes;
    assert!(taken <= one_copy(COUNT), "{taken} bytes are more than {}", one_copy(COUNT));
    assert!(contents(&store) == before);
    let usage = |log| store.usage(log).unwrap();
    assert_eq!(usage(ORDERED), usage(LOG) + usage(SECOND), "each counts what it refers to");
}

#[test]
fn what_two_logs_share_is_stored_once_when_its_segment_is_written_again() {
    const COUNT: u64 = 100;
    const OTHER: LogId = LogId(9);
    let dir = tempfile::tempdir().unwrap();
    let store = open_stepped(dir.path(), small());
    fill(&store, COUNT, false);
    commit(&store, [Op::Create(OTHER, Offset::ZERO)]);
    for base in 0..3 * COUNT {
        commit(&store, [append(OTHER, base, 1, batch(1, BYTES, 1))]);
    }
    let before = contents(&store);
    let store = retired(store, dir.path(), small());
    assert!(store.stats().segment_bytes > one_copy(3 * COUNT), "all is in segments");
    commit(&store, [Op::Delete(OTHER)]);
    let store = retired(store, dir.path(), small());
    let taken = store.stats().segment_bytes;
    assert!(taken <= one_copy(COUNT), "{taken} bytes are more than {}", one_copy(COUNT));
    assert!(contents(&store) == before);
    let store = retired(store, dir.path(), small());
    assert!(contents(&store) == before);
}

#[test]
fn what_two_logs_share_is_stored_once_when_it_is_retired() {
    check_retired(small, false);
}

#[test]
fn what_two_logs_share_is_stored_once_in_a_direct_segment() {
    check_retired(direct, true);
}

#[test]
fn one_log_keeps_what_the_other_has_trimmed() {
    let dir = tempfile::tempdir().unwrap();
    let store = open_stepped(dir.path(), small());
    fill(&store, 200, false);
    let ordered = read_all(&store, ORDERED, 0);
    let store = retired(store, dir.path(), small());
    commit(&store, [Op::Trim(LOG, offset(100)), Op::Trim(SECOND, offset(60))]);
    let store = retired(store, dir.path(), small());
    assert!(read_all(&store, ORDERED, 0) == ordered);
    assert_eq!(bases(&read_all(&store, SECOND, 60)), (60..100).collect::<Vec<_>>());
    let store = retired(store, dir.path(), small());
    assert!(read_all(&store, ORDERED, 0) == ordered);
}
