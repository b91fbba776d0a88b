//! Queues under SQS clients, killed again and again: groups keep their order, a repeated message
//! is taken once, a message is with one receiver at a time, and what was deleted never comes
//! again.

use crate::{
    machine::SMALL,
    site::{Site, alone},
    sqs_load as sqs,
};
use std::time::Duration;

const KILLS: u64 = 6;
const MESSAGES_PER_ROUND: u64 = 3000;
const RESUME_MAX: Duration = Duration::from_secs(60);
/// What clients read of a dead broker's last words, before its death is noted.
const LAST_WORDS: Duration = Duration::from_millis(100);

#[test]
fn groups_keep_their_order_and_repeats_are_told_over_kill_9() {
    let _turn = alone();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.sqs());
    sqs::declare(admin);
    world.go_on(MESSAGES_PER_ROUND);
    let threads = sqs::start(world, random);
    for _ in 0..KILLS {
        assert!(world.wait_for_more(50, RESUME_MAX), "clients do not come back");
        std::thread::sleep(Duration::from_millis(random.below(900)));
        machine.kill();
        std::thread::sleep(LAST_WORDS);
        world.crashed("kill -9");
        world.go_on(MESSAGES_PER_ROUND);
        machine.start();
    }
    assert!(world.wait_for_more(50, RESUME_MAX), "clients do not come back");
    world.stop();
    threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
    world.go_on(0);
    sqs::empty(auditor);
    assert!(machine.stop().success(), "{}", machine.log());
    let report = world.check();
    eprintln!("{report}");
    assert!(report.is_good(), "{report}\n{}", machine.log());
    let totals = report.totals;
    assert!(totals.enqueues_ok >= 300, "only {} were confirmed", totals.enqueues_ok);
    assert!(totals.settles_ok > 0, "no deletion was confirmed");
}
