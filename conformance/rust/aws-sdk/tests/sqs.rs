//! The AWS SDK for Rust against the real binary.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::primitives::Blob;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, Message, MessageAttributeValue, MessageSystemAttributeName,
    QueueAttributeName, SendMessageBatchRequestEntry,
};
use tramline_conformance_broker::{Addresses, Broker};

const LIMIT: Duration = Duration::from_secs(60);
const PREFIX: &str = "AWS.SimpleQueueService.";

fn client_of(addresses: &Addresses) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{}", addresses.sqs))
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("test", "secret", None, None, "test"))
        .retry_config(RetryConfig::standard().with_max_attempts(10))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

fn connect() -> Client {
    client_of(Broker::shared())
}

fn name() -> String {
    format!("q-{}", uuid::Uuid::new_v4())
}

async fn declare(sqs: &Client, attributes: &[(&str, &str)]) -> String {
    let is_fifo = attributes.iter().any(|(name, _)| *name == "FifoQueue");
    let name = name() + if is_fifo { ".fifo" } else { "" };
    let mut create = sqs.create_queue().queue_name(name);
    for (name, value) in attributes {
        create = create.attributes(QueueAttributeName::from(*name), *value);
    }
    create.send().await.expect("it is made").queue_url.expect("a URL")
}

const FIFO: &[(&str, &str)] = &[("FifoQueue", "true"), ("ContentBasedDeduplication", "true")];

async fn send(sqs: &Client, queue: &str, bodies: &[String]) {
    for body in bodies {
        sqs.send_message().queue_url(queue).message_body(body).send().await.expect("it is sent");
    }
}

async fn receive(sqs: &Client, queue: &str, max: i32, wait: i32) -> Vec<Message> {
    let receive = sqs.receive_message().queue_url(queue).max_number_of_messages(max);
    let receive = receive.wait_time_seconds(wait).message_attribute_names("All");
    let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
    receive.send().await.expect("it is answered").messages.unwrap_or_default()
}

/// Receives until there are so many.
async fn receive_all(sqs: &Client, queue: &str, n: usize) -> Vec<Message> {
    let deadline = Instant::now() + LIMIT;
    let mut messages = Vec::new();
    while messages.len() < n {
        assert!(Instant::now() < deadline, "{} of {n} messages", messages.len());
        messages.extend(receive(sqs, queue, 10, 1).await);
    }
    messages
}

fn handle(message: &Message) -> &str {
    message.receipt_handle().expect("a handle")
}

fn bodies(messages: &[Message]) -> Vec<String> {
    messages.iter().filter_map(|message| message.body.clone()).collect()
}

fn sorted(mut texts: Vec<String>) -> Vec<String> {
    texts.sort_by_key(|text| text.parse::<u32>().expect("a number"));
    texts
}

fn numbers(from: u32, to: u32) -> Vec<String> {
    (from..to).map(|n| n.to_string()).collect()
}

async fn delete(sqs: &Client, queue: &str, messages: &[Message]) {
    for message in messages {
        let delete = sqs.delete_message().queue_url(queue).receipt_handle(handle(message));
        delete.send().await.expect("it is deleted");
    }
}

async fn show(sqs: &Client, queue: &str, messages: &[Message], seconds: i32) {
    for message in messages {
        let change = sqs.change_message_visibility().queue_url(queue);
        let change = change.receipt_handle(handle(message)).visibility_timeout(seconds);
        change.send().await.expect("it is changed");
    }
}

async fn attribute(sqs: &Client, queue: &str, name: &str) -> Option<String> {
    let name = QueueAttributeName::from(name);
    let asked = sqs.get_queue_attributes().queue_url(queue).attribute_names(name.clone());
    asked.send().await.expect("it is told").attributes?.remove(&name)
}

/// The code with which something is refused.
fn refused<T: std::fmt::Debug, E: ProvideErrorMetadata + std::fmt::Debug, R: std::fmt::Debug>(
    outcome: Result<T, SdkError<E, R>>,
) -> String {
    let error = outcome.expect_err("it is refused");
    error.code().unwrap_or_else(|| panic!("{error:?}")).to_owned()
}

