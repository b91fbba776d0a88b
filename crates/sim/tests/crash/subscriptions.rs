//! Subscriptions to a topic under Kafka producers and AMQP consumers, killed again and again.

use crate::{
    machine::SMALL,
    site::{Site, alone},
    subscription_load as subscriptions,
};
use std::time::Duration;

const KILLS: u64 = 6;
const RECORDS_PER_ROUND: u64 = 6000;
const RESUME_MAX: Duration = Duration::from_secs(15);
/// What clients read of a dead broker's last words, before its death is noted.
const LAST_WORDS: Duration = Duration::from_millis(100);

#[test]
fn every_acknowledged_record_comes_and_nothing_settled_comes_back_by_kill_9() {
    let _turn = alone();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.amqp());
    subscriptions::declare(admin, machine.kafka());
    world.go_on(RECORDS_PER_ROUND);
    let threads = subscriptions::start(world, random, machine.kafka());
    for _ in 0..KILLS {
        assert!(world.wait_for_more(200, RESUME_MAX), "clients do not come back");
        std::thread::sleep(Duration::from_millis(random.below(900)));
        machine.kill();
        std::thread::sleep(LAST_WORDS);
        world.crashed("kill -9");
        while random.one_in(3) {
            machine.launch();
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            machine.kill();
            world.crashed("kill -9 within recovery");
        }
        world.go_on(RECORDS_PER_ROUND);
        machine.start();
    }
    assert!(world.wait_for_more(200, RESUME_MAX), "clients do not come back");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    assert!(machine.stop().success(), "{}", machine.log());
    machine.start();
    world.go_on(0);
    subscriptions::empty(auditor, machine.http());
    assert!(machine.stop().success(), "{}", machine.log());
    let report = world.check();
    eprintln!("{report}");
    assert!(report.is_good(), "{report}\n{}", machine.log());
    let totals = report.totals;
    assert!(totals.enqueues_ok >= 2000, "only {} were acknowledged", totals.enqueues_ok);
    assert!(totals.settles_ok > 0, "no settlement was confirmed");
}
