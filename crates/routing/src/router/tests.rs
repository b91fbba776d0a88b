use super::*;

fn name(text: &str) -> ExchangeName {
    ExchangeName::parse(text).unwrap()
}

fn queue(text: &str) -> Destination {
    Destination::Queue(QueueName::parse(text).unwrap())
}

fn binding(source: &str, destination: Destination, key: &str) -> Binding {
    let key = Bytes::from(key.to_owned());
    Binding { source: name(source), destination, key, arguments: Arguments::default() }
}

fn router(exchanges: &[(&str, ExchangeKind)], bindings: &[Binding]) -> Router {
    let mut router = Router::default();
    for (text, kind) in exchanges {
        let settings = ExchangeSettings::durable(*kind);
        router.insert(Exchange { name: name(text), settings, predeclared: false });
    }
    for binding in bindings {
        assert_eq!(router.bind(binding), Ok(true));
    }
    router
}

fn reached(router: &Router, from: &str, keys: &[&str]) -> Vec<String> {
    let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
    let message = Message { keys: &keys, header: &|_| None };
    let queues = router.route(&name(from), &message).unwrap();
    let mut queues: Vec<String> = queues.iter().map(ToString::to_string).collect();
    queues.sort();
    queues
}

#[test]
fn a_queue_that_is_reached_in_several_ways_gets_one_copy() {
    let router = router(
        &[("d", ExchangeKind::Direct), ("f", ExchangeKind::Fanout)],
        &[
            binding("d", queue("a"), "k"),
            binding("d", queue("a"), "other"),
            binding("d", Destination::Exchange(name("f")), "k"),
            binding("f", queue("a"), ""),
            binding("f", queue("b"), ""),
        ],
    );
    assert_eq!(reached(&router, "d", &["k", "other"]), ["a", "b"]);
    assert_eq!(reached(&router, "d", &["other"]), ["a"]);
    assert_eq!(reached(&router, "d", &["none"]), Vec::<String>::new());
}

#[test]
fn many_queues_are_each_reached_once() {
    let names: Vec<String> = (0..40).map(|index| format!("q{index:02}")).collect();
    let mut bindings: Vec<_> = names.iter().map(|of| binding("f", queue(of), "x")).collect();
    bindings.push(binding("f", Destination::Exchange(name("g")), ""));
    bindings.extend(names.iter().map(|of| binding("g", queue(of), "")));
    let exchanges = [("f", ExchangeKind::Fanout), ("g", ExchangeKind::Fanout)];
    assert_eq!(reached(&router(&exchanges, &bindings), "f", &["any"]), names);
}

#[test]
fn exchanges_in_a_circle_end() {
    let router = router(
        &[("a", ExchangeKind::Fanout), ("b", ExchangeKind::Fanout)],
        &[
            binding("a", Destination::Exchange(name("b")), ""),
            binding("b", Destination::Exchange(name("a")), ""),
            binding("b", queue("q"), ""),
        ],
    );
    assert_eq!(reached(&router, "a", &[""]), ["q"]);
}

#[test]
fn the_alternate_exchange_gets_what_matches_nothing() {
    let mut router =
        router(&[("rest", ExchangeKind::Fanout)], &[binding("rest", queue("left-over"), "")]);
    let alternate = Some(name("rest"));
    let settings =
        ExchangeSettings { alternate, ..ExchangeSettings::durable(ExchangeKind::Direct) };
    router.insert(Exchange { name: name("d"), settings, predeclared: false });
    router.bind(&binding("d", queue("q"), "k")).unwrap();
    assert_eq!(reached(&router, "d", &["k"]), ["q"]);
    assert_eq!(reached(&router, "d", &["other"]), ["left-over"]);
}

#[test]
fn a_binding_is_there_once_and_goes_once() {
    let mut router = router(&[("d", ExchangeKind::Direct)], &[]);
    let one = binding("d", queue("q"), "k");
    assert_eq!(router.bind(&one), Ok(true));
    assert_eq!(router.bind(&one), Ok(false));
    assert!(router.unbind(&one));
    assert!(!router.unbind(&one));
    assert!(router.is_unbound(&name("d")));
    assert!(router.sources.is_empty());
}

