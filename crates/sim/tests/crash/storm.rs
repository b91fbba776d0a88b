//! 5,000 clients that all come at once, and again when the broker has died: all get in, in bounded
//! time, at a bounded price each, and those who work go on.

use crate::{
    audit::consume,
    load::{Shape, produce},
    machine::{Machine, SMALL},
    site::{Site, alone},
};
use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tramline_sim::live::leave_out;
use tramline_wire::{
    KafkaStr,
    kafka::{ApiVersionsRequest, MetadataRequest, encode_request},
};

const CLIENTS: usize = 5000;
/// This process's and the broker's, with what else they have open.
const DESCRIPTORS_MIN: u64 = 12_000;
const ALL_IN_MAX: Duration = Duration::from_secs(60);
const RESUME_MAX: Duration = Duration::from_secs(10);
const PER_CONNECTION_MAX: u64 = 48 << 10;

#[test]
fn five_thousand_clients_come_at_once_and_come_again_after_a_crash() {
    let _turn = alone();
    let mut limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|maximum| maximum < DESCRIPTORS_MIN) {
        leave_out("descriptors", "a process may not have enough files open");
        return;
    }
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("up to the hard limit it may be raised");
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    admin.create_topic(&mut world.must_connect(), "storm", 3, None);
    world.go_on(u64::MAX);
    let shape = Shape { records_max: 3, ..Shape::MIXED };
    let mut threads = produce(world, random, 2, shape);
    threads.extend(consume(world, random, 1));
    assert!(world.wait_for_more(100, RESUME_MAX), "nothing is acknowledged");

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let inside = Arc::new(AtomicUsize::new(0));
    let before = machine.usage();
    world.say("5,000 clients come");
    let address: Arc<str> = machine.kafka().into();
    for _ in 0..CLIENTS {
        runtime.spawn(client(Arc::clone(&address), Arc::clone(&inside)));
    }
    let took = all_in(&inside, &machine);
    let each = machine.usage().memory.saturating_sub(before.memory) / 5000;
    eprintln!("{CLIENTS} clients are in after {took:?}, {each} bytes each");
    assert!(each < PER_CONNECTION_MAX, "{each} bytes for each connection");
    assert!(world.wait_for_more(100, RESUME_MAX), "those who work are stuck");

    world.say("kill -9, and they all come again");
    machine.kill();
    machine.start();
    let took = all_in(&inside, &machine);
    eprintln!("{CLIENTS} clients are in again after {took:?}");
    assert!(world.wait_for_more(100, RESUME_MAX), "those who work are stuck");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    runtime.shutdown_background();
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 200);
}

/// Waits until all clients have been answered on the connection that they have.
fn all_in(inside: &AtomicUsize, machine: &Machine) -> Duration {
    let started = Instant::now();
    while inside.load(Ordering::SeqCst) < CLIENTS {
        let n = inside.load(Ordering::SeqCst);
        assert!(started.elapsed() < ALL_IN_MAX, "only {n} clients are in\n{}", machine.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    started.elapsed()
}

/// Comes in, asks what a client asks, stays, and comes again when it is thrown out.
async fn client(address: Arc<str>, inside: Arc<AtomicUsize>) {
    loop {
        if let Ok(mut stream) = enter(&address).await {
            inside.fetch_add(1, Ordering::SeqCst);
            let mut byte = [0];
            // Nobody sends anything: this ends with the connection.
            drop(stream.read(&mut byte).await);
            inside.fetch_sub(1, Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn enter(address: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let name = || Some(KafkaStr::from_static("storm"));
    let versions = encode_request(&ApiVersionsRequest::default(), 0, 1, name());
    let metadata = MetadataRequest { topics: Some(Vec::new()), ..Default::default() };
    let metadata = encode_request(&metadata, 8, 2, name());
    for frame in [versions, metadata] {
        stream.write_all(&frame.map_err(io::Error::other)?.concat()).await?;
        let size = usize::try_from(stream.read_u32().await?).map_err(io::Error::other)?;
        stream.read_exact(&mut vec![0; size]).await?;
    }
    Ok(stream)
}
