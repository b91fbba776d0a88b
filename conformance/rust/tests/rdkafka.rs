//! The rdkafka crate: produce, consume, groups, administration, refusals, restarts.

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;
use rdkafka::admin::{
    AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;
use tramline_conformance_rust::{
    Broker, Clients, LIMIT, numbers, read, read_nothing, send, texts, unique, until,
};

static BASE: LazyLock<i64> = LazyLock::new(|| {
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    let since = hour_ago.duration_since(UNIX_EPOCH).expect("it is after 1970");
    i64::try_from(since.as_secs()).expect("it fits") * 1000
});

fn clients() -> Clients {
    Clients(Broker::shared().kafka.clone())
}

fn code(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown)
}

/// A topic of one partition: value n at offset n, at time BASE + 1000 n.
async fn hundred(clients: &Clients) -> String {
    let topic = clients.create_topic(1, &[]).await;
    let producer = clients.producer(&[("batch.num.messages", "10")]);
    let values = numbers(0, 100);
    let sent = values.iter().zip(0..).map(|(value, n)| {
        let record = FutureRecord::<str, _>::to(&topic).payload(value).timestamp(*BASE + 1000 * n);
        producer.send(record.partition(0), LIMIT)
    });
    assert!(join_all(sent).await.iter().all(Result::is_ok));
    topic
}

async fn member(
    clients: &Clients,
    group: &str,
    topic: &str,
    settings: &[(&str, &str)],
) -> StreamConsumer {
    let member = clients.consumer(group, settings);
    member.subscribe(&[topic]).expect("a subscription");
    member
}

fn held(member: &StreamConsumer) -> Vec<i32> {
    let assigned = member.assignment().expect("an assignment");
    let mut held: Vec<_> = assigned.elements().iter().map(|one| one.partition()).collect();
    held.sort_unstable();
    held
}

/// A member works only while it is read from: waits until both have so many partitions.
async fn share(first: &StreamConsumer, second: Option<&StreamConsumer>, each: usize) {
    until("the assignment", || async {
        let pause = Duration::from_millis(50);
        let came = tokio::time::timeout(pause, first.recv()).await;
        assert!(came.is_err(), "the topic is empty");
        if let Some(second) = second {
            let came = tokio::time::timeout(pause, second.recv()).await;
            assert!(came.is_err(), "the topic is empty");
        }
        held(first).len() == each && second.is_none_or(|second| held(second).len() == each)
    })
    .await;
}

async fn codec_comes_back_as_sent(codec: &str) {
    let clients = clients();
    let topic = clients.create_topic(1, &[]).await;
    let values: Vec<_> =
        numbers(0, 300).iter().map(|n| format!("{n}{}", " tramline".repeat(40))).collect();
    send(&clients.producer(&[("compression.type", codec)]), &topic, &values).await.unwrap();
    let reader = clients.reader(&topic, Offset::Beginning, &[]);
    assert_eq!(texts(&read(&reader, 300).await), values);
}

#[tokio::test]
async fn uncompressed_comes_back_as_sent() {
    codec_comes_back_as_sent("none").await;
}

#[tokio::test]
async fn gzip_comes_back_as_sent() {
    codec_comes_back_as_sent("gzip").await;
}

#[tokio::test]
async fn snappy_comes_back_as_sent() {
    codec_comes_back_as_sent("snappy").await;
}

#[tokio::test]
async fn lz4_comes_back_as_sent() {
    codec_comes_back_as_sent("lz4").await;
}

#[tokio::test]
async fn zstd_comes_back_as_sent() {
    codec_comes_back_as_sent("zstd").await;
}

#[tokio::test]
async fn every_way_of_acknowledging_works() {
    for acks in ["0", "1", "all"] {
        let clients = clients();
        let topic = clients.create_topic(1, &[]).await;
        let offsets =
            send(&clients.producer(&[("acks", acks)]), &topic, &numbers(0, 50)).await.unwrap();
        if acks != "0" {
            assert_eq!(offsets, (0..50).collect::<Vec<_>>());
        }
        let reader = clients.reader(&topic, Offset::Beginning, &[]);
        assert_eq!(texts(&read(&reader, 50).await), numbers(0, 50));
    }
}

#[tokio::test]
async fn idempotent_producer_keeps_order_and_count() {
    let clients = clients();
    let topic = clients.create_topic(1, &[]).await;
    let producer =
        clients.producer(&[("enable.idempotence", "true"), ("batch.num.messages", "20")]);
    send(&producer, &topic, &numbers(0, 2000)).await.unwrap();
    let reader = clients.reader(&topic, Offset::Beginning, &[]);
    assert_eq!(texts(&read(&reader, 2000).await), numbers(0, 2000));
    read_nothing(&reader).await;
}

