use super::*;
use crate::{Arguments, ExchangeKind, Options, Value};
use std::sync::Arc;
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;

fn name(text: &str) -> ExchangeName {
    ExchangeName::parse(text).unwrap()
}

fn binding(source: &str, to: &str, key: &str) -> Binding {
    Binding {
        source: name(source),
        destination: Destination::Exchange(name(to)),
        key: Bytes::from(key.to_owned()),
        arguments: Arguments::default(),
    }
}

async fn broker_on(store: MemoryStore) -> (Broker, Arc<MemoryStore>) {
    let store = Arc::new(store);
    let clock = Arc::new(FakeClock::default());
    let broker = Broker::start(Arc::<MemoryStore>::clone(&store), clock, Options::default());
    (broker.await.unwrap(), store)
}

async fn restarted(broker: Broker, store: Arc<MemoryStore>) -> Broker {
    broker.close().await;
    broker_on(store.reopen().start()).await.0
}

fn transient(kind: ExchangeKind) -> ExchangeSettings {
    ExchangeSettings { durable: false, ..ExchangeSettings::durable(kind) }
}

fn names(broker: &Broker) -> Vec<String> {
    let own = |exchange: &Exchange| !exchange.predeclared;
    broker.list_exchanges().iter().filter(|e| own(e)).map(|e| e.name.to_string()).collect()
}

#[tokio::test]
async fn durable_exchanges_and_bindings_outlive_a_restart_and_transient_ones_do_not() {
    let (broker, store) = broker_on(MemoryStore::new()).await;
    let durable = ExchangeSettings::durable(ExchangeKind::Topic);
    broker.declare_exchange(&name("kept"), durable.clone()).await.unwrap();
    broker.declare_exchange(&name("also"), durable.clone()).await.unwrap();
    broker.declare_exchange(&name("gone"), transient(ExchangeKind::Fanout)).await.unwrap();
    broker.bind(binding("kept", "also", "a.#")).await.unwrap();
    broker.bind(binding("kept", "gone", "a.#")).await.unwrap();
    broker.bind(binding("amq.topic", "kept", "#")).await.unwrap();
    broker.bind(binding("kept", "also", "b")).await.unwrap();
    broker.unbind(&binding("kept", "also", "b")).await.unwrap();

    let broker = restarted(broker, store).await;
    assert_eq!(names(&broker), ["also", "kept"]);
    assert_eq!(broker.exchange(&name("kept")).unwrap().settings, durable);
    assert_eq!(broker.bindings_from(&name("kept")), [binding("kept", "also", "a.#")]);
    assert_eq!(broker.bindings_from(&name("amq.topic")), [binding("amq.topic", "kept", "#")]);
}

#[tokio::test]
async fn a_deleted_exchange_stays_deleted_with_its_bindings() {
    let (broker, store) = broker_on(MemoryStore::new()).await;
    for text in ["a", "b"] {
        let settings = ExchangeSettings::durable(ExchangeKind::Direct);
        broker.declare_exchange(&name(text), settings).await.unwrap();
    }
    broker.bind(binding("a", "b", "k")).await.unwrap();
    let in_use = broker.delete_exchange(&name("a"), true).await;
    assert_eq!(in_use, Err(QueueError::InUse("a".to_owned()).into()));
    broker.delete_exchange(&name("b"), true).await.unwrap();
    let broker = restarted(broker, store).await;
    assert_eq!(names(&broker), ["a"]);
    assert_eq!(broker.bindings_from(&name("a")), []);
}

#[tokio::test]
async fn auto_delete_exchanges_go_with_their_last_binding_one_after_the_other() {
    let (broker, store) = broker_on(MemoryStore::new()).await;
    let auto_delete =
        |kind| ExchangeSettings { auto_delete: true, ..ExchangeSettings::durable(kind) };
    for text in ["first", "second"] {
        let settings = auto_delete(ExchangeKind::Fanout);
        broker.declare_exchange(&name(text), settings).await.unwrap();
    }
    let end = ExchangeSettings::durable(ExchangeKind::Fanout);
    broker.declare_exchange(&name("end"), end).await.unwrap();
    broker.bind(binding("first", "second", "")).await.unwrap();
    broker.bind(binding("second", "end", "1")).await.unwrap();
    broker.bind(binding("second", "end", "2")).await.unwrap();
    broker.unbind(&binding("second", "end", "1")).await.unwrap();
    assert_eq!(names(&broker), ["end", "first", "second"]);
    broker.unbind(&binding("second", "end", "2")).await.unwrap();
    assert_eq!(names(&broker), ["end"]);
    assert_eq!(names(&restarted(broker, store).await), ["end"]);
}

#[tokio::test]
async fn declaring_again_is_fine_when_it_is_the_same_and_refused_when_not() {
    let (broker, _store) = broker_on(MemoryStore::new()).await;
    let settings = ExchangeSettings::durable(ExchangeKind::Direct);
    let declare = |settings| broker.declare_exchange_for_test("e", settings);
    assert_eq!(declare(settings.clone()).await, Ok(Created::Yes));
    assert_eq!(declare(settings.clone()).await, Ok(Created::No));
    let other = ExchangeSettings { internal: true, ..settings.clone() };
    let refusal = QueueError::Inequivalent {
        name: "e".to_owned(),
        setting: "internal",
        have: "false".to_owned(),
        wanted: "true".to_owned(),
    };
    assert_eq!(declare(other).await, Err(refusal.into()));
    let predeclared = broker.declare_exchange_for_test("amq.direct", settings.clone()).await;
    assert_eq!(predeclared, Ok(Created::No));
    for reserved in ["amq.mine", ""] {
        let refused = broker.declare_exchange_for_test(reserved, settings.clone()).await;
        assert!(matches!(refused, Err(Error::Queue(QueueError::AccessRefused(_)))));
    }
    let deleted = broker.delete_exchange(&name("amq.direct"), false).await;
    assert!(matches!(deleted, Err(Error::Queue(QueueError::AccessRefused(_)))));
}

