//! Members of a consumer group over ends of the broker, clean and by kill -9, while the files that
//! their membership is stored in roll over and retire.

use crate::{
    clock::settle,
    load::{Shape, produce},
    machine::SMALL,
    member::Member,
    site::{Site, together},
};
use std::time::Duration;

const ROUNDS: usize = 6;
const RECORDS_PER_ROUND: u64 = 3000;
/// Longer than any round takes, on any machine.
const SESSION_MS: i32 = 600_000;

#[test]
fn members_go_on_with_what_they_were_assigned_over_stops_and_kills() {
    let _turn = together();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let Site { world, random, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    admin.create_topic(&mut world.must_connect(), "shared", 4, None);
    let mut members = [0, 1, 2]
        .map(|n| Member::of_all(world, random, &format!("member-{n}")).with_session(SESSION_MS));
    for round in 0..ROUNDS {
        world.go_on(RECORDS_PER_ROUND);
        let mut connections = [0, 1, 2].map(|_| world.must_connect());
        settle(&mut members, &mut connections);
        let threads = produce(world, random, 2, Shape::MIXED);
        for (member, connection) in members.iter_mut().zip(&mut connections) {
            member.poll(connection).expect("an answer");
        }
        std::thread::sleep(Duration::from_millis(random.below(600)));
        if round % 3 == 2 {
            world.say("SIGTERM");
            assert!(machine.stop().success(), "{}", machine.log());
        } else {
            world.say("kill -9");
            machine.kill();
        }
        machine.start();
        let mut connections = [0, 1, 2].map(|_| world.must_connect());
        for (member, connection) in members.iter_mut().zip(&mut connections) {
            assert_eq!(member.heartbeat(connection).expect("an answer"), 0, "round {round}");
            member.poll(connection).expect("an answer");
            assert_eq!(member.commit(connection).expect("an answer"), 0, "round {round}");
            assert_eq!(member.heartbeat(connection).expect("an answer"), 0, "round {round}");
        }
        world.stop();
        threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
        // The next round is another generation, of which one is a new member.
        let one = round % members.len();
        assert_eq!(members[one].leave(&mut connections[one]).expect("an answer"), 0);
    }
    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 300);
}
