//! kill -9 at random moments: of load, of recovery, of roll-over and retirement.

use crate::{
    audit::consume,
    load::{Shape, produce},
    machine::SMALL,
    python::Python,
    site::{Site, alone},
};
use std::time::Duration;

const ROUNDS_DEFAULT: u64 = 20;
/// Topics of so many last rounds are read again after each kill; all of them at the end.
const ROUNDS_READ: u64 = 3;
const RECORDS_PER_ROUND: u64 = 8000;

fn rounds() -> u64 {
    let rounds = std::env::var("TRAMLINE_ROUNDS").ok();
    rounds.map_or(ROUNDS_DEFAULT, |rounds| rounds.parse().expect("TRAMLINE_ROUNDS is a number"))
}

#[test]
fn nothing_is_lost_by_kill_9_at_random_moments() {
    let _turn = alone();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, directory } = &mut site;
    let site_path = directory.path();
    machine.start();
    world.set_address(machine.kafka());
    let mut python = None;

    let rounds = rounds();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        world.go_on(RECORDS_PER_ROUND);
        let mut connection = world.must_connect();
        admin.create_topic(&mut connection, &format!("r{round}-plain"), 3, None);
        admin.create_topic(&mut connection, &format!("r{round}-short"), 1, Some(300_000));
        if let Some(round) = round.checked_sub(ROUNDS_READ).filter(|round| round % 3 == 0) {
            admin.delete_topic(&mut connection, &format!("r{round}-short"));
        }
        if python.is_none() {
            admin.create_topic(&mut connection, "python", 2, None);
            python = Python::start(world, machine.kafka(), site_path, "python");
        }
        let mut threads = produce(world, random, 4, Shape::MIXED);
        threads.extend(consume(world, random, 2));

        std::thread::sleep(Duration::from_millis(100 + random.below(1200)));
        world.say("kill -9");
        machine.kill();
        while random.one_in(3) {
            world.say("kill -9 within recovery");
            machine.launch();
            std::thread::sleep(Duration::from_micros(random.below(60_000)));
            machine.kill();
        }
        let took = machine.start();
        slowest = slowest.max(took);
        // Clients find the broker again by themselves, and repeat what they do not know.
        std::thread::sleep(Duration::from_millis(200));
        world.stop();
        threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
        auditor.audit(|topic| {
            let of = topic.strip_prefix('r').and_then(|rest| rest.split('-').next()?.parse().ok());
            of.is_some_and(|of: u64| of + ROUNDS_READ > round)
        });
    }
    if let Some(python) = python {
        python.stop();
    }
    world.go_on(0);
    assert!(machine.stop().success(), "{}", machine.log());
    machine.start();
    auditor.audit(|_| true);
    let report = world.check();
    eprintln!("{rounds} kills, slowest start {slowest:?}: {report}");
    assert!(report.is_good(), "{report}\n{}", machine.log());
    assert!(report.totals.sends_ok > 500 * usize::try_from(rounds).expect("a handful"));
    assert!(report.totals.commits_ok > 0, "no offset was committed");
    let segments = std::fs::read_dir(data.join("seg")).map_or(0, Iterator::count);
    assert!(segments > 0, "nothing was ever retired");
}
