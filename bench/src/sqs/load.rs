//! The load on an SQS queue: connections side by side in one thread, each with one request at a
//! time.

use super::http::{Connection, connect_all, request};
use crate::load::{instant, pause};
use anyhow::{Context, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{borrow::Cow, cell::Cell, time::Duration};

/// What the connections do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Send,
    SendBatch,
    ReceiveDelete,
    ReceiveDeleteBatch,
}

/// In the order in which they run on a queue: what is received was sent before.
pub(super) const WORKS: [Work; 4] =
    [Work::Send, Work::SendBatch, Work::ReceiveDelete, Work::ReceiveDeleteBatch];

impl Work {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Send => "SendMessage",
            Self::SendBatch => "SendMessageBatch",
            Self::ReceiveDelete => "receive + delete",
            Self::ReceiveDeleteBatch => "receive + delete, in tens",
        }
    }
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) work: Work,
    pub(super) connections: usize,
    pub(super) body_bytes: usize,
    pub(super) time: Duration,
}

/// No run sends more than this, or brokers that keep messages in memory run out of it.
const SENT_BYTES_MAX: u64 = 1 << 30;

/// What is read of a received message.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message<'a> {
    #[serde(borrow)]
    receipt_handle: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Received<'a> {
    #[serde(borrow, rename = "Messages", default)]
    messages: Vec<Message<'a>>,
}

/// Makes a queue; gives its URL.
pub(super) async fn create_queue(address: &str, name: &str) -> anyhow::Result<String> {
    let body = json!({ "QueueName": name, "Attributes": { "VisibilityTimeout": "600" } });
    let made = Connection::connect(address).await?.ask("CreateQueue", &body).await?;
    Ok(made["QueueUrl"].as_str().context("no queue URL")?.to_owned())
}

/// Takes a queue away.
pub(super) async fn delete_queue(address: &str, url: &str) -> anyhow::Result<()> {
    let body = json!({ "QueueUrl": url });
    Connection::connect(address).await?.ask("DeleteQueue", &body).await.map(|_| ())
}

/// How many messages a batch has: ten, as long as it is below the old bound of 256 KiB.
fn batch_messages(body_bytes: usize) -> usize {
    (192 * 1024 / body_bytes).clamp(1, 10)
}

/// A request that sends, and how many messages.
fn sending(url: &str, body_bytes: usize, is_batch: bool) -> (Bytes, u64) {
    let body = "x".repeat(body_bytes);
    if !is_batch {
        return (request("SendMessage", &json!({ "QueueUrl": url, "MessageBody": body })), 1);
    }
    let count = batch_messages(body_bytes);
    let entries: Vec<Value> =
        (0..count).map(|id| json!({ "Id": id.to_string(), "MessageBody": body })).collect();
    let batch = json!({ "QueueUrl": url, "Entries": entries });
    (request("SendMessageBatch", &batch), u64::try_from(count).unwrap_or(1))
}

/// Runs a load; gives messages per second.
pub(super) async fn run(address: &str, url: &str, load: &Load) -> anyhow::Result<f64> {
    let connections = connect_all(address, load.connections).await?;
    let count = Cell::new(0);
    let started = instant();
    try_join_all(connections.into_iter().map(|connection| async {
        match load.work {
            Work::Send | Work::SendBatch => send(connection, url, load, &count).await,
            Work::ReceiveDelete | Work::ReceiveDeleteBatch => {
                receive(connection, url, load, &count).await
            }
        }
    }))
    .await?;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    Ok(count.get() as f64 / started.elapsed().as_secs_f64())
}

async fn send(
    mut connection: Connection,
    url: &str,
    load: &Load,
    count: &Cell<u64>,
) -> anyhow::Result<()> {
    let (request, messages) = sending(url, load.body_bytes, load.work == Work::SendBatch);
    let count_max = SENT_BYTES_MAX / u64::try_from(load.body_bytes)?;
    let started = instant();
    while started.elapsed() < load.time && count.get() < count_max {
        let answer = connection.call(&request).await?;
        ensure!(!answer.windows(10).any(|w| w == b"\"SenderFau"), "a message was refused");
        count.set(count.get() + messages);
    }
    Ok(())
}

