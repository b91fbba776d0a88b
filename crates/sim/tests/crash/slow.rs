//! A disk that takes 1 MiB per second: publishers are held back, memory stays bounded, and what
//! needs no disk is answered at once.

use crate::{
    audit::consume,
    cgroup::Cgroup,
    load::{Shape, produce},
    machine::SMALL,
    member::Member,
    site::{Site, together},
};
use std::{
    fs,
    time::{Duration, Instant},
};
use tramline_sim::live::leave_out;

const IMAGE_MIB: u64 = 256;
const BYTES_PER_SECOND: u64 = 1 << 20;
const SLOW: Duration = Duration::from_secs(4);
const ANSWER_MAX: Duration = Duration::from_secs(1);
const RESUME_MAX: Duration = Duration::from_secs(15);
const GROWTH_MAX: u64 = 128 << 20;

#[test]
fn a_slow_disk_holds_publishers_back_and_nobody_else() {
    let _turn = together();
    let mut site = Site::open();
    let Some(disk) = site.disk(IMAGE_MIB) else { return };
    let device = disk.device().expect("it is mounted");
    let number = fs::read_to_string(format!("/sys/block/{device}/dev")).expect("it is a device");
    let number = number.trim();
    let limit = match Cgroup::of_writes(number, u64::MAX >> 1) {
        Ok(limit) => limit,
        Err(reason) => {
            leave_out("io-limit", &reason);
            return;
        }
    };
    let data = disk.path().join("data");
    let mut machine = site.machine(&data, SMALL).through_shell(&limit.script());
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    world.go_on(u64::MAX);
    admin.create_topic(&mut world.must_connect(), "slow", 3, None);
    let mut member = Member::of_all(world, random, "member");
    let mut connection = world.must_connect();
    member.join(&mut connection).expect("the only member gets in");
    let shape = Shape { records_max: 20, bytes_max: 20_000, large_one_in: 20 };
    let mut threads = produce(world, random, 4, shape);
    threads.extend(consume(world, random, 1));
    assert!(world.wait_for_more(300, RESUME_MAX), "nothing is acknowledged");

    let memory = machine.usage().memory;
    limit.set_writes(number, Some(BYTES_PER_SECOND)).expect("the limit can be set");
    world.say("the disk is slow");
    let (started, before) = (Instant::now(), world.acknowledged());
    let mut slowest = Duration::ZERO;
    while started.elapsed() < SLOW {
        let asked = Instant::now();
        let mut connection = world.must_connect();
        assert_eq!(member.heartbeat(&mut connection).expect("an answer"), 0, "the member is out");
        auditor.ends(&mut connection, "slow", 0).expect("an answer").expect("the topic's ends");
        slowest = slowest.max(asked.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    let (sent, grown) =
        (world.acknowledged() - before, machine.usage().memory.saturating_sub(memory));
    eprintln!("{sent} acknowledged meanwhile, {} MiB more, answers in {slowest:?}", grown >> 20);
    assert!(slowest < ANSWER_MAX, "what needs no disk took {slowest:?}");
    assert!(grown < GROWTH_MAX, "memory grew by {} MiB", grown >> 20);
    limit.set_writes(number, None).expect("the limit can be lifted");
    world.say("the disk is fast again");
    assert!(world.wait_for_more(300, RESUME_MAX), "clients do not come back");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 500);
    drop(machine);
    drop(disk);
}