impl Broker {
    async fn declare_exchange_for_test(
        &self,
        text: &str,
        settings: ExchangeSettings,
    ) -> Result<Created, Error> {
        self.declare_exchange(&name(text), settings).await
    }
}

#[tokio::test]
async fn what_cannot_be_bound_is_refused_and_changes_nothing() {
    let (broker, _store) = broker_on(MemoryStore::new()).await;
    let before = broker.routing_generation();
    let unknown = broker.bind(binding("amq.topic", "none", "")).await;
    assert_eq!(unknown, Err(QueueError::UnknownExchange("none".to_owned()).into()));
    let arguments = Arguments(vec![("x-match".to_owned(), Value::Text("some".to_owned()))]);
    let odd = Binding { arguments, ..binding("amq.headers", "amq.topic", "") };
    let odd = broker.bind(odd).await;
    assert!(matches!(odd, Err(Error::Queue(QueueError::InvalidSetting { .. }))));
    let from_default = broker.bind(binding("", "amq.topic", "")).await;
    assert!(matches!(from_default, Err(Error::Queue(QueueError::AccessRefused(_)))));
    assert_eq!(broker.routing_generation(), before);
    broker.bind(binding("amq.topic", "amq.fanout", "#")).await.unwrap();
    assert!(broker.routing_generation() > before);
}

#[tokio::test]
async fn internal_and_unknown_exchanges_take_no_message_of_a_client() {
    let (broker, _store) = broker_on(MemoryStore::new()).await;
    let message = RoutedBy { keys: &[b"k"], header: &|_| None };
    let trace = broker.route(&name("amq.rabbitmq.trace"), &message);
    assert!(matches!(trace, Err(Error::Queue(QueueError::AccessRefused(_)))));
    let unknown = broker.route(&name("none"), &message);
    assert!(matches!(unknown, Err(Error::Queue(QueueError::UnknownExchange(_)))));
    assert!(broker.route(&name(""), &message).unwrap().is_empty());
    assert!(broker.route_dead_letter(&name("none"), &message).is_empty());
}

#[tokio::test]
async fn a_binding_whose_exchange_is_lost_keeps_nobody_from_starting() {
    let (broker, store) = broker_on(MemoryStore::new()).await;
    let fanout = ExchangeSettings::durable(ExchangeKind::Fanout);
    broker.declare_exchange(&name("kept"), fanout.clone()).await.unwrap();
    broker.bind(binding("amq.topic", "kept", "a")).await.unwrap();
    let orphan = BindingRecord::key(&binding("lost", "kept", "b"));
    broker.commit([Op::Put(orphan, Bytes::new())].into_iter().collect(), 64).await.unwrap();

    let broker = restarted(broker, store).await;
    assert_eq!(broker.bindings_to(&Destination::Exchange(name("kept"))).len(), 1);
    broker.delete_exchange(&name("kept"), false).await.unwrap();
}

#[tokio::test]
async fn an_exchange_bound_to_itself_can_be_deleted() {
    let (broker, store) = broker_on(MemoryStore::new()).await;
    let topic = ExchangeSettings::durable(ExchangeKind::Topic);
    broker.declare_exchange(&name("loop"), topic.clone()).await.unwrap();
    broker.bind(binding("loop", "loop", "#")).await.unwrap();
    broker.delete_exchange(&name("loop"), false).await.unwrap();
    broker.declare_exchange(&name("loop"), topic).await.unwrap();
    assert_eq!(broker.bindings_from(&name("loop")), []);

    let broker = restarted(broker, store).await;
    assert_eq!(broker.bindings_from(&name("loop")), []);
}

#[tokio::test]
async fn what_is_so_already_is_told_when_it_is_durable() {
    let store = Arc::new(MemoryStore::stepped());
    let starting = Broker::start(store.clone(), Arc::new(FakeClock::default()), Options::default());
    tokio::pin!(starting);
    let broker = loop {
        tokio::select! {
            biased;
            broker = &mut starting => break broker.unwrap(),
            () = tokio::task::yield_now() => store.step_all(),
        }
    };
    let settings = || ExchangeSettings::durable(ExchangeKind::Topic);
    let of = binding("amq.topic", "ex", "a");
    for step in 0..3 {
        let change = || async {
            match step {
                0 => broker.declare_exchange(&name("ex"), settings()).await.map(drop),
                1 => broker.bind(of.clone()).await,
                _ => broker.unbind(&of).await,
            }
        };
        let (first, second) = (change(), change());
        tokio::pin!(first, second);
        assert!(futures_util::future::poll_immediate(&mut first).await.is_none());
        assert!(futures_util::future::poll_immediate(&mut second).await.is_none(), "{step}");
        store.step_all();
        assert!(first.await.is_ok() && second.await.is_ok());
        let again = futures_util::future::poll_immediate(change()).await;
        assert!(again.is_some_and(|it| it.is_ok()), "nothing is under way: at once");
    }
}
