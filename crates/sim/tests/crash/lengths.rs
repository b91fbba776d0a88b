//! Lengths that lie: 0, 1, the limits and their neighbours, i32::MAX, u32::MAX and -1, as the size
//! of a frame, in every place of every request, in batches that are stored and opened, and in
//! HTTP. Each costs its own connection at most; memory stays where it was.

use crate::{
    audit::fetch_once,
    connection::Connection,
    http,
    load::{PRODUCE_VERSION, produce_request, wall_clock},
    machine::SMALL,
    site::{Site, together},
    world::World,
};
use bytes::Bytes;
use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    path::Path,
    time::Duration,
};
use tramline_record::{BatchBuilder, Compression, crc32c};
use tramline_store::fs::sim::Random;
use tramline_types::Message;

const SIZES: [i32; 12] = [
    0,
    1,
    7,
    64 * 1024 - 1,
    64 * 1024,
    64 * 1024 + 1,
    100 << 20,
    (100 << 20) - 1,
    (100 << 20) + 1,
    i32::MAX,
    i32::MIN,
    -1,
];
/// As they appear within requests: 32 and 16 bits, and compact.
const LENGTHS: [&[u8]; 10] = [
    &[0, 0, 0, 0],
    &[0, 0, 0, 1],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff],
    &[0x06, 0x40, 0, 0],
    &[0, 0],
    &[0x7f, 0xff],
    &[0xff, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
];
/// How many of all requests with a lie are sent.
const REQUESTS: usize = 3000;
const SENDERS: usize = 4;
/// For an answer to a request that may wait for one.
const PATIENCE: Duration = Duration::from_millis(4);
const GROWTH_MAX: u64 = 64 << 20;

#[test]
fn lengths_that_lie_cost_their_own_connection_at_most() {
    let _turn = together();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    admin.create_topic(&mut world.must_connect(), "lies", 1, None);
    let before = machine.usage();
    for size in SIZES {
        for established in [false, true] {
            lie_about_the_frame(machine.kafka(), size, established);
        }
    }
    let samples = samples();
    assert!(samples.len() > 100, "only {} requests are known", samples.len());
    let lies: Vec<Vec<u8>> = (0..REQUESTS).map(|_| lie(&samples, random)).collect();
    std::thread::scope(|scope| {
        for lies in lies.chunks(REQUESTS / SENDERS) {
            let address = machine.kafka();
            scope.spawn(move || lies.iter().for_each(|lie| send_frame(address, lie)));
        }
    });
    let honest = honest_batch();
    for lie in lies_of_the_header(&honest) {
        assert_ne!(send(world, lie.clone()), 0, "taken: {lie:?}");
    }
    let lies = lies_within_records(&honest);
    let taken = lies.into_iter().filter(|batch| send(world, batch.clone()) == 0).count();
    assert_eq!(send(world, honest), 0, "an honest batch is refused");
    for path in ["messages?partition=0&offset=0", "messages?partition=0&offset=1"] {
        http::get(machine.http(), &format!("/v1/topics/lies/{path}")).expect("an answer");
    }
    lie_to_http(machine.http());
    let after = machine.usage();
    let grown = after.memory_max.saturating_sub(before.memory_max);
    eprintln!("{taken} lying batches were taken; memory grew by {} MiB at most", grown >> 20);
    assert!(grown < GROWTH_MAX, "memory grew by {} MiB", grown >> 20);
    assert!(machine.exited().is_none(), "{}", machine.log());
    assert!(!machine.says("panicked"), "{}", machine.log());
    let answer = fetch_once(&mut world.must_connect(), ("lies", 0), 0).expect("an answer");
    assert_eq!(answer.error_code, 0);
    assert!(machine.stop().success(), "{}", machine.log());
}

fn lie_about_the_frame(address: &str, size: i32, established: bool) {
    let mut stream = match established {
        true => Connection::open(address).expect("the broker is up").into_stream(),
        false => TcpStream::connect(address).expect("the broker is up"),
    };
    // The broker may close before all is sent.
    drop(stream.write_all(&[&size.to_be_bytes()[..], &[0; 64]].concat()));
    finish(stream);
}

/// Sends what there is to send and takes what comes at once.
fn finish(mut stream: TcpStream) {
    drop(stream.shutdown(Shutdown::Write));
    drop(stream.set_read_timeout(Some(PATIENCE)));
    drop(stream.read(&mut [0; 4096]));
}

