//! Queues under AMQP 0-9-1 clients: killed, cut off and filled up. What was confirmed is
//! delivered until it is settled, and what was settled and confirmed to be never comes again.

use crate::{
    amqp::AmqpConnection,
    image::{Mount, copy_sparse, make_ext4, may_mount},
    load::Client,
    machine::{Machine, SMALL},
    queue_load::{self as queues, JOBS, Publisher},
    site::{Site, alone},
    world::World,
};
use rustix::process::Signal;
use std::{
    thread::JoinHandle,
    time::{Duration, Instant},
};
use tramline_store::fs::sim::Random;

const KILLS: u64 = 8;
const CUTS: u64 = 3;
const IMAGE_MIB: u64 = 256;
const MESSAGES_PER_ROUND: u64 = 6000;
const FULL_IMAGE_MIB: u64 = 96;
const FULL_BODY_BYTES: usize = 200_000;
const RESUME_MAX: Duration = Duration::from_secs(15);
const FILL_MAX: Duration = Duration::from_secs(120);
/// What clients read of a dead broker's last words, before its death is noted.
const LAST_WORDS: Duration = Duration::from_millis(100);
const FULL_CONFIG: &str = r#"
[store]
wal_file = "1 MiB"
wal_retire = "2 MiB"
wal_max = "16 MiB"
headroom = "8 MiB"
segment_max = "4 MiB"
"#;

/// How a broker is killed again and again under load.
pub(crate) struct Kills {
    pub(crate) count: u64,
    /// Publishes that are confirmed between two of them, and how long that may take.
    pub(crate) confirmed: u64,
    pub(crate) resume_max: Duration,
    pub(crate) messages_per_round: u64,
    /// Some recoveries are killed as well.
    pub(crate) in_recovery: bool,
}

/// Kills the broker under the load of these threads, which have ended on return; it runs.
pub(crate) fn kill_again_and_again(
    (world, random): (&World, &mut Random),
    machine: &mut Machine,
    kills: &Kills,
    threads: Vec<JoinHandle<()>>,
) {
    let confirmed = || world.wait_for_more(kills.confirmed, kills.resume_max);
    for _ in 0..kills.count {
        assert!(confirmed(), "clients do not come back");
        std::thread::sleep(Duration::from_millis(random.below(900)));
        machine.kill();
        std::thread::sleep(LAST_WORDS);
        world.crashed("kill -9");
        while kills.in_recovery && random.one_in(3) {
            machine.launch();
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            machine.kill();
            world.crashed("kill -9 within recovery");
        }
        world.go_on(kills.messages_per_round);
        machine.start();
    }
    assert!(confirmed(), "clients do not come back");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
}

/// No rule is broken, and enough was confirmed for that to say something.
pub(crate) fn expect_good(site: &Site, machine: &Machine, enqueues_ok_min: usize) {
    let report = site.world.check();
    eprintln!("{report}");
    assert!(report.is_good(), "{report}\n{}", machine.log());
    let totals = report.totals;
    assert!(totals.enqueues_ok >= enqueues_ok_min, "only {} were confirmed", totals.enqueues_ok);
    assert!(totals.settles_ok > 0, "no settlement was confirmed");
}

#[test]
fn nothing_confirmed_is_lost_and_nothing_settled_comes_back_by_kill_9() {
    let _turn = alone();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.amqp());
    queues::declare(admin);
    world.go_on(MESSAGES_PER_ROUND);
    let threads = queues::start(world, random);
    let kills = Kills {
        count: KILLS,
        confirmed: 200,
        resume_max: RESUME_MAX,
        messages_per_round: MESSAGES_PER_ROUND,
        in_recovery: true,
    };
    kill_again_and_again((world, random), &mut machine, &kills, threads);
    assert!(machine.stop().success(), "{}", machine.log());
    machine.start();
    world.go_on(0);
    queues::empty(auditor, machine.http());
    assert!(machine.stop().success(), "{}", machine.log());
    expect_good(&site, &machine, 2000);
}