/// Until the time is over, or there is nothing more.
async fn receive(
    mut connection: Connection,
    url: &str,
    load: &Load,
    count: &Cell<u64>,
) -> anyhow::Result<()> {
    let is_batch = load.work == Work::ReceiveDeleteBatch;
    let n = if is_batch { 10 } else { 1 };
    let receiving =
        request("ReceiveMessage", &json!({ "QueueUrl": url, "MaxNumberOfMessages": n }));
    let started = instant();
    while started.elapsed() < load.time {
        let answer = connection.call(&receiving).await?;
        let received: Received<'_> = serde_json::from_slice(&answer)?;
        if received.messages.is_empty() {
            return Ok(());
        }
        let got = received.messages.len();
        let deleting = if is_batch {
            let entry = |(id, message): (usize, &Message<'_>)| json!({ "Id": id.to_string(), "ReceiptHandle": message.receipt_handle });
            let entries: Vec<Value> = received.messages.iter().enumerate().map(entry).collect();
            request("DeleteMessageBatch", &json!({ "QueueUrl": url, "Entries": entries }))
        } else {
            let handle = &received.messages[0].receipt_handle;
            request("DeleteMessage", &json!({ "QueueUrl": url, "ReceiptHandle": handle }))
        };
        connection.call(&deleting).await?;
        count.set(count.get() + u64::try_from(got)?);
    }
    Ok(())
}

/// Puts so many messages into a queue.
pub(super) async fn fill(address: &str, url: &str, count: u64) -> anyhow::Result<()> {
    let (request, messages) = sending(url, 200, true);
    let sent = Cell::new(0);
    let (request, sent) = (&request, &sent);
    let connections = connect_all(address, 16).await?;
    try_join_all(connections.into_iter().map(|mut connection| async move {
        while sent.get() < count {
            sent.set(sent.get() + messages);
            connection.call(request).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(())
}

/// From before a send to the answer of a receive that waited for it, in microseconds, sorted.
pub(super) async fn latency(address: &str, url: &str, time: Duration) -> anyhow::Result<Vec<u128>> {
    let mut sender = Connection::connect(address).await?;
    let mut receiver = Connection::connect(address).await?;
    let receiving = request("ReceiveMessage", &json!({ "QueueUrl": url, "WaitTimeSeconds": 20 }));
    let (mut micros, started) = (Vec::new(), instant());
    while started.elapsed() < time {
        let body = micros.len().to_string();
        let sending = request("SendMessage", &json!({ "QueueUrl": url, "MessageBody": body }));
        receiver.send(&receiving).await?;
        // So that it waits.
        pause(Duration::from_millis(5)).await;
        let sent = instant();
        sender.send(&sending).await?;
        let answer = receiver.receive().await?;
        micros.push(sent.elapsed().as_micros());
        sender.receive().await?;
        let received: Received<'_> = serde_json::from_slice(&answer)?;
        let message = received.messages.first().context("the long poll came back empty")?;
        ensure!(message.body == body, "another message came");
        let handle = &message.receipt_handle;
        let deleting = json!({ "QueueUrl": url, "ReceiptHandle": handle });
        sender.call(&request("DeleteMessage", &deleting)).await?;
    }
    micros.sort_unstable();
    Ok(micros)
}

/// What a send takes to a broker that does nothing and back, in milliseconds, the median.
pub(super) async fn round_trip(address: &str) -> anyhow::Result<f64> {
    let mut connection = Connection::connect(address).await?;
    let (sending, _) = sending("x", 1, false);
    let mut millis = Vec::new();
    for _ in 0..5000 {
        let started = instant();
        connection.call(&sending).await?;
        millis.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(crate::figures::median(millis))
}

/// Long polls that wait, spread over these queues.
pub(super) async fn long_polls(
    address: &str,
    urls: &[String],
    count: usize,
) -> anyhow::Result<Vec<Connection>> {
    let mut all = connect_all(address, count).await?;
    for (at, connection) in all.iter_mut().enumerate() {
        let body = json!({ "QueueUrl": urls[at % urls.len()], "WaitTimeSeconds": 20 });
        connection.send(&request("ReceiveMessage", &body)).await?;
    }
    Ok(all)
}