fn send_frame(address: &str, frame: &[u8]) {
    let mut stream = TcpStream::connect(address).expect("the broker is up");
    drop(stream.write_all(frame));
    // As a client does that waits: what is half closed is given up.
    drop(stream.set_read_timeout(Some(PATIENCE)));
    drop(stream.read(&mut [0; 4096]));
}

/// Every request of every version, as Apache Kafka's client writes it, with its header.
fn samples() -> Vec<Vec<u8>> {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wire/tests/golden");
    let read = |name: &str| fs::read_to_string(golden.join(name)).expect("the file is there");
    let mut samples = Vec::new();
    for line in read("apis.txt").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [key, name, version, header, ..] = words[..] else { continue };
        let (key, number): (i16, i16) =
            (key.parse().expect("an API key"), version.parse().expect("a version"));
        for sample in read(&format!("{name}.hex")).lines() {
            let words: Vec<&str> = sample.split(' ').collect();
            if words[0] != "request" || words[1] != version {
                continue;
            }
            let mut request = [key.to_be_bytes(), number.to_be_bytes()].concat();
            request.extend(1_i32.to_be_bytes());
            request.extend((-1_i16).to_be_bytes());
            request.extend((header == "2").then_some(0));
            request.extend(unhex(words.get(3).copied().unwrap_or_default()));
            samples.push(request);
        }
    }
    samples
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()).expect("a digit"))
        .collect();
    digits.chunks_exact(2).map(|two| two[0] << 4 | two[1]).collect()
}

/// One request in which one place holds another length.
fn lie(samples: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut request = samples[random.index(samples.len())].clone();
    let length = LENGTHS[random.index(LENGTHS.len())];
    let at = 8 + random.index(request.len() - 8);
    let end = (at + length.len()).min(request.len());
    request.splice(at..end, length.iter().copied());
    let size = u32::try_from(request.len()).expect("a small request");
    [&size.to_be_bytes()[..], &request].concat()
}

fn honest_batch() -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for text in ["one", "two", "three"] {
        let value = Some(Bytes::from_static(text.as_bytes()));
        builder.push(&Message { value, ..Message::default() }, wall_clock());
    }
    builder.build().expect("the batch has records").bytes().clone()
}

/// Right checksums around wrong lengths: of the batch, the last offset, the number of records.
fn lies_of_the_header(honest: &Bytes) -> Vec<Bytes> {
    let mut lies = Vec::new();
    for at in [8, 23, 57] {
        for value in [0, 1, 2, 3, 4, -1, i32::MAX, i32::MIN] {
            let mut batch = honest.to_vec();
            batch[at..at + 4].copy_from_slice(&value.to_be_bytes());
            lies.extend((batch != honest[..]).then(|| with_checksum(batch)));
        }
    }
    lies
}

/// Right checksums around records that lie about themselves.
fn lies_within_records(honest: &Bytes) -> Vec<Bytes> {
    let mut lies = Vec::new();
    for at in 61..honest.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut batch = honest.to_vec();
            batch[at] = byte;
            lies.push(with_checksum(batch));
        }
    }
    lies
}

fn with_checksum(mut batch: Vec<u8>) -> Bytes {
    let crc = crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

fn send(world: &World, batch: Bytes) -> i16 {
    let request = produce_request(("lies", 0), batch);
    let answer = world.must_connect().call(&request, PRODUCE_VERSION).expect("an answer");
    answer.responses[0].partition_responses[0].error_code
}

fn lie_to_http(address: &str) {
    let length = |text: &str| format!("Content-Length: {text}\r\n\r\n{{}}");
    let chunked = |size: &str| format!("Transfer-Encoding: chunked\r\n\r\n{size}\r\n{{}}");
    let lies =
        ["0", "1", "2147483647", "4294967295", "18446744073709551615", "-1", "9e9"].map(length);
    let chunks = ["0", "7fffffff", "ffffffff", "ffffffffffffffff", "-1"].map(chunked);
    for lie in lies.into_iter().chain(chunks) {
        let head = format!("POST /v1/topics/lies/messages HTTP/1.1\r\nHost: {address}\r\n");
        let request = format!("{head}Content-Type: application/json\r\n{lie}");
        let mut stream = TcpStream::connect(address).expect("the broker is up");
        drop(stream.write_all(request.as_bytes()));
        finish(stream);
    }
}