#[tokio::test]
async fn keys_headers_and_times_come_back() {
    let clients = clients();
    let topic = clients.create_topic(1, &[]).await;
    let headers: [(&str, Option<&[u8]>); 4] =
        [("a", Some(b"1")), ("b", None), ("a", Some(b"2")), ("", Some(b""))];
    let all = headers
        .iter()
        .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: *value }));
    let record = FutureRecord::to(&topic).key("k").payload("v").timestamp(*BASE).headers(all);
    let producer = clients.producer(&[]);
    producer.send(record, LIMIT).await.unwrap();
    producer.send(FutureRecord::<[u8], str>::to(&topic), LIMIT).await.unwrap();
    let came = read(&clients.reader(&topic, Offset::Beginning, &[]), 2).await;
    assert_eq!((came[0].key(), came[0].payload()), (Some(&b"k"[..]), Some(&b"v"[..])));
    assert_eq!(came[0].timestamp().to_millis(), Some(*BASE));
    let kept = came[0].headers().unwrap();
    let kept: Vec<_> = kept.iter().map(|one| (one.key, one.value)).collect();
    assert_eq!(kept, headers);
    assert_eq!((came[1].key(), came[1].payload()), (None, None));
}

#[tokio::test]
async fn log_append_time_replaces_the_producers() {
    let clients = clients();
    let topic = clients.create_topic(1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let record = FutureRecord::to(&topic).key("k").payload("v").timestamp(*BASE);
    clients.producer(&[]).send(record, LIMIT).await.unwrap();
    let came = read(&clients.reader(&topic, Offset::Beginning, &[]), 1).await.remove(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let stamp = u128::try_from(came.timestamp().to_millis().unwrap()).unwrap();
    assert!(now.abs_diff(stamp) < 10_000, "{stamp} is not now, {now}");
}

#[tokio::test]
async fn reading_starts_where_it_is_told() {
    let clients = clients();
    let topic = hundred(&clients).await;
    for (from, first) in [
        (Offset::Beginning, 0),
        (Offset::Offset(0), 0),
        (Offset::Offset(37), 37),
        (Offset::OffsetTail(3), 97),
    ] {
        let came = read(&clients.reader(&topic, from, &[]), 100 - first).await;
        assert_eq!(texts(&came), numbers(first, 100), "{from:?}");
    }
    let late = clients.reader(&topic, Offset::End, &[]);
    read_nothing(&late).await;
    send(&clients.producer(&[]), &topic, &["later".to_owned()]).await.unwrap();
    assert_eq!(read(&late, 1).await[0].offset(), 100);
}

#[tokio::test]
async fn offsets_are_found_by_time_and_at_both_ends() {
    let clients = clients();
    let topic = hundred(&clients).await;
    let consumer = clients.consumer("nobody", &[]);
    for (stamp, offset) in
        [(0, 0), (*BASE, 0), (*BASE + 1, 1), (*BASE + 37_000, 37), (*BASE + 37_001, 38)]
    {
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&topic, 0, Offset::Offset(stamp)).unwrap();
        let found = consumer.offsets_for_times(asked, LIMIT).unwrap();
        assert_eq!(found.elements()[0].offset(), Offset::Offset(offset), "{stamp}");
    }
    assert_eq!(consumer.fetch_watermarks(&topic, 0, LIMIT).unwrap(), (0, 100));
}

#[tokio::test]
async fn commit_is_read_back_and_resumed_from() {
    let clients = clients();
    let (topic, group) = (hundred(&clients).await, unique());
    let first = member(&clients, &group, &topic, &[]).await;
    read(&first, 40).await;
    let mut commit = TopicPartitionList::new();
    commit.add_partition_offset(&topic, 0, Offset::Offset(40)).unwrap();
    first.commit(&commit, CommitMode::Sync).unwrap();
    // Gone at once: librdkafka does not close a consumer while such a list refers to it.
    let committed = first.committed(LIMIT).unwrap().elements()[0].offset();
    assert_eq!(committed, Offset::Offset(40));
    drop(first);
    let second = member(&clients, &group, &topic, &[]).await;
    assert_eq!(texts(&read(&second, 60).await), numbers(40, 100));
}

async fn two_members_share(strategy: &str) {
    let clients = clients();
    let (topic, group) = (clients.create_topic(4, &[]).await, unique());
    let settings = [("partition.assignment.strategy", strategy)];
    let first = member(&clients, &group, &topic, &settings).await;
    share(&first, None, 4).await;
    let second = member(&clients, &group, &topic, &settings).await;
    share(&first, Some(&second), 2).await;
    let mut both = [held(&first), held(&second)].concat();
    both.sort_unstable();
    assert_eq!(both, [0, 1, 2, 3]);
    drop(second);
    share(&first, None, 4).await;
}

#[tokio::test]
async fn two_members_share_by_range() {
    two_members_share("range").await;
}

#[tokio::test]
async fn two_members_share_round_robin() {
    two_members_share("roundrobin").await;
}

#[tokio::test]
async fn two_members_share_cooperatively() {
    two_members_share("cooperative-sticky").await;
}

#[tokio::test]
async fn static_member_comes_back_to_its_partitions() {
    let clients = clients();
    let (topic, group) = (clients.create_topic(4, &[]).await, unique());
    let first = member(&clients, &group, &topic, &[("group.instance.id", "one")]).await;
    let second = member(&clients, &group, &topic, &[("group.instance.id", "two")]).await;
    share(&first, Some(&second), 2).await;
    let had = held(&second);
    drop(second); // A static member does not leave.
    let again = member(&clients, &group, &topic, &[("group.instance.id", "two")]).await;
    share(&first, Some(&again), 2).await;
    assert_eq!(held(&again), had);
}

#[tokio::test]
async fn topics_are_created_grown_and_deleted() {
    let clients = clients();
    let (admin, name, options) = (clients.admin(), unique(), AdminOptions::new());
    let topic = NewTopic::new(&name, 2, TopicReplication::Fixed(1));
    admin.create_topics([&topic], &options).await.unwrap().remove(0).unwrap();
    let again = admin.create_topics([&topic], &options).await.unwrap().remove(0);
    assert_eq!(again.unwrap_err().1, Code::TopicAlreadyExists);
    let more = NewPartitions::new(&name, 5);
    admin.create_partitions([&more], &options).await.unwrap().remove(0).unwrap();
    let fewer = NewPartitions::new(&name, 3);
    let refused = admin.create_partitions([&fewer], &options).await.unwrap().remove(0);
    assert_eq!(refused.unwrap_err().1, Code::InvalidPartitions);
    let consumer = clients.consumer("nobody", &[]);
    let metadata = consumer.fetch_metadata(Some(&name), LIMIT).unwrap();
    assert_eq!(metadata.topics()[0].partitions().len(), 5);
    admin.delete_topics(&[&name], &options).await.unwrap().remove(0).unwrap();
    let gone = admin.delete_topics(&[&name], &options).await.unwrap().remove(0);
    assert_eq!(gone.unwrap_err().1, Code::UnknownTopicOrPartition);
    let copied = NewTopic::new("copied", 1, TopicReplication::Fixed(3));
    let refused = admin.create_topics([&copied], &options).await.unwrap().remove(0);
    assert_eq!(refused.unwrap_err().1, Code::InvalidReplicationFactor);
}

#[tokio::test]
async fn settings_are_described_and_altered() {
    let clients = clients();
    let topic = clients.create_topic(1, &[("retention.ms", "86400000")]).await;
    let (admin, options) = (clients.admin(), AdminOptions::new());
    let resource = ResourceSpecifier::Topic(&topic);
    let change = AlterConfig::new(resource).set("retention.bytes", "1000000");
    admin.alter_configs([&change], &options).await.unwrap().remove(0).unwrap();
    let described = admin.describe_configs([&resource], &options).await.unwrap().remove(0).unwrap();
    let value = |name| described.get(name).and_then(|one| one.value.clone());
    assert_eq!(value("retention.bytes").as_deref(), Some("1000000"));
    assert_eq!(value("retention.ms").as_deref(), Some("604800000"), "AlterConfigs replaces all");
}

#[tokio::test]
async fn groups_are_listed_and_deleted_when_empty() {
    let clients = clients();
    let (topic, group) = (hundred(&clients).await, unique());
    let one = member(&clients, &group, &topic, &[]).await;
    read(&one, 1).await;
    let listed = one.fetch_group_list(Some(&group), LIMIT).unwrap();
    assert_eq!((listed.groups()[0].name(), listed.groups()[0].state()), (group.as_str(), "Stable"));
    let (admin, options) = (clients.admin(), AdminOptions::new());
    let refused = admin.delete_groups(&[&group], &options).await.unwrap().remove(0);
    assert_eq!(refused.unwrap_err().1, Code::NonEmptyGroup);
    drop(one);
    admin.delete_groups(&[&group], &options).await.unwrap().remove(0).unwrap();
}

#[tokio::test]
async fn records_below_an_offset_are_deleted() {
    let clients = clients();
    let topic = hundred(&clients).await;
    let mut below = TopicPartitionList::new();
    below.add_partition_offset(&topic, 0, Offset::Offset(60)).unwrap();
    let deleted = clients.admin().delete_records(&below, &AdminOptions::new()).await.unwrap();
    assert_eq!(deleted.elements()[0].offset(), Offset::Offset(60));
    let reader = clients.reader(&topic, Offset::Beginning, &[]);
    assert_eq!(texts(&read(&reader, 40).await), numbers(60, 100));
}

#[tokio::test]
async fn unknown_topic_is_refused_to_a_producer() {
    let producer = clients().producer(&[
        ("allow.auto.create.topics", "false"),
        ("topic.metadata.propagation.max.ms", "500"),
    ]);
    let name = unique();
    let (error, _) =
        producer.send(FutureRecord::to(&name).key("k").payload("v"), LIMIT).await.unwrap_err();
    assert_eq!(code(&error), Code::UnknownTopicOrPartition);
}

#[tokio::test]
async fn message_above_the_limit_is_refused_and_the_next_is_taken() {
    let clients = clients();
    let topic = clients.create_topic(1, &[("max.message.bytes", "2000")]).await;
    let producer = clients.producer(&[]);
    let refused = send(&producer, &topic, &["x".repeat(3000)]).await.unwrap_err();
    assert_eq!(code(&refused), Code::MessageSizeTooLarge);
    send(&producer, &topic, &["small".to_owned()]).await.unwrap();
    assert_eq!(texts(&read(&clients.reader(&topic, Offset::Beginning, &[]), 1).await), ["small"]);
}

#[tokio::test]
async fn offset_out_of_range_is_reset_or_an_error() {
    let clients = clients();
    let topic = hundred(&clients).await;
    let early = clients.reader(&topic, Offset::Offset(5000), &[]);
    assert_eq!(read(&early, 1).await[0].offset(), 0);
    let strict = clients.reader(&topic, Offset::Offset(5000), &[("auto.offset.reset", "error")]);
    let error = tokio::time::timeout(LIMIT, strict.recv()).await.unwrap().unwrap_err();
    assert_eq!(code(&error), Code::AutoOffsetReset);
}

async fn idempotent_producer_goes_on(how: &str) {
    let mut broker = Broker::start();
    let clients = Clients(broker.addresses().kafka.clone());
    let topic = clients.create_topic(1, &[]).await;
    let producer = clients.producer(&[("enable.idempotence", "true")]);
    for from in [0, 100, 200] {
        send(&producer, &topic, &numbers(from, from + 100)).await.unwrap();
        broker.restart(how);
    }
    let reader = clients.reader(&topic, Offset::Beginning, &[]);
    assert_eq!(texts(&read(&reader, 300).await), numbers(0, 300));
    read_nothing(&reader).await;
}

#[tokio::test]
async fn idempotent_producer_goes_on_over_a_restart() {
    idempotent_producer_goes_on("stop").await;
}

#[tokio::test]
async fn idempotent_producer_goes_on_over_kill_9() {
    idempotent_producer_goes_on("kill").await;
}

async fn successor_resumes(how: &str) {
    let mut broker = Broker::start();
    let clients = Clients(broker.addresses().kafka.clone());
    let (topic, group) = (clients.create_topic(1, &[]).await, unique());
    let producer = clients.producer(&[]);
    send(&producer, &topic, &numbers(0, 10)).await.unwrap();
    let first = member(&clients, &group, &topic, &[]).await;
    let came = read(&first, 10).await;
    assert_eq!(came[9].offset(), 9);
    let mut commit = TopicPartitionList::new();
    commit.add_partition_offset(&topic, 0, Offset::Offset(10)).unwrap();
    first.commit(&commit, CommitMode::Sync).unwrap();
    broker.restart(how);
    send(&producer, &topic, &numbers(10, 20)).await.unwrap();
    let mut next = 10;
    while next < 20 {
        // A client that joins again by itself may read again from its commit.
        tokio::time::timeout(LIMIT, async {
            if let Ok(message) = first.recv().await
                && message.offset() == next
            {
                next += 1;
            }
        })
        .await
        .expect("the member goes on");
    }
    drop(first);
    broker.restart(how);
    send(&producer, &topic, &numbers(20, 25)).await.unwrap();
    let second = member(&clients, &group, &topic, &[]).await;
    assert_eq!(texts(&read(&second, 15).await), numbers(10, 25));
}

#[tokio::test]
async fn successor_resumes_after_a_restart() {
    successor_resumes("stop").await;
}

#[tokio::test]
async fn successor_resumes_after_kill_9() {
    successor_resumes("kill").await;
}
