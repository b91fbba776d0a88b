//! Golden bytes of pika 1.4.4, round trips, hostile lengths, and `amq-protocol-types` as the
//! oracle of field tables.

use crate::{
    ContentHeader, DecodeError, Frame, Method, Properties, ReplyCode, Table, Value, Writer,
    content,
    frame::{HEARTBEAT, split, whole_frames},
    fuzz_frames, fuzz_properties, fuzz_table,
    hot::{self, Deliver, GetOk, Hot, How, Origin, Publish, Return, Settle},
    method::{basic, connection, queue},
};
use amq_protocol_types::{AMQPValue, FieldTable, parsing::parse_field_table};
use proptest::prelude::*;

const START_OK: &str = "0100000000006a000a000b000000460770726f64756374530000001a50696b612050797468\
    6f6e20436c69656e74204c6962726172790c6361706162696c6974696573460000000d0a62617369632e6e61636b74\
    0105504c41494e0000000c00677565737400677565737405656e5f5553ce";
const QUEUE_DECLARE: &str = "010001000000450032000a0000066f72646572730a000000330e782d6d61782d70726\
    96f72697479490000000a16782d646561642d6c65747465722d65786368616e67655300000003646c78ce";
const PUBLISH: &str = "01000100000010003c00280000046c6f677303612e6201ce";
const HEADER: &str = "020001000000d4003c00000000000000000005fffc0a746578742f706c61696e057574662d38\
    000000850173530000000474657874016949fffffff9036269676c000001000000000004626f6f6c7401046e6f6e65\
    56046c69737441000000174900000001530000000374776f41000000054900000003057461626c654600000008016b\
    530000000176056279746573780000000200ff0474696d6554000000005e0d5da50364656344020000007d020503632\
    d310172053630303030036d2d31000000006553f100046b696e640567756573740361707002636cce";
const BODY: &str = "0300010000000568656c6c6fce";
const ACK: &str = "0100010000000d003c0050000000000000000701ce";
const NACK: &str = "0100010000000d003c0078000000000000000801ce";
const REJECT: &str = "0100010000000d003c005a000000000000000901ce";
const DELIVER: &str = "0100010000001b003c003c0463746167000000000000000301046c6f677303612e62ce";
const GET_OK: &str = "0100010000001a003c0047000000000000000300046c6f677303612e620000000cce";
const RETURN: &str = "01000100000018003c00320138084e4f5f524f555445046c6f677303612e62ce";

const ORIGIN: Origin<'_> = Origin { exchange: b"logs", routing_key: b"a.b" };

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

fn frame(buf: &[u8]) -> Frame<'_> {
    let frame = split(buf, 131_072).unwrap().unwrap();
    assert_eq!(frame.len(), buf.len());
    frame
}

fn method(hex: &str) -> Method {
    let buf = bytes(hex);
    let method = Method::decode(frame(&buf).payload).unwrap();
    let mut writer = Writer::new();
    method.encode_into(&mut writer, frame(&buf).channel);
    assert_eq!(writer.as_slice(), buf, "it is written as it came");
    method
}

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.into_bytes()
}

#[test]
fn methods_of_a_real_client_are_read_and_written_as_they_came() {
    let Method::ConnectionStartOk(start) = method(START_OK) else { panic!("not start-ok") };
    assert_eq!((start.mechanism.as_str(), start.locale.as_str()), ("PLAIN", "en_US"));
    assert_eq!(start.response, b"\0guest\0guest");
    let Some(Value::Table(capabilities)) = start.client_properties.get("capabilities") else {
        panic!("no capabilities")
    };
    assert_eq!(capabilities.get("basic.nack"), Some(&Value::Bool(true)));

    let declare = queue::Declare {
        queue: "orders".into(),
        durable: true,
        auto_delete: true,
        arguments: Table(vec![
            ("x-max-priority".into(), Value::I32(10)),
            ("x-dead-letter-exchange".into(), Value::text("dlx")),
        ]),
        ..queue::Declare::default()
    };
    assert_eq!(method(QUEUE_DECLARE), Method::QueueDeclare(declare));
}