#[test]
fn nothing_confirmed_is_lost_and_nothing_settled_comes_back_by_power_cuts() {
    let _turn = alone();
    let mut site = Site::open();
    if !may_mount(site.path()) {
        return;
    }
    let root = site.path().to_owned();
    let image = |cut: u64| root.join(format!("disk-{cut}.img"));
    let point = |cut: u64| root.join(format!("disk-{cut}"));
    make_ext4(&image(0), IMAGE_MIB).expect("an image can be made");
    let mut disk = Mount::ext4(&image(0), &point(0)).expect("an image can be mounted");
    let mut machine = site.machine(&disk.path().join("data"), SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.amqp());
    queues::declare(admin);
    world.go_on(MESSAGES_PER_ROUND);
    let threads = queues::start(world, random);
    for cut in 0..CUTS {
        assert!(world.wait_for_more(200, RESUME_MAX), "clients do not come back");
        // Shorter than the kernel takes to write out by itself what was not synced.
        std::thread::sleep(Duration::from_millis(random.below(1500)));
        machine.signal(Signal::STOP);
        copy_sparse(&image(cut), &image(cut + 1)).expect("the image can be copied");
        let mut next = machine.on_data(&point(cut + 1).join("data"));
        machine.kill();
        std::thread::sleep(LAST_WORDS);
        world.crashed("power cut");
        drop(disk);
        drop(std::fs::remove_file(image(cut)));
        disk = Mount::ext4(&image(cut + 1), &point(cut + 1)).expect("the copy can be mounted");
        world.go_on(MESSAGES_PER_ROUND);
        next.start();
        machine = next;
    }
    assert!(world.wait_for_more(200, RESUME_MAX), "clients do not come back");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    world.go_on(0);
    queues::empty(auditor, machine.http());
    assert!(machine.stop().success(), "{}", machine.log());
    expect_good(&site, &machine, 800);
    drop(machine);
    drop(disk);
}

/// Publishes until one is refused; gives how many were refused of those under way.
fn fill(client: &mut Client) -> u64 {
    let mut connection = AmqpConnection::open(&client.world.address()).expect("the broker is up");
    connection.select_confirms().expect("an answer");
    let (mut publisher, started) = (Publisher::default(), Instant::now());
    while publisher.refused == 0 {
        assert!(started.elapsed() < FILL_MAX, "the disk is not full after {FILL_MAX:?}");
        let sent = publisher.send(client, &mut connection, (&[JOBS], FULL_BODY_BYTES));
        sent.expect("a full disk closes nothing");
        while !publisher.is_settled() {
            publisher.take_answer(client, &mut connection).expect("an answer, even if full");
        }
    }
    while !publisher.blocked {
        publisher.take_answer(client, &mut connection).expect("connection.blocked");
    }
    publisher.refused
}

/// Publishes until it is taken.
fn publish_when_free(client: &mut Client) {
    let started = Instant::now();
    let before = client.world.acknowledged();
    while client.world.acknowledged() == before {
        let connection = AmqpConnection::open(&client.world.address());
        let mut connection = connection.expect("the broker is up");
        connection.select_confirms().expect("an answer");
        let mut publisher = Publisher::default();
        publisher.send(client, &mut connection, (&[JOBS], 100)).expect("the broker reads");
        while !publisher.is_settled() {
            publisher.take_answer(client, &mut connection).expect("an answer");
        }
        assert!(started.elapsed() < RESUME_MAX, "messages are still refused");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_full_disk_refuses_publishes_and_consumers_go_on() {
    let _turn = alone();
    let mut site = Site::open();
    let Some(disk) = site.disk(FULL_IMAGE_MIB) else { return };
    let mut machine = site.machine(&disk.path().join("data"), FULL_CONFIG);
    let Site { world, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.amqp());
    queues::declare(admin);
    let refused = fill(admin);
    world.say(&format!("the disk is full: {refused} refused"));
    assert_eq!(queues::take(auditor, JOBS, 20).expect("consumers go on"), 20);
    machine.kill();
    std::thread::sleep(LAST_WORDS);
    world.crashed("kill -9 on a full disk");
    machine.start();
    assert_eq!(queues::take(auditor, JOBS, 20).expect("consumers go on"), 20);
    queues::empty(auditor, machine.http());
    publish_when_free(admin);
    queues::empty(auditor, machine.http());
    assert!(machine.stop().success(), "{}", machine.log());
    expect_good(&site, &machine, 50);
    drop(machine);
    drop(disk);
}
