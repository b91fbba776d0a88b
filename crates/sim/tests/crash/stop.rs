//! SIGTERM under load: the process ends by itself in bounded time, what it acknowledged is there,
//! and clients find the next one by themselves.

use crate::{
    audit::consume,
    connection::Connection,
    load::{Shape, produce},
    machine::SMALL,
    site::{Site, together},
};
use std::{
    io::Write,
    net::TcpStream,
    time::{Duration, Instant},
};

const ROUNDS: u64 = 4;
/// The broker's `shutdown_timeout`, and a little for the last sync.
const STOP_MAX: Duration = Duration::from_secs(12);
const RESUME_MAX: Duration = Duration::from_secs(5);

#[test]
fn sigterm_under_load_ends_in_time_with_everything_acknowledged() {
    let _turn = together();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    admin.create_topic(&mut world.must_connect(), "stopped", 3, None);
    world.go_on(u64::MAX);
    let mut threads = produce(world, random, 4, Shape::MIXED);
    threads.extend(consume(world, random, 2));
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        assert!(world.wait_for_more(200, RESUME_MAX), "clients do not come back");
        std::thread::sleep(Duration::from_millis(random.below(500)));
        // None of them may hold the end up: idle, within a request, waiting for a record.
        let idle = world.must_connect();
        let mut half = TcpStream::connect(machine.kafka()).expect("the broker is up");
        half.write_all(&[0, 0]).expect("the broker is up");
        let tail = http_tail(machine.http());
        world.say("SIGTERM");
        let started = Instant::now();
        let status = machine.stop();
        let took = started.elapsed();
        slowest = slowest.max(took);
        assert!(status.success(), "{status}\n{}", machine.log());
        assert!(took < STOP_MAX, "it took {took:?}\n{}", machine.log());
        assert!(machine.says("stopped"), "{}", machine.log());
        machine.start();
        drop::<(Connection, TcpStream, TcpStream)>((idle, half, tail));
    }
    assert!(world.wait_for_more(200, RESUME_MAX), "clients do not come back");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    eprintln!("{ROUNDS} stops, the slowest took {slowest:?}");
    site.expect_good(&machine, 1000);
}

/// A request that is answered for as long as somebody reads.
fn http_tail(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the broker is up");
    let request = format!("GET /v1/topics/stopped/tail HTTP/1.1\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the broker is up");
    stream
}
