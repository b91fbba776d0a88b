//! The wall clock set wrong while the broker runs, by an hour and by a day, ahead and back, at
//! once and little by little: groups keep their members, nothing expires early or all at once,
//! and what is stored can still be found by its time.

use crate::{
    audit::consume,
    connection::Connection,
    load::{Client, PRODUCE_VERSION, Shape, produce, produce_request, wall_clock},
    machine::SMALL,
    member::Member,
    site::{Site, together},
    wall_clock::WallClock,
};
use bytes::Bytes;
use std::{
    sync::atomic::{AtomicI32, Ordering},
    time::{Duration, Instant},
};
use tramline_record::{Batch, BatchBuilder, Compression};
use tramline_sim::live::leave_out;
use tramline_sim::{Step, payload};
use tramline_types::Message;
use tramline_wire::{
    KafkaStr,
    kafka::{FetchRequest, ListOffsetsRequest, fetch, list_offsets},
};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
const JUMPS_MS: [i64; 6] = [HOUR_MS, -HOUR_MS, DAY_MS, -DAY_MS, 2 * DAY_MS, 0];
/// How long the clock stays wrong; retention and expiry are looked at every second.
const WRONG: Duration = Duration::from_millis(1600);
/// How much the clock drifts in one of so many steps.
const DRIFT_STEP_MS: i64 = 60_000;
const DRIFT_STEPS: i64 = 20;
const EXPIRY_MAX: Duration = Duration::from_secs(15);
const RESUME_MAX: Duration = Duration::from_secs(5);
/// Of "this offset was appended at this time", for what passes between.
const NEAR_MS: i64 = 60_000;
const OPENED_BYTES_MAX: usize = 1 << 24;

/// Retention, expiry of offsets and of producers, all of them longer than the test takes and
/// shorter than a jump.
fn config() -> String {
    SMALL.replace("[topics]", "[topics]\nproducer_expiration = \"1h\"").replace(
        "initial_rebalance_delay = \"0s\"",
        "initial_rebalance_delay = \"0s\"\noffsets_retention = \"30m\"",
    )
}

#[test]
fn a_clock_that_is_set_wrong_expires_nothing_and_moves_no_member() {
    let _turn = together();
    let mut site = Site::open();
    let clock = match WallClock::make(site.path()) {
        Ok(clock) => clock,
        Err(reason) => {
            leave_out("clock-shim", &reason);
            return;
        }
    };
    let data = site.path().join("data");
    let mut machine = clock.give_to(site.machine(&data, &config()));
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    let mut connection = world.must_connect();
    let stamped = [("message.timestamp.type", "LogAppendTime")];
    admin.create_topic_with(&mut connection, "stamped", 2, &stamped);
    let hour = [("retention.ms", "1800000"), ("segment.bytes", "1048576")];
    admin.create_topic_with(&mut connection, "kept", 1, &hour);
    produce_one(admin, &mut connection, "kept", "anchor");
    admin.commit(&mut connection, "idle", ("kept", 0), 1).expect("it is taken");

    let mut members =
        [Member::of_all(world, random, "member-0"), Member::of_all(world, random, "member-1")];
    let mut connections = [world.must_connect(), world.must_connect()];
    settle(&mut members, &mut connections);
    let shape = Shape { records_max: 3, ..Shape::MIXED };
    world.go_on(u64::MAX);
    let mut threads = produce(world, random, 2, shape);
    threads.extend(consume(world, random, 1));
    let mut watch = |time: Duration| {
        let started = Instant::now();
        while started.elapsed() < time {
            for (member, connection) in members.iter().zip(&mut connections) {
                let code = member.heartbeat(connection).expect("an answer");
                assert_eq!(code, 0, "a member was moved");
            }
            let connection = &mut connections[0];
            let end = auditor.ends(connection, "kept", 0).expect("an answer");
            assert_eq!(end.map(|end| end.start), Some(0), "retention fired");
            let committed = auditor.fetch_committed(connection, "idle", "kept", 0);
            assert_eq!(committed.expect("an answer"), Some(Some(1)), "offsets expired");
            std::thread::sleep(Duration::from_millis(200));
        }
    };
    for jump in JUMPS_MS {
        world.say(&format!("the clock is off by {} h", jump / HOUR_MS));
        clock.set(jump);
        watch(WRONG);
        assert!(world.wait_for_more(50, RESUME_MAX), "clients do not go on");
        let at = produce_one(admin, &mut connection, "stamped", &format!("at-{jump}"));
        let off = at - wall_clock().as_millis();
        assert!((off - jump).abs() < NEAR_MS, "the broker's clock is off by {off} ms");
    }
    for step in (1..=DRIFT_STEPS).chain((0..DRIFT_STEPS).rev()) {
        clock.set(step * DRIFT_STEP_MS);
        watch(Duration::from_millis(30));
    }
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    expires_in_time(admin, &mut connection);
    finds_by_time(&mut connection);
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 300);
}

