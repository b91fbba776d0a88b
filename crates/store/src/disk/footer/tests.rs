use super::*;
use proptest::prelude::*;

fn entry(log: u64, base: u64, position: u64, foreign: bool) -> ChunkEntry {
    ChunkEntry {
        log: LogId(log),
        base: Offset::new(base).unwrap(),
        next: Offset::new(base + 10).unwrap(),
        max_timestamp: Timestamp::from_millis(5),
        position,
        length: 1000,
        crc: 3,
        leader_epoch: 2,
        foreign,
    }
}

fn decode(bytes: &[u8], start: u64) -> Result<Vec<ChunkEntry>, Malformed> {
    let at = bytes.len().checked_sub(TRAILER_BYTES).ok_or(Malformed)?;
    let trailer = Trailer::decode(&bytes[at..])?;
    let from = usize::try_from(trailer.position.checked_sub(start).ok_or(Malformed)?);
    let from = from.map_err(|_| Malformed)?;
    let length = usize::try_from(trailer.entry_bytes()).map_err(|_| Malformed)?;
    let to = from.checked_add(length).ok_or(Malformed)?;
    trailer.decode_entries(bytes.get(from..to).ok_or(Malformed)?)
}

#[test]
fn a_footer_reads_back_as_it_was_written() {
    for count in [0, 1, 72, 73, 200] {
        let entries =
            (0..count).map(|i| entry(1, i * 10, i * 1000, i % 2 == 0)).collect::<Vec<_>>();
        let bytes = encode(9, 8192, &entries);
        assert!(bytes.len().is_multiple_of(BLOCK), "the file stays whole blocks");
        assert_eq!(decode(&bytes, 8192), Ok(entries));
    }
}

#[test]
fn a_flipped_bit_in_entries_or_trailer_is_noticed() {
    let bytes = encode(9, 8192, &[entry(1, 0, 0, false), entry(2, 5, 1000, true)]);
    let trailer = bytes.len() - TRAILER_BYTES;
    for bit in (0..2 * ENTRY_BYTES * 8).chain(trailer * 8..bytes.len() * 8) {
        let mut harmed = bytes.clone();
        harmed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode(&harmed, 8192), Err(Malformed), "bit {bit}");
    }
}

#[test]
fn neighbours_join_up_to_the_chunk_size_and_no_further() {
    let mut chunker = Chunker::default();
    let data = vec![8; 200 * 1000];
    for index in 0..200 {
        let at = usize::try_from(index * 1000).unwrap();
        let crc = crc32c::crc32c(&data[at..at + 1000]);
        chunker.push(
            ChunkEntry { crc, ..entry(1, index * 10, index * 1000, false) },
            index == 5,
            None,
        );
    }
    chunker.push(entry(1, 2000, 900_000, false), false, None);
    chunker.push(entry(1, 2010, 901_000, true), false, None);
    chunker.push(entry(2, 2020, 902_000, false), false, None);
    let chunks = chunker.finish();
    let spans = chunks.iter().map(|chunk| (chunk.base.get(), chunk.length)).collect::<Vec<_>>();
    let joined = [(0, 5000), (50, 65_000), (700, 65_000), (1350, 65_000)];
    assert_eq!(spans[..4], joined);
    assert_eq!(spans[4..], [(2000, 1000), (2010, 1000), (2020, 1000)]);
    for chunk in &chunks[..4] {
        let at = usize::try_from(chunk.position).unwrap();
        let length = usize::try_from(chunk.length).unwrap();
        assert_eq!(chunk.crc, crc32c::crc32c(&data[at..at + length]), "the joint checksum");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_no_footer_or_one(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Trailer::decode(&bytes).map(|trailer| trailer.decode_entries(&bytes));
        let mut with_magic = MAGIC.to_vec();
        with_magic.extend(&bytes);
        let _ = Trailer::decode(&with_magic).map(|trailer| trailer.decode_entries(&bytes));
    }
}
