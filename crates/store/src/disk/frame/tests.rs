use super::*;
use crate::Target;
use bytes::Bytes;
use proptest::prelude::*;
use smallvec::smallvec;

fn header() -> FrameHeader {
    FrameHeader { epoch: 7, group: 3, commit: 9, previous: 0xabcd, last: true }
}

fn append() -> Append {
    Append {
        targets: smallvec![
            Target { log: LogId(1), base: Offset::ZERO, leader_epoch: 5 },
            Target { log: LogId(2), base: Offset::new(40).unwrap(), leader_epoch: -1 },
        ],
        batch: Bytes::from(vec![9; 100]),
        offsets: 4,
        max_timestamp: Timestamp::from_millis(77),
    }
}

fn commit() -> Commit {
    let offset = |value| Offset::new(value).unwrap();
    let ops = [
        Op::Create(LogId(1), offset(3)),
        Op::Append(append()),
        Op::Append(append()),
        Op::Delta(LogId(1), "delta".into()),
        Op::Checkpoint(LogId(1), "state".into()),
        Op::Trim(LogId(1), offset(2)),
        Op::Discard(LogId(1), vec![offset(1)..offset(2), offset(5)..offset(9)]),
        Op::Replace(LogId(1), offset(0)..offset(4), vec![append()]),
        Op::Delete(LogId(2)),
        Op::Put("key".into(), "value".into()),
        Op::Remove("key".into()),
    ];
    Commit { ops: ops.into_iter().collect(), on_durable: Box::new(|| {}) }
}

fn pointer() -> Pointer {
    Pointer { segment: 4, position: 4096, length: 100, crc: 1 }
}

fn encoded() -> Vec<u8> {
    let mut buf = AlignedBuf::default();
    encode(&mut buf, header(), &commit(), &mut [None, Some(pointer())].into_iter());
    buf.to_vec()
}

#[test]
fn a_frame_reads_back_as_it_was_written() {
    let bytes = encoded();
    assert!(bytes.len() <= commit_bytes_max(&commit()), "the bound holds");
    let frame = Frame::decode(&bytes, 0, 4096, 7).unwrap();
    assert_eq!(frame.header, header());
    assert_eq!(frame.length.next_multiple_of(ALIGNMENT), bytes.len());
    let ops = frame.ops().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(ops.len(), 12, "a replace is followed by its append");
    let StoredOp::Append(inline) = ops[1] else { panic!("{:?}", ops[1]) };
    let StoredPlace::Inline(blob) = inline.place else { panic!("{inline:?}") };
    assert_eq!(&bytes[blob.at - 4096..][..100], blob.bytes, "the position is the file's");
    assert_eq!(&blob.bytes[..16], &[0, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9, 0, 0, 0, 5]);
    let targets = inline.targets().map(|target| (target.log.0, target.base.get()));
    assert_eq!(targets.collect::<Vec<_>>(), [(1, 0), (2, 40)]);
    let StoredOp::Append(extent) = ops[2] else { panic!("{:?}", ops[2]) };
    assert!(matches!(extent.place, StoredPlace::Extent(found) if found == pointer()));
    let StoredOp::Discard(_, ranges) = ops[6] else { panic!("{:?}", ops[6]) };
    assert_eq!(
        ranges.iter().map(|r| (r.start.get(), r.end.get())).collect::<Vec<_>>(),
        [(1, 2), (5, 9)]
    );
    assert!(matches!(ops[7], StoredOp::Replace { appends: 1, .. }));
    assert!(matches!(ops[10], StoredOp::Put(b"key", b"value")));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let bytes = encoded();
    let length = Frame::decode(&bytes, 0, 0, 7).unwrap().length;
    for bit in 0..length * 8 {
        let mut harmed = bytes.clone();
        harmed[bit / 8] ^= 1 << (bit % 8);
        assert!(Frame::decode(&harmed, 0, 0, 7).is_err(), "bit {bit}");
    }
}

#[test]
fn a_frame_of_another_epoch_is_stale_and_zeros_are_empty() {
    assert_eq!(Frame::decode(&encoded(), 0, 0, 8).unwrap_err(), NoFrame::Stale);
    assert_eq!(Frame::decode(&[0; 64], 0, 0, 7).unwrap_err(), NoFrame::Empty);
    assert_eq!(Frame::decode(&[0; 64], 100, 0, 7).unwrap_err(), NoFrame::Empty);
}

#[test]
fn hostile_lengths_are_refused() {
    for length in [1u32, 47, 48, 0x7fff_ffff, u32::MAX] {
        let mut bytes = encoded();
        bytes[0..4].copy_from_slice(&length.to_le_bytes());
        assert!(Frame::decode(&bytes, 0, 0, 7).is_err(), "{length}");
    }
}

/// A frame around any body, its checksum right.
fn framed(ops: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes.extend_from_slice(body);
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[0..4].copy_from_slice(&length.to_le_bytes());
    bytes[8..16].copy_from_slice(&7u64.to_le_bytes());
    bytes[36..40].copy_from_slice(&ops.to_le_bytes());
    bytes[40] = KIND_COMMIT;
    let crc = frame_crc(&bytes);
    bytes[4..8].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn walk(bytes: &[u8]) -> usize {
    let Ok(frame) = Frame::decode(bytes, 0, 0, 7) else { return 0 };
    let mut seen = 0;
    for op in frame.ops() {
        seen += 1;
        match op {
            Ok(StoredOp::Append(append)) => seen += append.targets().count(),
            Ok(StoredOp::Discard(_, ranges)) => seen += ranges.iter().count(),
            _ => {}
        }
    }
    seen
}

#[test]
fn operations_after_the_counted_ones_are_malformed() {
    let bytes = framed(0, &[DELETE]);
    let frame = Frame::decode(&bytes, 0, 0, 7).unwrap();
    assert!(matches!(frame.ops().next(), Some(Err(Malformed))));
}

proptest! {
    #[test]
    fn any_body_with_a_right_checksum_is_read_without_panic(
        ops in prop_oneof![0u32..10, Just(u32::MAX)],
        kind in 0u8..13,
        body in proptest::collection::vec(prop_oneof![Just(0u8), Just(255), any::<u8>()], 0..200),
    ) {
        let mut bytes = vec![kind];
        bytes.extend(body);
        prop_assert!(walk(&framed(ops, &bytes)) < 1000);
    }
}