#[tokio::test]
async fn a_queue_is_made_found_listed_and_deleted() {
    let (sqs, name) = (connect(), name());
    let url = sqs.create_queue().queue_name(&name).tags("team", "a").send().await;
    let url = url.expect("it is made").queue_url.expect("a URL");
    assert_eq!(url, format!("http://{}/000000000000/{name}", Broker::shared().sqs));
    let found = sqs.get_queue_url().queue_name(&name).send().await.expect("it is there");
    assert_eq!(found.queue_url(), Some(url.as_str()));
    let listed = sqs.list_queues().queue_name_prefix(&name).send().await.expect("a list");
    assert_eq!(listed.queue_urls(), [url.clone()]);
    sqs.tag_queue().queue_url(&url).tags("cost", "1 €").send().await.expect("it is tagged");
    sqs.untag_queue().queue_url(&url).tag_keys("team").send().await.expect("it is untagged");
    let tags = sqs.list_queue_tags().queue_url(&url).send().await.expect("tags");
    let wanted = HashMap::from([("cost".to_owned(), "1 €".to_owned())]);
    assert_eq!(tags.tags(), Some(&wanted));
    sqs.delete_queue().queue_url(&url).send().await.expect("it is deleted");
    let gone = sqs.get_queue_url().queue_name(&name).send().await.expect_err("it is gone");
    let gone = gone.into_service_error();
    assert!(gone.is_queue_does_not_exist(), "{gone:?}");
    assert_eq!(gone.message(), Some("The specified queue does not exist."));
}

#[tokio::test]
async fn queues_are_listed_in_pages() {
    let (sqs, prefix) = (connect(), name());
    let mut made = Vec::new();
    for n in 0..5 {
        let queue = sqs.create_queue().queue_name(format!("{prefix}-{n}")).send().await;
        made.extend(queue.expect("it is made").queue_url);
    }
    let pages = sqs.list_queues().queue_name_prefix(&prefix).into_paginator().page_size(2);
    let listed: Result<Vec<_>, _> = pages.items().send().collect().await;
    assert_eq!(listed.expect("a list"), made);
}

