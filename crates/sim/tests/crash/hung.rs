//! A disk that hangs: every write waits while the file system is frozen. Nothing is acknowledged
//! meanwhile, what needs no disk is answered, and all goes on when the disk does.

use crate::{
    audit::consume,
    image::Mount,
    load::{Client, Shape, produce},
    machine::{Machine, SMALL},
    member::Member,
    site::{Site, together},
    world::World,
};
use rustix::process::Signal;
use std::time::{Duration, Instant};

const IMAGE_MIB: u64 = 256;
const HANGS: u64 = 2;
const HANG: Duration = Duration::from_millis(2500);
/// What was under way when the disk hung may still be answered for so long.
const SETTLE: Duration = Duration::from_millis(300);
/// An answer that needs no disk, with everything else that this machine does.
const ANSWER_MAX: Duration = Duration::from_secs(1);
const RESUME_MAX: Duration = Duration::from_secs(5);
/// Above what the broker took before; its budget is 256 MiB.
const GROWTH_MAX: u64 = 128 << 20;

#[test]
fn a_hung_disk_delays_what_needs_it_and_nothing_else() {
    let _turn = together();
    let mut site = Site::open();
    let Some(disk) = site.disk(IMAGE_MIB) else { return };
    let mut machine = site.machine(&disk.path().join("data"), SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    world.go_on(u64::MAX);
    admin.create_topic(&mut world.must_connect(), "hung", 3, None);
    let mut member = Member::of_all(world, random, "member");
    let mut connection = world.must_connect();
    member.join(&mut connection).expect("the only member gets in");
    let mut threads = produce(world, random, 4, Shape::MIXED);
    threads.extend(consume(world, random, 2));
    for _ in 0..HANGS {
        assert!(world.wait_for_more(300, RESUME_MAX), "clients do not come back");
        let memory = machine.usage().memory;
        world.say("the disk hangs");
        let frozen = disk.freeze().expect("a mounted file system can be frozen");
        std::thread::sleep(SETTLE);
        let before = world.acknowledged();
        let started = Instant::now();
        while started.elapsed() < HANG {
            answers_without_a_disk(&member, auditor);
            std::thread::sleep(Duration::from_millis(100));
        }
        assert_eq!(world.acknowledged(), before, "acknowledged without a disk");
        let grown = machine.usage().memory.saturating_sub(memory);
        assert!(grown < GROWTH_MAX, "memory grew by {} MiB", grown >> 20);
        drop(frozen);
        world.say("the disk goes on");
    }
    assert!(world.wait_for_more(300, RESUME_MAX), "clients do not come back");
    killed_while_the_disk_hangs(&mut machine, &disk, world);
    assert!(world.wait_for_more(300, RESUME_MAX), "clients do not come back");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 900);
    drop(machine);
    drop(disk);
}

/// Heartbeats, the ends of a log, and a first connection.
fn answers_without_a_disk(member: &Member, auditor: &Client) {
    let started = Instant::now();
    let mut connection = auditor.world.must_connect();
    assert_eq!(member.heartbeat(&mut connection).expect("an answer"), 0, "the member is out");
    auditor.ends(&mut connection, "hung", 0).expect("an answer").expect("the topic's ends");
    let took = started.elapsed();
    assert!(took < ANSWER_MAX, "what needs no disk took {took:?}");
}

fn killed_while_the_disk_hangs(machine: &mut Machine, disk: &Mount, world: &World) {
    let frozen = disk.freeze().expect("a mounted file system can be frozen");
    std::thread::sleep(SETTLE);
    world.say("kill -9 while the disk hangs");
    machine.signal(Signal::KILL);
    drop(frozen);
    machine.kill();
    machine.start();
}
