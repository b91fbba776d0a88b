use super::*;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(first & 0x0f, payload).to_vec();
    bytes[0] = first;
    bytes[1] |= 0x80;
    let at = bytes.len() - payload.len();
    let (head, body) = bytes.split_at_mut(at);
    unmask(body, MASK);
    [&*head, &MASK, &*body].concat()
}

fn decode(bytes: &[u8]) -> Vec<Result<Message, Refusal>> {
    let (mut decoder, mut bytes) = (Decoder::new(100_000), BytesMut::from(bytes));
    let mut all = Vec::new();
    loop {
        match decoder.next(&mut bytes) {
            Ok(Some(message)) => all.push(Ok(message)),
            Ok(None) => return all,
            Err(refusal) => {
                all.push(Err(refusal));
                return all;
            }
        }
    }
}

#[test]
fn the_example_of_the_specification_decodes() {
    // RFC 6455, section 5.7: a single-frame masked text message.
    let hello = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    assert_eq!(decode(&hello), [Ok(Message::Text("Hello".to_owned()))]);
    assert_eq!(text(b"Hello")[..], [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
}

#[test]
fn messages_of_every_length_come_whole_however_they_are_cut() {
    for length in [0, 1, 7, 8, 125, 126, 65_535, 65_536] {
        let payload = vec![b'x'; length];
        let bytes = masked(0x82, &payload);
        assert_eq!(decode(&bytes), [Ok(Message::Binary(payload.clone().into()))]);
        for step in [1, 3, 4096] {
            let mut decoder = Decoder::new(100_000);
            let mut held = BytesMut::new();
            let mut found = Vec::new();
            for piece in bytes.chunks(step) {
                held.extend_from_slice(piece);
                found.extend(decoder.next(&mut held).unwrap());
            }
            assert_eq!(found, [Message::Binary(payload.clone().into())], "{length} by {step}");
        }
    }
}

#[test]
fn fragments_become_one_message_with_control_frames_between_them() {
    let bytes = [
        masked(0x01, "ä".as_bytes().split_at(1).0),
        masked(0x89, b"alive?"),
        masked(0x00, "ä".as_bytes().split_at(1).1),
        masked(0x80, b"!"),
        masked(0x8a, b""),
        masked(0x88, &[0x03, 0xe8]),
    ];
    let expected = [
        Ok(Message::Ping(Bytes::from_static(b"alive?"))),
        Ok(Message::Text("ä!".to_owned())),
        Ok(Message::Pong),
        Ok(Message::Close(Some(1000))),
    ];
    assert_eq!(decode(&bytes.concat()), expected);
}

#[test]
fn what_the_protocol_forbids_is_refused_with_its_code() {
    let many = vec![masked(0x00, b""); FRAGMENTS_MAX].concat();
    for (bytes, code) in [
        (masked(0xc1, b"x"), 1002),
        (text(b"x").to_vec(), 1002),
        (masked(0x83, b""), 1002),
        (masked(0x8b, b""), 1002),
        (masked(0x80, b"x"), 1002),
        ([masked(0x01, b"x"), masked(0x81, b"x")].concat(), 1002),
        (masked(0x09, b""), 1002),
        (masked(0x89, &[0; 126]), 1002),
        (masked(0x88, &[3]), 1002),
        (masked(0x88, &[0, 1]), 1002),
        (masked(0x81, b"\xff"), 1007),
        (masked(0x88, b"\x03\xe8\xff"), 1007),
        (masked(0x82, &[0; 100_001]), 1009),
        ([masked(0x02, &[0; 60_000]), masked(0x80, &[0; 60_000])].concat(), 1009),
        ([masked(0x01, b""), many].concat(), 1009),
    ] {
        let Some(Err(refusal)) = decode(&bytes).pop() else { panic!("{:?}", &bytes[..2]) };
        assert_eq!(refusal.code().0, code, "{:?}", &bytes[..2]);
    }
}

#[test]
fn a_declared_length_is_refused_before_anything_comes() {
    let head = [0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(decode(&head), [Err(Refusal::TooLarge)]);
}

#[test]
fn a_long_reason_is_cut_between_characters() {
    let close = close(1008, &"ä".repeat(100));
    assert_eq!((close[1], close.len()), (124, 126));
    assert!(std::str::from_utf8(&close[4..]).is_ok());
}