#[tokio::test]
async fn attributes_are_set_and_told() {
    let sqs = connect();
    let queue = declare(&sqs, FIFO).await;
    let wanted = [
        ("DelaySeconds", "7"),
        ("VisibilityTimeout", "40"),
        ("DeduplicationScope", "messageGroup"),
        ("FifoThroughputLimit", "perMessageGroupId"),
        ("Policy", r#"{"Version":"2012-10-17","Statement":[]}"#),
    ];
    let mut set = sqs.set_queue_attributes().queue_url(&queue);
    for (name, value) in wanted {
        set = set.attributes(QueueAttributeName::from(name), value);
    }
    set.send().await.expect("they are set");
    for (name, value) in wanted {
        assert_eq!(attribute(&sqs, &queue, name).await.as_deref(), Some(value), "{name}");
    }
    let wrong = sqs.set_queue_attributes().queue_url(&queue);
    let wrong = wrong.attributes(QueueAttributeName::DelaySeconds, "901").send().await;
    assert_eq!(refused(wrong), "InvalidAttributeValue");
    let again = sqs.create_queue().queue_name(queue.rsplit('/').next().expect("a name"));
    let again = again.attributes(QueueAttributeName::from("FifoQueue"), "true");
    let again = again.attributes(QueueAttributeName::DelaySeconds, "8").send().await;
    assert!(again.expect_err("it is another").into_service_error().is_queue_name_exists());
}

#[tokio::test]
async fn permissions() {
    let sqs = connect();
    let queue = declare(&sqs, &[]).await;
    let add = sqs.add_permission().queue_url(&queue).label("one").actions("SendMessage");
    let add = add.aws_account_ids("111122223333");
    add.clone().send().await.expect("it is added");
    let policy = attribute(&sqs, &queue, "Policy").await.expect("a policy");
    assert!(policy.contains(r#""Sid":"one""#), "{policy}");
    assert_eq!(refused(add.send().await), "InvalidParameterValue");
    sqs.remove_permission().queue_url(&queue).label("one").send().await.expect("it is removed");
    assert_eq!(attribute(&sqs, &queue, "Policy").await, None);
}

#[tokio::test]
async fn a_message_comes_back_as_it_was_sent() {
    let sqs = connect();
    let queue = declare(&sqs, &[]).await;
    let text = |kind: &str, text: &str| {
        let value = MessageAttributeValue::builder().data_type(kind).string_value(text);
        value.build().expect("a value")
    };
    let binary = MessageAttributeValue::builder().data_type("Binary");
    let binary = binary.binary_value(Blob::new([0, 255, 1])).build().expect("a value");
    let attributes = HashMap::from([
        ("text".to_owned(), text("String", "käse")),
        ("number".to_owned(), text("Number.int", "-5")),
        ("bytes".to_owned(), binary),
    ]);
    let sent = sqs.send_message().queue_url(&queue).message_body("<käse>\r\n\t\"&");
    let sent = sent.set_message_attributes(Some(attributes.clone())).send().await.expect("sent");
    let messages = receive_all(&sqs, &queue, 1).await;
    assert_eq!(messages[0].body(), Some("<käse>\r\n\t\"&"));
    assert_eq!(messages[0].message_attributes(), Some(&attributes));
    assert_eq!(messages[0].message_id(), sent.message_id());
    assert_eq!(messages[0].md5_of_message_attributes(), sent.md5_of_message_attributes());
    delete(&sqs, &queue, &messages).await;
    assert!(receive(&sqs, &queue, 10, 0).await.is_empty());
}

#[tokio::test]
async fn a_waiting_receive_is_answered_when_a_message_comes() {
    let sqs = connect();
    let queue = declare(&sqs, &[]).await;
    let started = Instant::now();
    let waiting = tokio::spawn({
        let (sqs, queue) = (sqs.clone(), queue.clone());
        async move { receive(&sqs, &queue, 1, 20).await }
    });
    send(&sqs, &queue, &["late".to_owned()]).await;
    assert_eq!(bodies(&waiting.await.expect("it is answered")), ["late"]);
    assert!(started.elapsed() < Duration::from_secs(19));
}

#[tokio::test]
async fn delays_and_visibility_take_their_time() {
    let sqs = connect();
    let queue = declare(&sqs, &[("VisibilityTimeout", "1")]).await;
    let started = Instant::now();
    let later = sqs.send_message().queue_url(&queue).message_body("x").delay_seconds(2);
    later.send().await.expect("it is sent");
    let first = receive_all(&sqs, &queue, 1).await;
    assert!(started.elapsed() >= Duration::from_millis(1950));
    let again = receive_all(&sqs, &queue, 1).await;
    assert_ne!(handle(&first[0]), handle(&again[0]));
    let counts = again[0].attributes().expect("attributes");
    assert_eq!(counts[&MessageSystemAttributeName::ApproximateReceiveCount], "2");
}

#[tokio::test]
async fn batches_and_their_failures() {
    let sqs = connect();
    let queue = declare(&sqs, &[]).await;
    let entry =
        |id: &str, body: &str| SendMessageBatchRequestEntry::builder().id(id).message_body(body);
    let mut batch = sqs.send_message_batch().queue_url(&queue);
    for n in 0..8 {
        batch = batch.entries(entry(&format!("id{n}"), &n.to_string()).build().expect("an entry"));
    }
    batch = batch.entries(entry("late", "x").delay_seconds(901).build().expect("an entry"));
    batch = batch.entries(entry("letters", "\u{1}").build().expect("an entry"));
    let sent = batch.send().await.expect("it is answered");
    assert_eq!(sent.successful().len(), 8);
    let ids = |failed: &[BatchResultErrorEntry]| -> Vec<String> {
        failed.iter().map(|one| one.id().to_owned()).collect()
    };
    assert_eq!(ids(sent.failed()), ["late", "letters"]);
    let mut shown = sqs.change_message_visibility_batch().queue_url(&queue);
    for (n, message) in receive_all(&sqs, &queue, 8).await.iter().enumerate() {
        let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(format!("s{n}"));
        let entry = entry.receipt_handle(handle(message)).visibility_timeout(0);
        shown = shown.entries(entry.build().expect("an entry"));
    }
    assert_eq!(shown.send().await.expect("it is answered").successful().len(), 8);
    let mut gone = sqs.delete_message_batch().queue_url(&queue);
    for (n, message) in receive_all(&sqs, &queue, 8).await.iter().enumerate() {
        let handle = if n == 7 { "nonsense" } else { handle(message) };
        let entry = DeleteMessageBatchRequestEntry::builder().id(format!("d{n}"));
        gone = gone.entries(entry.receipt_handle(handle).build().expect("an entry"));
    }
    let gone = gone.send().await.expect("it is answered");
    assert_eq!((gone.successful().len(), ids(gone.failed())), (7, vec!["d7".to_owned()]));
    let same = entry("a", "x").build().expect("an entry");
    let twice = sqs.send_message_batch().queue_url(&queue).entries(same.clone()).entries(same);
    assert_eq!(refused(twice.send().await), format!("{PREFIX}BatchEntryIdsNotDistinct"));
    let none = sqs.send_message_batch().queue_url(&queue).set_entries(Some(Vec::new()));
    assert_eq!(refused(none.send().await), format!("{PREFIX}EmptyBatchRequest"));
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let sqs = connect();
    let queue = declare(&sqs, &[]).await;
    let wrong = sqs.delete_message().queue_url(&queue).receipt_handle("nonsense").send().await;
    assert_eq!(refused(wrong), "ReceiptHandleIsInvalid");
    let large = sqs.send_message().queue_url(&queue).message_body("x".repeat((1 << 20) + 1));
    assert_eq!(refused(large.send().await), "InvalidParameterValue");
    let many = sqs.receive_message().queue_url(&queue).max_number_of_messages(11).send().await;
    assert_eq!(refused(many), "InvalidParameterValue");
    let gone = sqs.receive_message().queue_url(format!("{queue}-not")).send().await;
    assert_eq!(refused(gone), format!("{PREFIX}NonExistentQueue"));
}

#[tokio::test]
async fn purge() {
    let sqs = connect();
    let queue = declare(&sqs, &[]).await;
    send(&sqs, &queue, &numbers(0, 5)).await;
    sqs.purge_queue().queue_url(&queue).send().await.expect("it is purged");
    assert!(receive(&sqs, &queue, 10, 0).await.is_empty());
}

#[tokio::test]
async fn groups_keep_their_order_and_repeats_are_not_delivered() {
    let sqs = connect();
    let queue = declare(&sqs, FIFO).await;
    for n in numbers(0, 10) {
        for group in ["a", "b", "a"] {
            let sent = sqs.send_message().queue_url(&queue).message_group_id(group);
            sent.message_body(format!("{group}{n}")).send().await.expect("it is sent");
        }
    }
    let mut found: HashMap<String, Vec<String>> = HashMap::new();
    while found.values().map(Vec::len).sum::<usize>() < 20 {
        let messages = receive(&sqs, &queue, 3, 5).await;
        for body in bodies(&messages) {
            found.entry(body[..1].to_owned()).or_default().push(body[1..].to_owned());
        }
        delete(&sqs, &queue, &messages).await;
    }
    assert_eq!((&found["a"], &found["b"]), (&numbers(0, 10), &numbers(0, 10)));
    let lost = sqs.send_message().queue_url(&queue).message_body("x").send().await;
    assert_eq!(refused(lost), "MissingParameter");
}

#[tokio::test]
async fn dead_letters_move_and_go_back() {
    let sqs = connect();
    let dead = declare(&sqs, &[]).await;
    let arn = attribute(&sqs, &dead, "QueueArn").await.expect("an ARN");
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}"#);
    let queue = declare(&sqs, &[("RedrivePolicy", policy.as_str())]).await;
    let sources = sqs.list_dead_letter_source_queues().queue_url(&dead).send().await;
    assert_eq!(sources.expect("a list").queue_urls, [queue.clone()]);
    send(&sqs, &queue, &numbers(0, 3)).await;
    show(&sqs, &queue, &receive_all(&sqs, &queue, 3).await, 0).await;
    show(&sqs, &dead, &receive_all(&sqs, &dead, 3).await, 0).await;
    let task = sqs.start_message_move_task().source_arn(&arn).send().await;
    let task = task.expect("it starts").task_handle.expect("a handle");
    let back = receive_all(&sqs, &queue, 3).await;
    assert_eq!(sorted(bodies(&back)), numbers(0, 3));
    let deadline = Instant::now() + LIMIT;
    loop {
        let tasks = sqs.list_message_move_tasks().source_arn(&arn).send().await.expect("a list");
        if tasks.results()[0].status() == Some("COMPLETED") {
            break;
        }
        assert!(Instant::now() < deadline, "{tasks:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let over = sqs.cancel_message_move_task().task_handle(task).send().await;
    assert_eq!(refused(over), format!("{PREFIX}UnsupportedOperation"));
}

async fn outlives(how: &str) {
    let mut broker = Broker::start();
    let sqs = client_of(broker.addresses());
    let queue = declare(&sqs, &[("VisibilityTimeout", "600")]).await;
    send(&sqs, &queue, &numbers(0, 30)).await;
    let out = receive_all(&sqs, &queue, 10).await;
    delete(&sqs, &queue, &out[..5]).await;
    broker.restart(how);
    // A handle of before the restart still deletes.
    delete(&sqs, &queue, &out[5..]).await;
    let mut all = bodies(&out);
    all.extend(bodies(&receive_all(&sqs, &queue, 30 - out.len()).await));
    assert_eq!(sorted(all), numbers(0, 30));
}

#[tokio::test]
async fn messages_locks_and_deletes_outlive_a_stop() {
    outlives("stop").await;
}

#[tokio::test]
async fn messages_locks_and_deletes_outlive_a_kill() {
    outlives("kill").await;
}