#[test]
fn arguments_make_bindings_of_one_key_different() {
    let mut router = router(&[("d", ExchangeKind::Direct)], &[binding("d", queue("q"), "k")]);
    let arguments = Arguments(vec![("a".to_owned(), Value::Int(1))]);
    let other = Binding { arguments, ..binding("d", queue("q"), "k") };
    assert_eq!(router.bind(&other), Ok(true));
    assert!(router.unbind(&binding("d", queue("q"), "k")));
    assert_eq!(reached(&router, "d", &["k"]), ["q"], "the other binding is left");
}

#[test]
fn what_is_removed_takes_its_bindings_along() {
    let mut router = router(
        &[("a", ExchangeKind::Fanout), ("b", ExchangeKind::Fanout)],
        &[
            binding("a", Destination::Exchange(name("b")), ""),
            binding("a", queue("q"), ""),
            binding("b", queue("q"), ""),
        ],
    );
    assert_eq!(router.remove(&name("b")).len(), 2);
    assert_eq!(reached(&router, "a", &[""]), ["q"]);
    let queue_name = QueueName::parse("q").unwrap();
    assert_eq!(router.remove_queue(&queue_name), [binding("a", queue("q"), "")]);
    assert!(router.is_unbound(&name("a")));
    assert!(router.sources.is_empty());
}

#[test]
fn bindings_to_and_from_nowhere_are_refused() {
    let mut router = router(&[("h", ExchangeKind::Headers)], &[]);
    let unknown = |text| Err(Error::UnknownExchange(name(text)));
    assert_eq!(router.bind(&binding("none", queue("q"), "")), unknown("none"));
    let to_nowhere = binding("h", Destination::Exchange(name("none")), "");
    assert_eq!(router.bind(&to_nowhere), unknown("none"));
    let arguments = Arguments(vec![(headers::X_MATCH.to_owned(), Value::Int(1))]);
    let odd = Binding { arguments, ..binding("h", queue("q"), "") };
    assert_eq!(router.bind(&odd), Err(Error::InvalidMatch));
}

#[test]
fn the_exchanges_of_the_specification_are_there() {
    let router = Router::default();
    let names: Vec<_> = router.exchanges().map(|exchange| exchange.name.to_string()).collect();
    assert_eq!(names.len(), 6);
    assert!(router.exchanges().all(|exchange| exchange.predeclared));
    assert_eq!(router.exchange("amq.topic").unwrap().settings.kind, ExchangeKind::Topic);
}

#[test]
fn an_exchange_bound_to_itself_loses_that_binding_once() {
    let to_itself = binding("loop", Destination::Exchange(name("loop")), "k");
    let mut router = router(&[("loop", ExchangeKind::Topic)], std::slice::from_ref(&to_itself));
    assert_eq!(router.remove(&name("loop")), [to_itself]);
}

#[test]
fn a_binding_with_a_name_twice_is_one_binding_and_goes_with_its_queue() {
    let twice = |values: [i64; 2]| Binding {
        arguments: Arguments(values.map(|n| ("a".to_owned(), Value::Int(n))).to_vec()),
        ..binding("d", queue("q"), "k")
    };
    let mut router = router(&[("d", ExchangeKind::Direct)], &[twice([1, 2])]);
    assert_eq!(router.bind(&twice([1, 2])), Ok(false));
    assert_eq!(router.bind(&twice([2, 1])), Ok(false));
    assert_eq!(router.bind(&twice([1, 1])), Ok(true));
    assert_eq!(router.bind(&twice([2, 2])), Ok(true), "the same names, other values");
    assert_eq!(router.remove_queue(&QueueName::parse("q").unwrap()).len(), 3);
    assert!(router.is_unbound(&name("d")));
    assert!(router.remove_queue(&QueueName::parse("q").unwrap()).is_empty());
}

#[test]
fn further_keys_add_nothing_where_keys_are_not_looked_at() {
    let router = router(&[("f", ExchangeKind::Fanout)], &[binding("f", queue("q"), "")]);
    let keys = vec![&b"k"[..]; 1000];
    let message = Message { keys: &keys, header: &|_| None };
    assert_eq!(router.route(&name("f"), &message).unwrap().len(), 1);
}
