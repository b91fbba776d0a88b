//! A bare NATS client for load on a JetStream work queue: the protocol's texts, several in one
//! write.

use super::{load::Rates, wire::Wire};
use crate::{load::instant, server::sleep};
use anyhow::ensure;
use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

/// A connection.
pub(crate) struct Client {
    wire: Wire,
}

/// What came.
enum Event<'a> {
    /// A message: where to answer, and its body.
    Message {
        reply: &'a [u8],
        body: &'a [u8],
    },
    Other,
}

impl Client {
    pub(crate) fn connect(address: &str) -> anyhow::Result<Self> {
        let mut wire = Wire::connect(address, Duration::from_secs(10))?;
        wire.send(b"CONNECT {\"verbose\":false,\"headers\":true}\r\nPING\r\n")?;
        while !wire.have().ends_with(b"PONG\r\n") {
            ensure!(wire.read()? > 0, "no PONG");
        }
        wire.take(wire.have().len());
        Ok(Self { wire })
    }

    fn next(&mut self) -> Option<Event<'_>> {
        let have = self.wire.have();
        let line_end = have.windows(2).position(|pair| pair == b"\r\n")?;
        let line = &have[..line_end];
        if !line.starts_with(b"MSG ") {
            self.wire.take(line_end + 2);
            return Some(Event::Other);
        }
        // MSG subject sid [reply] bytes
        let words = line.split(|byte| *byte == b' ').count();
        let length = line.rsplit(|byte| *byte == b' ').next()?;
        let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
        let body_at = line_end + 2;
        have.get(body_at + length + 1)?;
        let message = self.wire.take(body_at + length + 2);
        let reply = message[..line_end].split(|byte| *byte == b' ').nth(3).filter(|_| words > 4);
        let reply = reply.unwrap_or_default();
        Some(Event::Message { reply, body: &message[body_at..body_at + length] })
    }

    /// Asks the JetStream API and gives its answer.
    fn ask(&mut self, subject: &str, body: &str) -> anyhow::Result<String> {
        let request = format!(
            "SUB _INBOX.api 9\r\nPUB $JS.API.{subject} _INBOX.api {}\r\n{body}\r\n",
            body.len()
        );
        self.wire.send(request.as_bytes())?;
        loop {
            while let Some(event) = self.next() {
                if let Event::Message { body, .. } = event {
                    let answer = String::from_utf8_lossy(body).into_owned();
                    ensure!(!answer.contains("\"error\""), "{subject}: {answer}");
                    self.wire.send(b"UNSUB 9\r\n")?;
                    return Ok(answer);
                }
            }
            ensure!(self.wire.read()? > 0, "no answer to {subject}");
        }
    }
}

/// A stream with the file store, a consumer with an acknowledgement for each message; publishes
/// with an acknowledgement each and this window. Gives the rates.
pub(crate) fn run(
    address: &str,
    body_bytes: usize,
    window: u64,
    time: Duration,
) -> anyhow::Result<Rates> {
    let mut admin = Client::connect(address)?;
    admin.ask(
        "STREAM.CREATE.bench",
        r#"{"name":"bench","subjects":["bench.q"],"retention":"workqueue","storage":"file","num_replicas":1}"#,
    )?;
    admin.ask(
        "CONSUMER.DURABLE.CREATE.bench.c",
        r#"{"stream_name":"bench","config":{"durable_name":"c","ack_policy":"explicit","deliver_policy":"all","deliver_subject":"bench.out","max_ack_pending":2000,"ack_wait":30000000000}}"#,
    )?;
    let rates = drive(address, body_bytes, window, time);
    admin.ask("STREAM.DELETE.bench", "")?;
    rates
}

fn drive(address: &str, body_bytes: usize, window: u64, time: Duration) -> anyhow::Result<Rates> {
    let stop = Arc::new(AtomicBool::new(false));
    let (published, consumed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let ready = Arc::new(Barrier::new(3));
    let consumer = {
        let (stop, consumed, ready) =
            (Arc::clone(&stop), Arc::clone(&consumed), Arc::clone(&ready));
        let client = Client::connect(address);
        thread::spawn(move || {
            let done = consume(client, &ready, &stop, &consumed);
            stop.store(true, Relaxed);
            done
        })
    };
    let publisher = {
        let (stop, count, ready) = (Arc::clone(&stop), Arc::clone(&published), Arc::clone(&ready));
        let client = Client::connect(address);
        thread::spawn(move || {
            let done = publish(client, (body_bytes, window), &ready, (&stop, &count));
            stop.store(true, Relaxed);
            done
        })
    };
    ready.wait();
    sleep(Duration::from_millis(700));
    let counts = || (published.load(Relaxed), consumed.load(Relaxed));
    let (before, started) = (counts(), instant());
    sleep(time);
    let (after, seconds) = (counts(), started.elapsed().as_secs_f64());
    stop.store(true, Relaxed);
    for thread in [consumer, publisher] {
        thread.join().map_err(|_| anyhow::anyhow!("a load thread failed"))??;
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = |from: u64, to: u64| (to - from) as f64 / seconds;
    Ok(Rates { published: rate(before.0, after.0), consumed: rate(before.1, after.1) })
}

fn publish(
    client: anyhow::Result<Client>,
    (body_bytes, window): (usize, u64),
    ready: &Barrier,
    (stop, count): (&AtomicBool, &AtomicU64),
) -> anyhow::Result<()> {
    ready.wait();
    let mut client = client?;
    client.wire.send(b"SUB _INBOX.pub 1\r\n")?;
    let body = "x".repeat(body_bytes);
    let one = format!("PUB bench.q _INBOX.pub {body_bytes}\r\n{body}\r\n");
    let many = one.repeat(64);
    let (mut sent, mut confirmed) = (0_u64, 0_u64);
    while !stop.load(Relaxed) {
        let room = usize::try_from(window - (sent - confirmed))?.min(64);
        client.wire.send(&many.as_bytes()[..room * one.len()])?;
        sent += u64::try_from(room)?;
        let before = confirmed;
        if sent - confirmed >= window {
            ensure!(client.wire.read()? > 0, "no acknowledgement in 10 s");
        } else {
            client.wire.try_read()?;
        }
        while let Some(event) = client.next() {
            if matches!(event, Event::Message { .. }) {
                confirmed += 1;
            }
        }
        count.fetch_add(confirmed - before, Relaxed);
    }
    Ok(())
}

fn consume(
    client: anyhow::Result<Client>,
    ready: &Barrier,
    stop: &AtomicBool,
    count: &AtomicU64,
) -> anyhow::Result<()> {
    let client = client.and_then(|mut client| {
        client.wire.send(b"SUB bench.out 2\r\n")?;
        client.wire.set_read_timeout(Duration::from_millis(100))?;
        Ok(client)
    });
    ready.wait();
    let mut client = client?;
    let mut acks = Vec::new();
    while !stop.load(Relaxed) {
        client.wire.read()?;
        acks.clear();
        let mut n = 0;
        while let Some(event) = client.next() {
            if let Event::Message { reply, .. } = event {
                n += 1;
                acks.extend_from_slice(b"PUB ");
                acks.extend_from_slice(reply);
                acks.extend_from_slice(b" 4\r\n+ACK\r\n");
            }
        }
        count.fetch_add(n, Relaxed);
        client.wire.send(&acks)?;
    }
    Ok(())
}