#[test]
fn what_comes_once_a_message_is_read_as_the_plain_structs_read_it() {
    let (publish, ack, nack, reject) = (bytes(PUBLISH), bytes(ACK), bytes(NACK), bytes(REJECT));
    let expected =
        Publish { exchange: "logs", routing_key: "a.b", mandatory: true, immediate: false };
    assert_eq!(hot::decode(frame(&publish).payload), Ok(Hot::Publish(expected)));
    let settle =
        |delivery_tag, multiple, how| Ok(Hot::Settle(Settle { delivery_tag, multiple, how }));
    assert_eq!(hot::decode(frame(&ack).payload), settle(7, true, How::Ack));
    assert_eq!(hot::decode(frame(&nack).payload), settle(8, true, How::Nack { requeue: false }));
    assert_eq!(
        hot::decode(frame(&reject).payload),
        settle(9, false, How::Reject { requeue: true })
    );
    let declare = bytes(QUEUE_DECLARE);
    assert_eq!(hot::decode(frame(&declare).payload), Ok(Hot::Other));
    for hex in [PUBLISH, ACK, NACK, REJECT, DELIVER, GET_OK, RETURN] {
        method(hex);
    }
}

#[test]
fn what_goes_once_a_message_is_written_as_a_real_client_writes_it() {
    let deliver =
        Deliver { consumer_tag: "ctag", delivery_tag: 3, redelivered: true, origin: ORIGIN };
    assert_eq!(written(|writer| deliver.encode_into(writer, 1)), bytes(DELIVER));
    let get_ok = GetOk { delivery_tag: 3, redelivered: false, origin: ORIGIN, message_count: 12 };
    assert_eq!(written(|writer| get_ok.encode_into(writer, 1)), bytes(GET_OK));
    let returned = Return { code: ReplyCode::NoRoute, origin: ORIGIN };
    assert_eq!(written(|writer| returned.encode_into(writer, 1)), bytes(RETURN));
    for (how, hex, delivery_tag) in [
        (How::Ack, ACK, 7),
        (How::Nack { requeue: false }, NACK, 8),
        (How::Reject { requeue: true }, REJECT, 9),
    ] {
        let settle = Settle { delivery_tag, multiple: how != How::Reject { requeue: true }, how };
        assert_eq!(written(|writer| settle.encode_into(writer, 1)), bytes(hex));
    }
    let body = written(|writer| {
        content::encode_body_head(writer, 1, 5);
        writer.slice(b"hello\xce");
    });
    assert_eq!(body, bytes(BODY));
    assert_eq!(HEARTBEAT.as_slice(), bytes("08000000000000ce"));
}

#[test]
fn properties_of_a_real_client_are_read_and_written_as_they_came() {
    let buf = bytes(HEADER);
    let header = ContentHeader::decode(frame(&buf).payload).unwrap();
    assert_eq!((header.class, header.body_size), (content::BASIC, 5));
    assert_eq!(written(|writer| header.encode_into(writer, 1)), buf);

    let properties = Properties::decode(header.properties).unwrap();
    assert_eq!(properties.content_type, Some(b"text/plain".as_slice()));
    assert_eq!(properties.content_encoding, Some(b"utf-8".as_slice()));
    assert_eq!((properties.delivery_mode, properties.priority), (Some(2), Some(5)));
    assert_eq!(properties.expiration, Some(b"60000".as_slice()));
    assert_eq!(properties.timestamp, Some(1_700_000_000));
    assert_eq!(properties.cluster_id, Some(b"cl".as_slice()));
    assert_eq!(properties.to_bytes(), header.properties);

    let table = properties.table().unwrap();
    assert_eq!(table.get("i"), Some(&Value::I32(-7)));
    assert_eq!(table.get("dec"), Some(&Value::Decimal(2, 125)));
    assert_eq!(table.get("none"), Some(&Value::Void));
    let mut writer = Writer::new();
    table.encode_into(&mut writer);
    assert_eq!(Some(writer.as_slice()), properties.headers);
}

#[test]
fn frames_are_split_where_they_end_and_wait_where_they_do_not() {
    let (publish, body) = (bytes(PUBLISH), bytes(BODY));
    let both = [publish.clone(), body.clone()].concat();
    for cut in 0..both.len() {
        let whole = whole_frames(&both[..cut], 4096).unwrap();
        assert_eq!(whole, if cut < publish.len() { 0 } else { publish.len() });
        assert_eq!(split(&both[..cut], 4096).unwrap().is_some(), cut >= publish.len());
    }
    assert_eq!(whole_frames(&both, 4096), Ok(both.len()));
}

