//! A process that stands still for a while, as on an overloaded machine.

use crate::{
    audit::consume,
    load::{Shape, produce},
    machine::SMALL,
    site::{Site, alone},
};
use rustix::process::Signal;
use std::time::Duration;

#[test]
fn a_stopped_process_goes_on_where_it_was() {
    let _turn = alone();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    world.go_on(20_000);
    admin.create_topic(&mut world.must_connect(), "paused", 3, None);
    let mut threads = produce(world, random, 4, Shape::MIXED);
    threads.extend(consume(world, random, 2));
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(200 + random.below(300)));
        world.say("SIGSTOP");
        machine.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(500 + random.below(1500)));
        machine.signal(Signal::CONT);
        world.say("SIGCONT");
    }
    std::thread::sleep(Duration::from_millis(300));
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 500);
}
