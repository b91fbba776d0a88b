use super::*;
use proptest::prelude::*;

fn manifest() -> Manifest {
    let offset = |value| Offset::new(value).unwrap();
    let log = StoredLog {
        id: 3,
        start: offset(1),
        next: offset(90),
        extents: vec![Extent {
            segment: 5,
            base: offset(1),
            next: offset(80),
            bytes: 4000,
            max_timestamp: Timestamp::from_millis(-1),
        }],
        discards: vec![offset(4)..offset(6)],
        state: vec![StateBlob {
            kind: BlobKind::Delta,
            commit: 8,
            home: BlobHome::Checkpoint(2),
            position: 16,
            length: 5,
            crc: 77,
        }],
        lost: vec![Lost { range: offset(80)..offset(90), detail: "wal".to_owned() }],
    };
    Manifest {
        generation: 4,
        first_live: 2,
        newest: 6,
        commit: 100,
        link: Link { sequence: 1, end: 8192, group: 50, commit: 90, crc: 9 },
        next_segment: 6,
        next_checkpoint: 3,
        segments: vec![StoredFile { id: 5, length: 8192, referred: 4000 }],
        checkpoints: vec![StoredFile { id: 2, length: 4096, referred: 5 }],
        logs: vec![log],
        pairs: [("k".into(), "v".into())].into(),
        damage: vec![
            Damage { log: None, offsets: None, detail: "missing".to_owned() },
            Damage {
                log: Some(LogId(3)),
                offsets: Some((offset(80), offset(89))),
                detail: String::new(),
            },
        ],
    }
}

#[test]
fn a_manifest_reads_back_as_it_was_written() {
    assert_eq!(Manifest::decode(&manifest().encode()), Ok(manifest()));
    assert_eq!(Manifest::decode(&Manifest::default().encode()), Ok(Manifest::default()));
}

#[test]
fn every_flipped_bit_and_every_cut_is_noticed() {
    let bytes = manifest().encode();
    for bit in 0..bytes.len() * 8 {
        let mut harmed = bytes.clone();
        harmed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Manifest::decode(&harmed), Err(Malformed), "bit {bit}");
    }
    for length in 0..bytes.len() {
        assert_eq!(Manifest::decode(&bytes[..length]), Err(Malformed), "{length} bytes");
    }
}

/// With the checksum made right again.
fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[..body]);
    bytes[body..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn counts_that_lie_are_malformed_and_allocate_nothing() {
    let bytes = manifest().encode();
    for at in 0..bytes.len() - 8 {
        let mut harmed = bytes.clone();
        harmed[at..at + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        // Not every place is a count: what counts is that it returns.
        let _ = Manifest::decode(&mended(harmed));
    }
    let segments = 8 + 4 + 4 * 8 + 36 + 16;
    let mut harmed = bytes;
    harmed[segments..segments + 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(Manifest::decode(&mended(harmed)), Err(Malformed));
}

proptest! {
    #[test]
    fn changed_bytes_with_a_right_checksum_do_not_panic(
        changes in proptest::collection::vec((0usize..400, any::<u8>()), 1..8),
    ) {
        let mut bytes = manifest().encode();
        for (at, value) in changes {
            let at = at % (bytes.len() - 4);
            bytes[at] = value;
        }
        let _ = Manifest::decode(&mended(bytes));
    }
}
