use super::*;

fn exchange(name: &str) -> ExchangeName {
    ExchangeName::parse(name).unwrap()
}

#[test]
fn an_exchange_comes_back_as_it_was() {
    let settings = ExchangeSettings {
        auto_delete: true,
        internal: true,
        alternate: Some(exchange("rest")),
        ..ExchangeSettings::durable(ExchangeKind::Headers)
    };
    let key = ExchangeRecord::key(&exchange("a/b c"));
    let read = ExchangeRecord::decode(&key, &ExchangeRecord::encode(&settings)).unwrap();
    assert_eq!(read, Exchange { name: exchange("a/b c"), settings, predeclared: false });
}

#[test]
fn a_binding_comes_back_as_it_was_whatever_its_key() {
    for key in [&b"orders.*"[..], b"", b"\xff\x00", "käse".as_bytes()] {
        let arguments = vec![
            ("n".to_owned(), Value::Int(-3)),
            ("x-match".to_owned(), Value::Text("any".to_owned())),
            ("z".to_owned(), Value::Other(b'F', vec![1, 2])),
        ];
        let binding = Binding {
            source: exchange("from"),
            destination: Destination::Queue(QueueName::parse("q\u{0}/\"").unwrap()),
            key: Bytes::copy_from_slice(key),
            arguments: Arguments(arguments),
        };
        assert_eq!(BindingRecord::decode(&BindingRecord::key(&binding)).unwrap(), binding);
    }
}

#[test]
fn the_order_of_arguments_does_not_make_another_binding() {
    let binding = |order: [usize; 2]| Binding {
        source: exchange("from"),
        destination: Destination::Exchange(exchange("to")),
        key: Bytes::new(),
        arguments: Arguments(order.map(|n| (format!("a{n}"), Value::Void)).to_vec()),
    };
    assert_eq!(BindingRecord::key(&binding([1, 2])), BindingRecord::key(&binding([2, 1])));
}

#[test]
fn a_name_that_is_there_twice_makes_one_key_whatever_the_order() {
    let binding = |values: [i64; 2]| Binding {
        source: exchange("from"),
        destination: Destination::Exchange(exchange("to")),
        key: Bytes::new(),
        arguments: Arguments(values.map(|n| ("a".to_owned(), Value::Int(n))).to_vec()),
    };
    assert_eq!(BindingRecord::key(&binding([1, 2])), BindingRecord::key(&binding([2, 1])));
}

#[test]
fn numbers_come_back_to_the_last_bit() {
    for number in [0.1, 1.0 / 3.0, 1e-308, f64::MAX, 71_476.218_530_000_01, 8.988_465_674e307] {
        let binding = Binding {
            source: exchange("from"),
            destination: Destination::Exchange(exchange("to")),
            key: Bytes::new(),
            arguments: Arguments(vec![("a".to_owned(), Value::Double(number))]),
        };
        assert_eq!(BindingRecord::decode(&BindingRecord::key(&binding)).unwrap(), binding);
    }
}

#[test]
fn damaged_records_are_errors() {
    assert!(BindingRecord::decode(b"binding/{}").is_err());
    assert!(BindingRecord::decode(b"b").is_err());
    let both = br#"binding/{"source":"s","queue":"q","exchange":"e","key":""}"#;
    assert!(BindingRecord::decode(both).is_err());
    assert!(ExchangeRecord::decode(b"exchange/e", b"{\"kind\":\"odd\"}").is_err());
    assert!(ExchangeRecord::decode(b"exchange/\xff", b"{\"kind\":\"direct\"}").is_err());
}
