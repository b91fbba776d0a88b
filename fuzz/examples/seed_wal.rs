//! Writes seeds for the target `wal`: `cargo run --example seed_wal -- corpus/wal`.

use std::{fs, path::Path, sync::Arc};
use tramline_record::{BatchBuilder, Compression};
use tramline_store::disk::{DiskOptions, DiskStore};
use tramline_store::fs::RealFiles;
use tramline_store::{Append, Commit, LogStore, Op, Purpose, Reserving, Target};
use tramline_types::{LogId, Message, Offset, Timestamp};

const A: LogId = LogId(1);
const B: LogId = LogId(2);

fn offset(value: u64) -> Offset {
    Offset::new(value).unwrap()
}

fn append(targets: &[(LogId, u64)], value_bytes: usize) -> Append {
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..2 {
        let value = Some(vec![b'v'; value_bytes].into());
        builder.push(&Message { value, ..Message::default() }, Timestamp::from_millis(1000));
    }
    Append {
        targets: targets
            .iter()
            .map(|&(log, base)| Target { log, base: offset(base), leader_epoch: 1 })
            .collect(),
        batch: builder.build().unwrap().bytes().clone(),
        offsets: 2,
        max_timestamp: Timestamp::from_millis(1000),
    }
}

/// One list per commit group, one inner list per commit.
fn groups() -> Vec<Vec<Vec<Op>>> {
    vec![
        vec![vec![Op::Create(A, Offset::ZERO), Op::Create(B, offset(5))]],
        vec![
            vec![Op::Append(append(&[(A, 0)], 3)), Op::Delta(A, "delta".into())],
            vec![Op::Append(append(&[(A, 2), (B, 5)], 20))],
            vec![Op::Put("key".into(), "value".into()), Op::Remove("key".into())],
        ],
        vec![
            vec![Op::Append(append(&[(A, 4)], 400))],
            vec![Op::Checkpoint(B, "state".into()), Op::Discard(B, vec![offset(5)..offset(6)])],
            vec![Op::Replace(A, Offset::ZERO..offset(4), vec![append(&[(A, 0)], 5)])],
        ],
        vec![vec![Op::Trim(A, offset(2)), Op::Delete(B)]],
    ]
}

fn main() {
    let out = std::env::args().nth(1).expect("the directory of the corpus");
    for (kind, direct_extent_bytes) in [("inline", 1 << 20), ("direct", 64)] {
        for groups_kept in 1..=groups().len() {
            let dir = std::env::temp_dir().join(format!("seed-wal-{}", std::process::id()));
            fs::create_dir_all(&dir).unwrap();
            let options = DiskOptions {
                wal_file_bytes: 64 * 1024,
                headroom_bytes: 0,
                direct_extent_bytes,
                ..DiskOptions::default()
            };
            let files = Arc::new(RealFiles);
            let store = DiskStore::open_stepped(files, &dir, options).unwrap();
            for group in groups().into_iter().take(groups_kept) {
                for ops in group {
                    let Reserving::Ready(reservation) = store.reserve(Purpose::Upkeep, 1000, 1)
                    else {
                        panic!("there is no space");
                    };
                    let commit = Commit { ops: ops.into(), on_durable: Box::new(|| ()) };
                    store.submit(commit, reservation);
                }
                assert!(store.step_commit());
            }
            let name = format!("groups-{groups_kept}-{kind}");
            keep_used_file(&dir.join("wal"), &Path::new(&out).join(name));
            drop(store);
            fs::remove_dir_all(&dir).unwrap();
        }
    }
}

/// Copies the file that has most in it, without the zeros at its end.
fn keep_used_file(wal: &Path, to: &Path) {
    let files = fs::read_dir(wal).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    let used = |file: &Vec<u8>| file.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let file = files.max_by_key(used).expect("a store has a write-ahead file");
    fs::write(to, &file[..used(&file)]).unwrap();
}
