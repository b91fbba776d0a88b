//! A full disk: producers are refused with the error that tells them to try again, everybody
//! else is served, and the broker recovers by itself.

use crate::{
    audit::GROUPS,
    load::{Client, PRODUCE_VERSION, produce_request},
    machine::Machine,
    site::{Site, alone},
};
use std::{
    fs,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};
use tramline_record::{BatchBuilder, Compression};
use tramline_sim::{Step, payload};
use tramline_types::{Message, Timestamp};

const KAFKA_STORAGE_ERROR: i16 = 56;
const IMAGE_MIB: u64 = 96;
/// From free space to accepted messages, at most.
const RECOVERY_MAX: Duration = Duration::from_secs(15);
const FILL_MAX: Duration = Duration::from_secs(120);
const CONFIG: &str = r#"
[groups]
initial_rebalance_delay = "0s"
[store]
wal_file = "1 MiB"
wal_retire = "2 MiB"
wal_max = "16 MiB"
headroom = "8 MiB"
segment_max = "4 MiB"
"#;

trait Fill {
    fn send_one(&mut self, topic: &str, records: u64, bytes: usize) -> i16;
    fn fill(&mut self, topic: &str);
    fn send_when_free(&mut self, topic: &str);
}

impl Fill for Client {
    /// Sends one batch of records of this size; the error code.
    fn send_one(&mut self, topic: &str, records: u64, bytes: usize) -> i16 {
        let mut connection = self.world.must_connect();
        let mut builder = BatchBuilder::new(Compression::None);
        let mut ops = Vec::new();
        for _ in 0..records {
            let value = format!("{}-{:x}", self.name, self.random.next_u64());
            let body = payload::encode(&value, bytes);
            let message = Message { value: Some(body), ..Message::default() };
            builder.push(&message, Timestamp::from_millis(1_700_000_000_000));
            let topic = topic.to_owned();
            let step = Step::Send { topic, partition: Some(0), value };
            ops.push(self.world.invoke(&self.name, step));
        }
        let batch = builder.build().expect("the batch has records and is small");
        let request = produce_request((topic, 0), batch.bytes().clone());
        let answer = connection.call(&request, PRODUCE_VERSION).expect("an answer, even if full");
        let answer = &answer.responses[0].partition_responses[0];
        for (op, i) in ops.into_iter().zip(0..) {
            let offset = u64::try_from(answer.base_offset + i).ok();
            let step = match answer.error_code {
                0 => Step::SendOk { partition: 0, offset },
                code => Step::Fail { reason: format!("error {code}") },
            };
            self.world.complete(&self.name, op, step);
        }
        answer.error_code
    }

    /// Sends until the broker refuses.
    fn fill(&mut self, topic: &str) {
        let started = Instant::now();
        while started.elapsed() < FILL_MAX {
            match self.send_one(topic, 4, 100_000) {
                0 => {}
                KAFKA_STORAGE_ERROR => return,
                code => panic!("a full disk is answered with error {code}"),
            }
        }
        panic!("the disk is not full after {FILL_MAX:?}");
    }

    /// Sends until the broker accepts again.
    fn send_when_free(&mut self, topic: &str) {
        let started = Instant::now();
        loop {
            match self.send_one(topic, 1, 100) {
                0 => return,
                KAFKA_STORAGE_ERROR => std::thread::sleep(Duration::from_millis(100)),
                code => panic!("a full disk is answered with error {code}"),
            }
            assert!(started.elapsed() < RECOVERY_MAX, "messages are still refused");
        }
    }
}

#[test]
fn a_full_disk_refuses_messages_serves_the_rest_and_recovers_by_itself() {
    let _turn = alone();
    let mut site = Site::open();
    let Some(disk) = site.disk(IMAGE_MIB) else { return };
    let mut machine = site.machine(&disk.path().join("data"), CONFIG);
    let Site { world, admin, auditor, .. } = &mut site;
    machine.start();
    world.set_address(machine.kafka());
    admin.create_topic(&mut world.must_connect(), "small", 1, None);
    admin.create_topic(&mut world.must_connect(), "large", 1, None);
    assert_eq!(admin.send_one("small", 10, 100), 0);

    world.say("filled by messages");
    admin.fill("large");
    serves_the_rest(admin, auditor, "while-full");
    restart(&mut machine, admin);
    serves_the_rest(admin, auditor, "full-after-a-start");
    assert!(admin.delete_topic(&mut world.must_connect(), "large"), "no topic can be deleted");
    admin.send_when_free("small");

    world.say("filled by a foreign file");
    let foreign = disk.path().join("foreign");
    fill_with_a_file(&foreign);
    admin.create_topic(&mut world.must_connect(), "large-again", 1, None);
    admin.fill("large-again");
    serves_the_rest(admin, auditor, "while-full-of-others");
    restart(&mut machine, admin);
    serves_the_rest(admin, auditor, "full-of-others-after-a-start");
    fs::remove_file(&foreign).expect("the file is ours");
    admin.send_when_free("small");

    auditor.audit(|_| true);
    assert!(machine.stop().success(), "{}", machine.log());
    site.expect_good(&machine, 50);
    drop(machine);
    drop(disk);
}

/// Reading, committing and administration.
fn serves_the_rest(admin: &mut Client, auditor: &Client, name: &str) {
    let world = &admin.world;
    auditor.audit(|_| true);
    let mut connection = world.must_connect();
    let committed = admin.commit(&mut connection, GROUPS[0], ("small", 0), 1);
    committed.expect("an answer, even if full");
    admin.create_topic(&mut connection, name, 1, None);
    assert!(world.topics().contains_key(name), "no topic can be created");
    auditor.audit(|topic| topic == name);
    assert!(admin.delete_topic(&mut connection, name), "no topic can be deleted");
}

fn restart(machine: &mut Machine, admin: &Client) {
    machine.kill();
    let took = machine.start();
    admin.world.say(&format!("killed and started on a full disk in {took:?}"));
}

fn fill_with_a_file(path: &Path) {
    let mut file = fs::File::create(path).expect("the disk takes one more file");
    let block = vec![7; 64 * 1024];
    while file.write_all(&block).is_ok() {}
    // The last block may be kept back: the disk is full all the same.
    drop(file.sync_all());
}
