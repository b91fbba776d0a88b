//! Limits of rates: set, described, and enforced.

use crate::support::{Client, Node, batch, message, options, produce, text, within};
use std::{sync::Arc, time::Duration};
use tokio::io::AsyncReadExt;
use tramline_store::MemoryStore;
use tramline_testkit::FakeClock;
use tramline_wire::{
    KafkaStr,
    kafka::{
        alter_client_quotas::{AlterClientQuotasRequest, EntityData, EntryData, OpData},
        describe_client_quotas::{ComponentData, DescribeClientQuotasRequest},
        fetch::{FetchPartition, FetchRequest, FetchTopic},
        metadata::MetadataRequest,
        produce::ProduceRequest,
    },
};

async fn on_a_clock() -> (Node, FakeClock) {
    let clock = FakeClock::new();
    let both = (options(), tramline_kafka::Options::default());
    let store = Arc::new(MemoryStore::new());
    (Node::start_on(store, Arc::new(clock.clone()), both).await, clock)
}

fn part(kind: &str, name: Option<&str>) -> EntityData {
    EntityData { entity_type: text(kind), entity_name: name.map(text) }
}

fn set(key: &str, value: f64) -> OpData {
    OpData { key: text(key), value, remove: false }
}

async fn alter(
    client: &mut Client,
    version: i16,
    entity: Vec<EntityData>,
    ops: Vec<OpData>,
) -> i16 {
    let entries = vec![EntryData { entity, ops }];
    let request = AlterClientQuotasRequest { entries, validate_only: false };
    client.call(version, &request).await.entries[0].error_code
}

/// Entities as `type=name`, with their limits.
type Described = Vec<(Vec<String>, Vec<(String, f64)>)>;

async fn describe(
    client: &mut Client,
    components: &[(&str, i8, Option<&str>)],
) -> (i16, Described) {
    let component = |(kind, match_type, name): &(&str, i8, Option<&str>)| ComponentData {
        entity_type: text(kind),
        match_type: *match_type,
        r#match: name.map(text),
    };
    let components = components.iter().map(component).collect();
    let request = DescribeClientQuotasRequest { components, strict: false };
    let answer = client.call(1, &request).await;
    let name = |name: Option<KafkaStr>| name.map_or("<default>".to_owned(), |it| it.to_string());
    let entries = answer.entries.unwrap_or_default().into_iter().map(|entry| {
        let entity = entry.entity.into_iter();
        let entity = entity.map(|it| format!("{}={}", it.entity_type, name(it.entity_name)));
        let values = entry.values.into_iter().map(|it| (it.key.to_string(), it.value));
        (entity.collect(), values.collect())
    });
    (answer.error_code, entries.collect())
}

#[tokio::test]
async fn limits_are_set_described_and_removed() {
    let node = Node::start().await;
    let client = &mut node.client().await;
    let both = || vec![part("user", Some("u")), part("client-id", None)];
    let ops = vec![set("producer_byte_rate", 1024.0), set("request_percentage", 12.5)];
    assert_eq!(alter(client, 0, both(), ops).await, 0);
    let id = || vec![part("client-id", Some("c"))];
    assert_eq!(alter(client, 1, id(), vec![set("consumer_byte_rate", 7.0)]).await, 0);
    let of = |entity: &[&str], values: &[(&str, f64)]| {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect();
        (entity.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>(), values)
    };
    let first = of(
        &["user=u", "client-id=<default>"],
        &[("producer_byte_rate", 1024.0), ("request_percentage", 12.5)],
    );
    let second = of(&["client-id=c"], &[("consumer_byte_rate", 7.0)]);
    assert_eq!(describe(client, &[]).await, (0, vec![second.clone(), first.clone()]));
    assert_eq!(describe(client, &[("user", 2, None)]).await, (0, vec![first.clone()]));
    assert_eq!(describe(client, &[("client-id", 1, None)]).await, (0, vec![first]));
    assert_eq!(describe(client, &[("client-id", 0, Some("c"))]).await, (0, vec![second]));
    assert_eq!(describe(client, &[("ip", 2, None)]).await, (0, vec![]));
    assert_eq!(describe(client, &[("host", 2, None)]).await.0, 35);
    assert_eq!(describe(client, &[("user", 2, None), ("user", 2, None)]).await.0, 42);
    assert_eq!(describe(client, &[("user", 0, None)]).await.0, 42);
    assert_eq!(describe(client, &[("user", 7, None)]).await.0, 42);
    let remove = OpData { remove: true, ..set("consumer_byte_rate", 0.0) };
    assert_eq!(alter(client, 1, id(), vec![remove]).await, 0);
    assert_eq!(describe(client, &[("client-id", 0, Some("c"))]).await, (0, vec![]));
}