#[test]
fn malformed_frames_are_refused_once_they_stand_at_the_front() {
    let too_large = [1, 0, 0, 0, 0, 16, 1];
    let expected = DecodeError::FrameTooLarge { bytes: 4097, limit: 4088 };
    assert_eq!(split(&too_large, 4096), Err(expected));
    assert_eq!(whole_frames(&too_large, 4096), Err(expected));
    let after_a_good_one = [bytes(ACK), too_large.to_vec()].concat();
    assert_eq!(whole_frames(&after_a_good_one, 4096), Ok(bytes(ACK).len()));
    assert_eq!(split(&[9, 0, 0, 0, 0, 0, 0], 4096), Err(DecodeError::UnknownFrame(9)));
    let mut no_end = bytes(ACK);
    *no_end.last_mut().unwrap() = 0;
    assert_eq!(split(&no_end, 4096), Err(DecodeError::InvalidFrameEnd(0)));
}

#[test]
fn declared_lengths_are_checked_before_anything_is_made_of_them() {
    for (what, table) in [
        ("a text of 4 GiB", b"\x01aS\xff\xff\xff\xff".as_slice()),
        ("an array of 4 GiB", b"\x01aA\xff\xff\xff\xffV"),
        ("a table of 4 GiB", b"\x01aF\xff\xff\xff\xff"),
        ("a name beyond the end", b"\xffa"),
        ("a name without a value", b"\x01a"),
    ] {
        assert_eq!(Table::decode(table), Err(DecodeError::Truncated), "{what}");
    }
    assert_eq!(Table::decode(b"\x01a?"), Err(DecodeError::UnknownFieldType(b'?')));
    assert_eq!(Table::decode(b"\x01\xffV"), Err(DecodeError::InvalidUtf8));
    assert_eq!(Properties::decode(b"\x00\x01\x00\x00"), Err(DecodeError::InvalidPropertyFlags));
    assert_eq!(Properties::decode(b""), Err(DecodeError::Truncated));
    assert_eq!(Properties::decode(b"\x00\x00x"), Err(DecodeError::TrailingBytes(1)));
    let unknown = DecodeError::UnknownMethod { class: 60, method: 41 };
    assert_eq!(Method::decode(&[0, 60, 0, 41]), Err(unknown));
    assert_eq!(Method::decode(&[0, 60, 0, 111, 0]), Err(DecodeError::TrailingBytes(1)));
}

#[test]
fn nesting_ends_at_its_limit() {
    let nested = |depth: usize, letter: u8| {
        let mut inner = Vec::new();
        for level in 0..depth {
            let mut outer =
                if letter == b'F' || level + 1 == depth { b"\x01n".to_vec() } else { vec![] };
            outer.push(letter);
            outer.extend_from_slice(&u32::try_from(inner.len()).unwrap().to_be_bytes());
            outer.extend_from_slice(&inner);
            inner = outer;
        }
        inner
    };
    for letter in [b'F', b'A'] {
        assert!(Table::decode(&nested(crate::DEPTH_MAX, letter)).is_ok());
        let too_deep = Table::decode(&nested(crate::DEPTH_MAX + 1, letter));
        assert_eq!(too_deep, Err(DecodeError::TooDeep));
    }
}

#[test]
fn bits_share_octets_and_other_values_end_them() {
    let consume = basic::Consume {
        no_local: true,
        no_ack: false,
        exclusive: true,
        nowait: true,
        ..basic::Consume::default()
    };
    let buf = written(|writer| Method::from(consume.clone()).encode_into(writer, 1));
    assert_eq!(buf[frame(&buf).len() - 6], 0b1101, "one octet before the table's length");
    assert_eq!(Method::decode(frame(&buf).payload), Ok(consume.into()));
}

#[test]
fn long_texts_are_cut_between_characters() {
    let close = connection::Close { reply_text: "ä".repeat(200), ..connection::Close::default() };
    let buf = written(|writer| Method::from(close).encode_into(writer, 0));
    let Ok(Method::ConnectionClose(read)) = Method::decode(frame(&buf).payload) else {
        panic!("not close")
    };
    assert_eq!(read.reply_text, "ä".repeat(127));
}

