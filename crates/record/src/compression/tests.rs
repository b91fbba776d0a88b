//! The codecs: round trip, caps, bombs, damage.

use super::*;

const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn text(length: usize) -> Vec<u8> {
    b"one message, many times; ".iter().copied().cycle().take(length).collect()
}

#[test]
fn every_codec_round_trips_at_sizes_around_its_blocks() {
    for codec in CODECS {
        for length in [0, 1, 100, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 70_000, 1_000_000] {
            let plain = text(length);
            let compressed = codec.compress(&plain, None).unwrap();
            let opened = codec.decompress(compressed.into(), length).unwrap();
            assert_eq!(opened, plain, "{codec} {length}");
        }
    }
}

#[test]
fn uncompressed_bytes_are_passed_on_within_the_cap() {
    let plain = Bytes::from_static(b"abc");
    let opened = Compression::None.decompress(plain.clone(), 3).unwrap();
    assert_eq!(opened.as_ptr(), plain.as_ptr());
    assert_eq!(Compression::None.decompress(plain, 2), Err(Error::OpenedTooLarge(2)));
}

#[test]
fn one_byte_over_the_cap_is_refused() {
    for codec in CODECS {
        let compressed = Bytes::from(codec.compress(&text(50_000), None).unwrap());
        assert!(codec.decompress(compressed.clone(), 50_000).is_ok(), "{codec}");
        let refused = codec.decompress(compressed, 49_999);
        assert_eq!(refused, Err(Error::OpenedTooLarge(49_999)), "{codec}");
    }
}

#[test]
fn a_bomb_is_stopped_at_the_cap() {
    let zeros = vec![0; 64 << 20];
    for codec in CODECS {
        let bomb = Bytes::from(codec.compress(&zeros, None).unwrap());
        assert_eq!(codec.decompress(bomb, 1 << 20), Err(Error::OpenedTooLarge(1 << 20)), "{codec}");
    }
}

#[test]
fn cut_and_foreign_bytes_are_errors() {
    for codec in CODECS {
        let compressed = Bytes::from(codec.compress(&text(200_000), None).unwrap());
        for cut in [1, 5, compressed.len() / 2, compressed.len() - 1] {
            let refused = codec.decompress(compressed.slice(..cut), 1 << 20);
            // The LZ4 decoder takes the end of its input for the end of the frame.
            let lenient = codec == Compression::Lz4 && cut > 5;
            assert!(refused.is_err() || lenient, "{codec} cut at {cut}");
        }
        let foreign = Bytes::from_static(b"\xff\xff\xff\xff\xff\xff\xff\xff no codec's bytes");
        let refused = codec.decompress(foreign, 1 << 20);
        assert!(matches!(refused, Err(Error::Decompress { .. })), "{codec}: {refused:?}");
    }
}

#[test]
fn a_cut_lz4_frame_opens_to_whole_blocks_or_not_at_all() {
    let plain = text(200_000);
    let compressed = Bytes::from(Compression::Lz4.compress(&plain, None).unwrap());
    for cut in 0..compressed.len() {
        let Ok(opened) = Compression::Lz4.decompress(compressed.slice(..cut), 1 << 20) else {
            continue;
        };
        assert!(opened.len() % (64 * 1024) == 0 || opened.len() == plain.len());
        assert!(plain.starts_with(&opened));
    }
}

#[test]
fn nothing_at_all_is_damaged_not_empty() {
    for codec in [Compression::Gzip, Compression::Snappy] {
        let refused = codec.decompress(Bytes::new(), 100);
        assert!(matches!(refused, Err(Error::Decompress { .. })), "{codec}: {refused:?}");
    }
}

#[test]
fn a_bare_snappy_block_is_read() {
    let plain = text(100_000);
    let block = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    let opened = Compression::Snappy.decompress(block.into(), plain.len()).unwrap();
    assert_eq!(opened, plain);
}

#[test]
fn a_snappy_block_cannot_declare_more_than_it_holds() {
    // 2^32 - 1 bytes, declared by five.
    let declares = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    let refused = Compression::Snappy.decompress(declares, usize::MAX);
    let detail = "a block declares more than it can hold".to_owned();
    assert_eq!(refused, Err(Error::Decompress { codec: Compression::Snappy, detail }));
}

#[test]
fn the_densest_snappy_block_is_still_within_the_ratio() {
    let plain = vec![0; 1 << 20];
    let block = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert!(block.len() * SNAPPY_RATIO_MAX >= plain.len());
}

#[test]
fn hostile_xerial_lengths_are_errors() {
    for length in [1, 2, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let mut bytes = [XERIAL_MAGIC.as_slice(), &XERIAL_VERSIONS].concat();
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.push(0x80);
        let refused = Compression::Snappy.decompress(bytes.into(), 1 << 20);
        assert!(matches!(refused, Err(Error::Decompress { .. })), "{length}: {refused:?}");
    }
}

#[test]
fn concatenated_gzip_members_are_one_text() {
    let codec = Compression::Gzip;
    let both =
        [codec.compress(b"one ", None).unwrap(), codec.compress(b"two", None).unwrap()].concat();
    assert_eq!(codec.decompress(both.into(), 100).unwrap(), "one two");
}

#[test]
fn a_zstd_window_beyond_128_mib_is_refused() {
    // Magic, frame header descriptor, window descriptor of 2^31 bytes, one empty last block.
    let frame = Bytes::from_static(&[0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0]);
    let refused = Compression::Zstd.decompress(frame, usize::MAX);
    assert!(matches!(refused, Err(Error::Decompress { .. })), "{refused:?}");
}

#[test]
fn ids_are_kafkas() {
    for (id, codec) in (1..).zip(CODECS) {
        assert_eq!(Compression::try_from(id), Ok(codec));
        assert_eq!(codec.id(), id);
    }
    assert_eq!(Compression::try_from(5), Err(Error::UnknownCompression(5)));
}
