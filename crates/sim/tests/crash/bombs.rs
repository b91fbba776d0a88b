//! Batches that open to two hundred times their size: wherever the broker opens one, memory stays
//! bounded, the answer is an error, and others are served.

use crate::{
    audit::fetch_once,
    http,
    load::{PRODUCE_VERSION, produce_request, wall_clock},
    machine::Machine,
    site::{Site, together},
    world::World,
};
use bytes::Bytes;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use tramline_record::{BatchBuilder, Compression};
use tramline_types::Message;

/// What each batch opens to: more than a batch may.
const OPENED: usize = 160 << 20;
const READERS: usize = 12;
/// Above what the broker took before: its `memory_budget`.
const GROWTH_MAX: u64 = 256 << 20;
const ANSWER_MAX: Duration = Duration::from_secs(10);
const CODECS: [Compression; 3] = [Compression::Gzip, Compression::Lz4, Compression::Zstd];
/// Settings under which a broker may want to open what it gets; those that it refuses count not.
const OPENERS: [&[(&str, &str)]; 4] = [
    &[],
    &[("message.timestamp.type", "LogAppendTime")],
    &[("compression.type", "gzip")],
    &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")],
];

#[test]
fn batches_that_open_to_much_more_cost_bounded_memory() {
    let _turn = together();
    let site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, "");
    let Site { world, admin, .. } = &site;
    machine.start();
    world.set_address(machine.kafka());
    let mut topics = Vec::new();
    for (i, opener) in OPENERS.iter().enumerate() {
        let name = format!("bombs-{i}");
        let settings: Vec<_> =
            opener.iter().copied().chain([("max.message.bytes", "4194304")]).collect();
        admin.create_topic_with(&mut world.must_connect(), &name, 1, &settings);
        topics.extend(world.topics().contains_key(&name).then_some(name));
    }
    let before = machine.usage().memory;
    let watching = AtomicBool::new(true);
    let highest = std::thread::scope(|scope| {
        let highest = scope.spawn(|| highest(&machine, &watching));
        let mut taken = 0;
        for codec in CODECS {
            let bomb = bomb(codec);
            for topic in &topics {
                taken += u32::from(send(world, topic, bomb.clone()) == 0);
            }
        }
        assert!(taken > 0, "no batch was taken: nothing is tested");
        std::thread::scope(|readers| {
            for i in 0..READERS {
                let topic = &topics[i % topics.len()];
                let address = machine.http();
                readers.spawn(move || read(address, topic));
            }
        });
        watching.store(false, Ordering::Relaxed);
        highest.join().expect("nothing here panics")
    });
    let grown = highest.saturating_sub(before);
    eprintln!("{} topics, memory grew by {} MiB", topics.len(), grown >> 20);
    assert!(grown < GROWTH_MAX, "memory grew by {} MiB\n{}", grown >> 20, machine.log());
    let started = Instant::now();
    let code = fetch_once(&mut world.must_connect(), (&topics[0], 0), 0).expect("an answer");
    assert_eq!(code.error_code, 0, "as they are, batches can be fetched");
    assert!(started.elapsed() < ANSWER_MAX);
    assert!(machine.exited().is_none(), "{}", machine.log());
    assert!(machine.stop().success(), "{}", machine.log());
}

fn bomb(codec: Compression) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    let (key, value) = (Some(Bytes::from_static(b"key")), Some(Bytes::from(vec![0; OPENED])));
    builder.push(&Message { key, value, ..Message::default() }, wall_clock());
    builder.build().expect("it is small once it is compressed").bytes().clone()
}

fn send(world: &World, topic: &str, batch: Bytes) -> i16 {
    let request = produce_request((topic, 0), batch);
    let answer = world.must_connect().call(&request, PRODUCE_VERSION).expect("an answer");
    answer.responses[0].partition_responses[0].error_code
}

/// Both ways in which HTTP opens batches; the tail ends with the time of its client.
fn read(address: &str, topic: &str) {
    let fetched = http::get(address, &format!("/v1/topics/{topic}/messages?partition=0&offset=0"));
    let (status, body) = fetched.expect("an answer");
    assert!(body.len() < OPENED, "it came out opened");
    assert!(status != 200 || !body.is_empty(), "status {status}");
    let tail = format!("GET /v1/topics/{topic}/tail?partition=0&offset=0 HTTP/1.0\r\n");
    let request = format!("{tail}Host: {address}\r\n\r\n");
    drop(http::exchange_for(address, request.as_bytes(), ANSWER_MAX / 10));
}

/// The most memory that the broker takes while somebody watches.
fn highest(machine: &Machine, watching: &AtomicBool) -> u64 {
    let mut highest = 0;
    while watching.load(Ordering::Relaxed) {
        highest = highest.max(machine.usage().memory);
        std::thread::sleep(Duration::from_millis(5));
    }
    highest
}