#[test]
fn whether_a_code_costs_the_connection_follows_the_specification() {
    let hard = [
        ReplyCode::ConnectionForced,
        ReplyCode::InvalidPath,
        ReplyCode::FrameError,
        ReplyCode::SyntaxError,
        ReplyCode::CommandInvalid,
        ReplyCode::ChannelError,
        ReplyCode::UnexpectedFrame,
        ReplyCode::ResourceError,
        ReplyCode::NotAllowed,
        ReplyCode::NotImplemented,
        ReplyCode::InternalError,
    ];
    let soft = [
        ReplyCode::AccessRefused,
        ReplyCode::NotFound,
        ReplyCode::ResourceLocked,
        ReplyCode::PreconditionFailed,
    ];
    assert!(hard.iter().all(|code| code.is_hard()));
    assert!(soft.iter().all(|code| !code.is_hard()));
    assert_eq!(hard.map(ReplyCode::code), [320, 402, 501, 502, 503, 504, 505, 506, 530, 540, 541]);
    assert_eq!(soft.map(ReplyCode::code), [403, 404, 405, 406]);
}

/// A value of every letter, nested a little.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::I8),
        any::<u8>().prop_map(Value::U8),
        any::<i16>().prop_map(Value::I16),
        any::<u16>().prop_map(Value::U16),
        any::<i32>().prop_map(Value::I32),
        any::<u32>().prop_map(Value::U32),
        any::<i64>().prop_map(Value::I64),
        (-1.0e9f32..1.0e9).prop_map(Value::F32),
        (-1.0e9f64..1.0e9).prop_map(Value::F64),
        (any::<u8>(), any::<u32>()).prop_map(|(places, digits)| Value::Decimal(places, digits)),
        "[a-z]{0,300}".prop_map(|text| Value::text(&text)),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(Value::Binary),
        any::<u64>().prop_map(Value::Timestamp),
        Just(Value::Void),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            proptest::collection::vec(("[a-z]{1,8}", inner), 0..4)
                .prop_map(|fields| Value::Table(Table(fields))),
        ]
    })
}

/// What the oracle makes of the same value.
fn oracle(value: &Value) -> AMQPValue {
    match value {
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::I8(value) => AMQPValue::ShortShortInt(*value),
        Value::U8(value) => AMQPValue::ShortShortUInt(*value),
        Value::I16(value) => AMQPValue::ShortInt(*value),
        Value::U16(value) => AMQPValue::ShortUInt(*value),
        Value::I32(value) => AMQPValue::LongInt(*value),
        Value::U32(value) => AMQPValue::LongUInt(*value),
        Value::I64(value) => AMQPValue::LongLongInt(*value),
        Value::F32(value) => AMQPValue::Float(*value),
        Value::F64(value) => AMQPValue::Double(*value),
        Value::Decimal(scale, value) => AMQPValue::DecimalValue(amq_protocol_types::DecimalValue {
            scale: *scale,
            value: *value,
        }),
        Value::Text(text) => AMQPValue::LongString(text.clone().into()),
        Value::Binary(bytes) => AMQPValue::ByteArray(bytes.clone().into()),
        Value::Array(values) => {
            AMQPValue::FieldArray(values.iter().map(oracle).collect::<Vec<_>>().into())
        }
        Value::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        Value::Table(table) => AMQPValue::FieldTable(oracle_table(table)),
        Value::Void => AMQPValue::Void,
    }
}

fn oracle_table(table: &Table) -> FieldTable {
    let mut fields = FieldTable::default();
    for (name, value) in &table.0 {
        fields.insert(name.as_str().into(), oracle(value));
    }
    fields
}

proptest! {
    #[test]
    fn tables_are_what_the_oracle_reads(fields in proptest::collection::vec(("[a-z]{1,8}", value()), 0..6)) {
        let table = Table(fields);
        let buf = written(|writer| writer.sized(|writer| table.encode_into(writer)));
        prop_assert_eq!(Table::decode(&buf[4..]), Ok(table.clone()));
        let (rest, read) = parse_field_table(buf.as_slice()).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(read, oracle_table(&table));
    }

    #[test]
    fn hostile_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_frames(&data);
        fuzz_table(&data);
        fuzz_properties(&data);
    }

    #[test]
    fn damaged_frames_of_a_real_client_never_panic(
        which in 0usize..11,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let all = [
            START_OK, QUEUE_DECLARE, PUBLISH, HEADER, BODY, ACK, NACK, REJECT, DELIVER, GET_OK,
            RETURN,
        ];
        let mut buf = bytes(all[which]);
        for (place, byte) in damage {
            let place = place.index(buf.len());
            buf[place] = byte;
        }
        fuzz_frames(&buf);
    }
}