/// Brings all members into one generation.
pub(crate) fn settle(members: &mut [Member], connections: &mut [Connection]) {
    let generations: Vec<AtomicI32> = members.iter().map(|_| AtomicI32::new(-1)).collect();
    let same = || {
        generations
            .windows(2)
            .all(|two| two[0].load(Ordering::SeqCst) == two[1].load(Ordering::SeqCst))
    };
    std::thread::scope(|scope| {
        for ((member, connection), generation) in
            members.iter_mut().zip(connections).zip(&generations)
        {
            scope.spawn(|| {
                member.join(connection).expect("the group settles");
                generation.store(member.generation(), Ordering::SeqCst);
                while !same() {
                    if member.heartbeat(connection).expect("an answer") != 0 {
                        member.join(connection).expect("the group settles");
                        generation.store(member.generation(), Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
}

/// Sends one record to partition 0; the time that the broker gave it, in milliseconds.
fn produce_one(client: &mut Client, connection: &mut Connection, topic: &str, value: &str) -> i64 {
    let mut builder = BatchBuilder::new(Compression::None);
    let body = payload::encode(value, 100);
    builder.push(&Message { value: Some(body), ..Message::default() }, wall_clock());
    let batch = builder.build().expect("the batch has a record and is small");
    let partition = 0;
    let step =
        Step::Send { topic: topic.to_owned(), partition: Some(partition), value: value.to_owned() };
    let op = client.world.invoke(&client.name, step);
    let request = produce_request((topic, partition), batch.bytes().clone());
    let answer = connection.call(&request, PRODUCE_VERSION).expect("an answer");
    let answer = &answer.responses[0].partition_responses[0];
    assert_eq!(answer.error_code, 0, "`{value}` is refused");
    let offset = u64::try_from(answer.base_offset).ok();
    client.world.complete(&client.name, op, Step::SendOk { partition, offset });
    answer.log_append_time_ms
}

/// With the clock right again, what is old enough goes.
fn expires_in_time(admin: &mut Client, connection: &mut Connection) {
    admin.create_topic_with(connection, "short", 1, &[("retention.ms", "1000")]);
    produce_one(admin, connection, "short", "short-lived");
    let started = Instant::now();
    while admin.ends(connection, "short", 0).expect("an answer").map(|end| end.start) != Some(1) {
        assert!(started.elapsed() < EXPIRY_MAX, "nothing expires any more");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(started.elapsed() > Duration::from_millis(900), "it expired early");
}

/// A look-up by a time finds the first record that is as late as that, however times go.
fn finds_by_time(connection: &mut Connection) {
    let times = times(connection);
    assert!(times.windows(2).any(|two| two[0].1 > two[1].1), "no time went back");
    for (_, time) in times.iter().step_by(times.len() / 40 + 1) {
        let first = times.iter().find(|(_, other)| other >= time).map(|(offset, _)| *offset);
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![list_offsets::ListOffsetsTopic {
                name: KafkaStr::from_static("stamped"),
                partitions: vec![list_offsets::ListOffsetsPartition {
                    partition_index: 0,
                    timestamp: *time,
                    ..Default::default()
                }],
            }],
            ..Default::default()
        };
        let answer = connection.call(&request, 5).expect("an answer");
        let found = answer.topics[0].partitions[0].offset;
        assert_eq!(Some(found), first, "the first record at {time} or later");
    }
}

/// Offset and time of every record of `stamped`/0.
fn times(connection: &mut Connection) -> Vec<(i64, i64)> {
    let mut times: Vec<(i64, i64)> = Vec::new();
    loop {
        let next = times.last().map_or(0, |(offset, _)| offset + 1);
        let request = FetchRequest {
            replica_id: -1,
            max_wait_ms: 10,
            max_bytes: 4 << 20,
            session_epoch: -1,
            topics: vec![fetch::FetchTopic {
                topic: KafkaStr::from_static("stamped"),
                partitions: vec![fetch::FetchPartition {
                    partition: 0,
                    fetch_offset: next,
                    partition_max_bytes: 4 << 20,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = connection.call(&request, 11).expect("an answer");
        let records = answer.responses[0].partitions[0].records.as_ref();
        let mut rest: Bytes = records.map(|records| records.to_bytes()).unwrap_or_default();
        if rest.is_empty() {
            return times;
        }
        while let Some(batch) = Batch::decode_first(&mut rest).expect("whole batches") {
            let base = batch.header().base_offset;
            let records = batch.records(OPENED_BYTES_MAX).expect("whole records");
            let records =
                records.iter().map(|one| (base + i64::from(one.offset_delta), one.timestamp));
            times.extend(records.filter(|(offset, _)| *offset >= next));
        }
    }
}
