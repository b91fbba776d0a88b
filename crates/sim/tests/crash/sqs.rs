//! Queues under SQS clients, killed again and again: groups keep their order, a repeated message
//! is taken once, a message is with one receiver at a time, and what was deleted never comes
//! again.

use crate::{
    machine::SMALL,
    queues::{Kills, expect_good, kill_again_and_again},
    site::{Site, alone},
    sqs_load as sqs,
};
use std::time::Duration;

const KILLS: u64 = 6;
const MESSAGES_PER_ROUND: u64 = 3000;
const RESUME_MAX: Duration = Duration::from_secs(60);

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
    let kills = Kills {
        count: KILLS,
        confirmed: 50,
        resume_max: RESUME_MAX,
        messages_per_round: MESSAGES_PER_ROUND,
        in_recovery: false,
    };
    kill_again_and_again((world, random), &mut machine, &kills, threads);
    world.go_on(0);
    sqs::empty(auditor);
    assert!(machine.stop().success(), "{}", machine.log());
    expect_good(&site, &machine, 300);
}
