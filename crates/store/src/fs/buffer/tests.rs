use super::*;

#[test]
fn memory_is_aligned_after_every_growth() {
    let mut buf = AlignedBuf::with_capacity(0);
    for round in 0..20_u8 {
        buf.extend_from_slice(&[round; 1777]);
        assert_eq!(buf.as_slice().as_ptr().addr() % BLOCK, 0);
    }
    let expected: Vec<u8> = (0..20_u8).flat_map(|round| [round; 1777]).collect();
    assert_eq!(&buf[..], &expected[..]);
}

#[test]
fn pieces_of_any_size_give_the_same_bytes_as_a_vec() {
    let mut buf = AlignedBuf::with_capacity(100);
    let mut plain = Vec::new();
    for size in [0, 1, 4095, 1, 4096, 8191, 2, 12_288, 5000, 0, 3] {
        let piece: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
        buf.extend_from_slice(&piece);
        plain.extend_from_slice(&piece);
        assert_eq!(buf.as_slice(), &plain[..], "after a piece of {size}");
    }
}

#[test]
fn padding_and_extension_are_zero_even_where_the_buffer_was_used_before() {
    let mut buf = AlignedBuf::with_capacity(3 * BLOCK);
    buf.extend_from_slice(&[7; 3 * BLOCK]);
    buf.clear();
    buf.extend_from_slice(&[1; 10]);
    buf.pad_to_block();
    assert_eq!(buf.len(), BLOCK);
    assert!(buf[10..].iter().all(|byte| *byte == 0));
    buf.pad_to_block();
    assert_eq!(buf.len(), BLOCK, "a padded buffer is not padded again");
    buf.resize(5 * BLOCK + 1);
    assert!(buf[10..].iter().all(|byte| *byte == 0));
    assert_eq!(buf.len(), 5 * BLOCK + 1);
}

#[test]
fn a_cleared_buffer_takes_more_than_it_held() {
    let mut buf = AlignedBuf::zeroed(BLOCK);
    buf.clear();
    buf.extend_from_slice(&[9; 3 * BLOCK + 5]);
    assert_eq!(buf.len(), 3 * BLOCK + 5);
    assert!(buf.iter().all(|byte| *byte == 9));
}

#[test]
fn bytes_take_it_without_a_copy() {
    let mut buf = AlignedBuf::with_capacity(BLOCK);
    buf.extend_from_slice(b"one");
    let place = buf.as_slice().as_ptr();
    let bytes = bytes::Bytes::from_owner(buf);
    assert_eq!(bytes.as_ptr(), place);
    assert_eq!(&bytes[..], b"one");
}
