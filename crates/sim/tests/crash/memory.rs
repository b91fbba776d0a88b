//! Little memory: a control group holds the broker to 256 MiB, files' pages included, while a
//! backlog of a million messages grows and is read back, large requests come in side by side
//! while the disk is slow, requests stay half sent, and readers do not read.

use crate::{
    audit::{fetch_once, read_all},
    cgroup::Cgroup,
    connection::Connection,
    load::{PRODUCE_VERSION, produce_request, wall_clock},
    site::{Site, together},
};
use bytes::Bytes;
use std::{
    io::Write,
    net::TcpStream,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, Instant},
};
use tramline_record::{BatchBuilder, Compression};
use tramline_sim::live::leave_out;
use tramline_types::Message;
use tramline_wire::{
    KafkaStr,
    kafka::{FetchRequest, fetch},
};

const LIMIT: u64 = 256 << 20;
const CONFIG: &str = "memory_budget = \"64 MiB\"\n[groups]\ninitial_rebalance_delay = \"0s\"\n";
const PARTITIONS: u32 = 4;
const MESSAGES: u64 = 1_000_000;
const BATCH: u64 = 1000;
const BODY: usize = 100;
/// Connections that each send this many requests of a MiB.
const SENDERS: u32 = 32;
const LARGE_EACH: u64 = 8;
/// What the disk takes per second while the large requests come: more than that waits.
const SLOW: u64 = 40 << 20;
/// Connections that declare a large request and send a part of it, and that read nothing.
const SILENT: usize = 16;
const ANSWER_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_backlog_and_large_requests_fit_into_little_memory() {
    let _turn = together();
    let site = Site::open();
    let limit = match Cgroup::of_memory(LIMIT) {
        Ok(limit) => limit,
        Err(reason) => {
            leave_out("memory-limit", &reason);
            return;
        }
    };
    let data = site.path().join("data");
    // Where the disk cannot be slowed down, it is as fast as it is.
    let device = device(site.path());
    let disk = Cgroup::of_writes(&device, u64::MAX >> 1).ok();
    let limits: Vec<_> = disk.iter().chain([&limit]).collect();
    let mut machine = site.machine(&data, CONFIG).through_shell(&Cgroup::script_of(&limits));
    let Site { world, admin, .. } = &site;
    machine.start();
    world.set_address(machine.kafka());
    let mut connection = world.must_connect();
    admin.create_topic(&mut connection, "backlog", PARTITIONS, None);
    admin.create_topic_with(&mut connection, "large", 1, &[("max.message.bytes", "2097152")]);

    each_partition(|partition| send_backlog(&mut world.must_connect(), partition));
    let stored = machine.usage();
    each_partition(|partition| read_backlog(&mut world.must_connect(), partition));
    eprintln!("after writing {stored:?}, after reading {:?}", machine.usage());

    if let Some(disk) = &disk {
        disk.set_writes(&device, Some(SLOW)).expect("the limit can be set");
    }
    let sent = std::thread::scope(|scope| {
        let send = || scope.spawn(|| send_large(&mut world.must_connect()));
        let senders: Vec<_> = (0..SENDERS).map(|_| send()).collect();
        senders.into_iter().map(|sender| sender.join().is_ok()).filter(|sent| *sent).count()
    });
    assert_eq!(sent, SENDERS as usize, "{} were killed\n{}", limit.kills(), machine.log());
    eprintln!("after large requests {:?}", machine.usage());
    if let Some(disk) = &disk {
        disk.set_writes(&device, None).expect("the limit can be set");
    }
    // Who sends and reads nothing keeps nobody from small requests.
    let silent = silent(machine.kafka(), world.must_connect());
    let started = Instant::now();
    let mut connection = world.must_connect();
    send(&mut connection, ("large", 0), batch(0, 1, BODY));
    fetch_once(&mut connection, ("backlog", 0), 0).expect("an answer");
    assert!(started.elapsed() < ANSWER_MAX, "others wait for {:?}", started.elapsed());
    drop(silent);
    eprintln!("at the end {:?}", machine.usage());
    assert_eq!(limit.kills(), 0, "the kernel killed it\n{}", machine.log());
    // The rest is for the files' pages.
    assert!(machine.usage().memory_max < LIMIT / 4 * 3, "{:?}", machine.usage());
    assert!(machine.stop().success(), "{}", machine.log());
}

/// The device that a directory lies on, as `major:minor`.
fn device(directory: &Path) -> String {
    let device = directory.metadata().expect("the directory is there").dev();
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

fn each_partition(work: impl Fn(u32) + Sync) {
    std::thread::scope(|scope| {
        for partition in 0..PARTITIONS {
            let work = &work;
            scope.spawn(move || work(partition));
        }
    });
}

/// Records with the numbers from `first`.
fn batch(first: u64, records: u64, bytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for number in first..first + records {
        let mut body = vec![0; bytes];
        body[..8].copy_from_slice(&number.to_be_bytes());
        let message = Message { value: Some(body.into()), ..Message::default() };
        builder.push(&message, wall_clock());
    }
    builder.build().expect("the batch has records and is small").bytes().clone()
}

fn send(connection: &mut Connection, place: (&str, u32), batch: Bytes) {
    let request = produce_request(place, batch);
    let answer = connection.call(&request, PRODUCE_VERSION).expect("an answer");
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
}

fn send_backlog(connection: &mut Connection, partition: u32) {
    let messages = MESSAGES / u64::from(PARTITIONS);
    for first in (0..messages).step_by(usize::try_from(BATCH).expect("a small number")) {
        send(connection, ("backlog", partition), batch(first, BATCH, BODY));
    }
}

fn read_backlog(connection: &mut Connection, partition: u32) {
    let records = read_all(connection, ("backlog", partition)).expect("all can be read");
    let numbers = records.iter().map(|(offset, record)| {
        let body = record.value.as_deref().and_then(|body| body.first_chunk());
        (*offset, body.map_or(u64::MAX, |number| u64::from_be_bytes(*number)))
    });
    let expected = (0..MESSAGES / u64::from(PARTITIONS)).map(|number| (number, number));
    assert!(numbers.eq(expected), "`backlog`/{partition} is not what was sent");
}

fn send_large(connection: &mut Connection) {
    for number in 0..LARGE_EACH {
        send(connection, ("large", 0), batch(number, 1, 1 << 20));
    }
}

/// Requests of which only a part comes, and answers that nobody takes.
fn silent(address: &str, mut reader: Connection) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let connection = Connection::open(address).expect("the broker is up");
        let mut stream = connection.into_stream();
        stream.set_write_timeout(Some(Duration::from_millis(200))).expect("a socket");
        stream.write_all(&(90_i32 << 20).to_be_bytes()).expect("the broker is up");
        // It need not take more of it than it likes.
        drop(stream.write_all(&vec![0; 4 << 20]));
        silent.push(stream);
        let mut greedy = Connection::open(address).expect("the broker is up");
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: 10,
            min_bytes: 1,
            max_bytes: 50 << 20,
            session_epoch: -1,
            topics: vec![fetch::FetchTopic {
                topic: KafkaStr::from_static("backlog"),
                partitions: vec![fetch::FetchPartition {
                    partition_max_bytes: 50 << 20,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        for _ in 0..4 {
            greedy.send(&request, 11).expect("the broker is up");
        }
        silent.push(greedy.into_stream());
    }
    fetch_once(&mut reader, ("backlog", 0), 0).expect("an answer");
    silent
}
