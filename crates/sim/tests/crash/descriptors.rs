//! No file descriptors left: connections beyond what the process may have open are turned away
//! or wait, without a spin, and those that are there go on, files that roll over included.

use crate::{
    audit::consume,
    connection::Connection,
    http,
    load::{Shape, produce},
    machine::SMALL,
    site::{Site, together},
};
use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

const DESCRIPTORS_MAX: u64 = 256;
const CONNECTIONS: usize = 1000;
const CONNECT_MAX: Duration = Duration::from_millis(500);
const EXHAUSTED: Duration = Duration::from_secs(4);
const RESUME_MAX: Duration = Duration::from_secs(5);
const PRODUCERS: usize = 2;
/// Of one processor, by the whole process, with some load on it.
const PROCESSOR_MAX: f64 = 0.7;

#[test]
fn without_descriptors_those_who_are_there_go_on_and_nothing_spins() {
    let _turn = together();
    let mut site = Site::open();
    let data = site.path().join("data");
    let limit = format!("ulimit -n {DESCRIPTORS_MAX} && exec \"$@\"");
    let mut machine = site.machine(&data, SMALL).through_shell(&limit);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    admin.create_topic(&mut world.must_connect(), "few", 3, None);
    world.go_on(u64::MAX);
    let mut threads = produce(world, random, PRODUCERS, Shape::MIXED);
    threads.extend(consume(world, random, 1));
    let mut connection = world.must_connect();
    assert!(world.wait_for_more(300, RESUME_MAX), "nothing is acknowledged");

    world.say("descriptors run out");
    let (crowd, crowd_http) = (crowd(machine.kafka()), crowd(machine.http()));
    eprintln!("{} and {} connections", crowd.len(), crowd_http.len());
    let (started, before) = (Instant::now(), machine.usage());
    assert!(before.descriptors > DESCRIPTORS_MAX / 3, "{before:?}");
    while started.elapsed() < EXHAUSTED {
        assert!(world.wait_for_more(100, RESUME_MAX), "the clients that were there are stuck");
        auditor.ends(&mut connection, "few", 0).expect("an answer").expect("the topic's ends");
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = machine.usage();
    let busy = (after.processor - before.processor).as_secs_f64() / started.elapsed().as_secs_f64();
    eprintln!("{} descriptors, {busy:.2} of a processor", after.descriptors);
    assert!(busy < PROCESSOR_MAX, "{busy:.2} of a processor: it spins\n{}", machine.log());
    // Files of the store roll over and retire, all the while.
    let segments = std::fs::read_dir(data.join("seg")).map_or(0, Iterator::count);
    assert!(segments > 0, "nothing was ever retired");

    drop((crowd, crowd_http));
    world.say("descriptors come back");
    let started = Instant::now();
    while Connection::open(machine.kafka()).is_err() {
        assert!(started.elapsed() < RESUME_MAX, "nobody gets in any more\n{}", machine.log());
        std::thread::sleep(Duration::from_millis(20));
    }
    let health = http::get(machine.http(), "/healthz").expect("an answer");
    assert_eq!(health.0, 200);
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 1000);
}

/// As many connections as there is room for, in the process and before it.
fn crowd(address: &str) -> Vec<TcpStream> {
    let address = address.parse().expect("a socket's address");
    let connect = |_| TcpStream::connect_timeout(&address, CONNECT_MAX).ok();
    (0..CONNECTIONS).map_while(connect).collect()
}