#[tokio::test]
async fn wrong_limits_are_refused() {
    let node = Node::start().await;
    let client = &mut node.client().await;
    let id = || vec![part("client-id", Some("c"))];
    for (entity, op) in [
        (vec![], set("producer_byte_rate", 1.0)),
        (vec![part("ip", Some("::1"))], set("connection_creation_rate", 1.0)),
        (vec![part("user", Some(""))], set("producer_byte_rate", 1.0)),
        (vec![part("user", None), part("user", None)], set("producer_byte_rate", 1.0)),
        (id(), set("producer_byte_rates", 1.0)),
        (id(), set("producer_byte_rate", 0.0)),
        (id(), set("producer_byte_rate", 1.5)),
        (id(), set("producer_byte_rate", f64::NAN)),
        (id(), set("request_percentage", f64::INFINITY)),
    ] {
        let label = format!("{entity:?} {op:?}");
        assert_eq!(alter(client, 1, entity, vec![op]).await, 42, "{label}");
    }
    assert_eq!(describe(client, &[]).await, (0, vec![]));
}

/// Waits until the connection answers, moving the clock; gives how many seconds that took.
async fn answered_after(client: &mut Client, clock: &FakeClock) -> u64 {
    for seconds in 0..1000 {
        let read = tokio::time::timeout(Duration::from_millis(20), client.stream.read_u32()).await;
        if let Ok(size) = read {
            let mut rest = vec![0; usize::try_from(size.unwrap()).unwrap()];
            within(client.stream.read_exact(&mut rest)).await.unwrap();
            return seconds;
        }
        clock.advance(Duration::from_secs(1));
    }
    panic!("it is never answered")
}

fn of_bytes(bytes: usize) -> ProduceRequest {
    produce("t", 0, Some(batch(&[message(&"x".repeat(bytes), 1_700_000_000_000)])))
}

#[tokio::test]
async fn producer_above_its_limit_is_told_and_left_alone_for_so_long() {
    let (node, clock) = on_a_clock().await;
    let client = &mut node.client().await;
    client.create("t", 1, &[]).await;
    let entity = vec![part("client-id", Some("test"))];
    assert_eq!(alter(client, 1, entity, vec![set("producer_byte_rate", 1000.0)]).await, 0);
    // A burst of ten seconds is free.
    let answer = client.call(12, &of_bytes(5000)).await;
    assert_eq!(answer.throttle_time_ms, 0);
    let answer = client.call(12, &of_bytes(15_000)).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "it is taken");
    let told = answer.throttle_time_ms;
    assert!((10_000..11_000).contains(&told), "{told} ms");
    client.send(12, &MetadataRequest::default()).await;
    let after = answered_after(client, &clock).await;
    assert!((10..=12).contains(&after), "{after} s");
    let mut other = node.client().await;
    assert_eq!(other.call(12, &MetadataRequest::default()).await.throttle_time_ms, 0);
}

#[tokio::test]
async fn producer_without_answers_is_left_alone_as_well() {
    let (node, clock) = on_a_clock().await;
    let client = &mut node.client().await;
    client.create("t", 1, &[]).await;
    let entity = vec![part("user", Some("ANONYMOUS"))];
    assert_eq!(alter(client, 1, entity, vec![set("producer_byte_rate", 1000.0)]).await, 0);
    client.send(12, &ProduceRequest { acks: 0, ..of_bytes(30_000) }).await;
    client.send(12, &MetadataRequest::default()).await;
    let after = answered_after(client, &clock).await;
    assert!((20..=22).contains(&after), "{after} s");
}

#[tokio::test]
async fn consumer_above_its_limit_gets_less_at_a_time_and_is_left_alone() {
    let (node, clock) = on_a_clock().await;
    let client = &mut node.client().await;
    client.create("t", 1, &[]).await;
    for _ in 0..10 {
        client.call(12, &of_bytes(3000)).await;
    }
    let entity = vec![part("client-id", None)];
    assert_eq!(alter(client, 1, entity, vec![set("consumer_byte_rate", 1000.0)]).await, 0);
    let partition = FetchPartition { partition_max_bytes: 1 << 20, ..FetchPartition::default() };
    let topic =
        FetchTopic { topic: "t".into(), partitions: vec![partition], ..FetchTopic::default() };
    let fetch = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
    let answer = client.call(12, &fetch).await;
    let bytes = answer.responses[0].partitions[0].records.as_ref().unwrap().total_bytes();
    assert!((9000..=10_000).contains(&bytes), "{bytes} bytes are not one burst");
    assert_eq!(answer.throttle_time_ms, 0);
    let told = client.call(12, &fetch).await.throttle_time_ms;
    assert!((8000..9500).contains(&told), "{told} ms");
    client.send(12, &MetadataRequest::default()).await;
    let after = answered_after(client, &clock).await;
    assert!((8..=10).contains(&after), "{after} s");
}

#[tokio::test]
async fn client_that_takes_too_much_time_is_told_in_every_answer() {
    let node = Node::start().await;
    let client = &mut node.client().await;
    let entity = vec![part("client-id", Some("test"))];
    assert_eq!(alter(client, 1, entity, vec![set("request_percentage", 0.000_01)]).await, 0);
    let mut told = 0;
    // A burst is a microsecond: the second request can only come after some time.
    for _ in 0..3 {
        told = told.max(client.call(12, &MetadataRequest::default()).await.throttle_time_ms);
        if told > 0 {
            return;
        }
    }
    panic!("it was never told");
}
