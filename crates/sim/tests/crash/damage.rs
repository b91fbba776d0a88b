//! Stored files damaged while the broker is off: it serves what is whole, says what is not, or
//! refuses to start and says why. Never a wrong byte, nothing missing without a word.

use crate::{
    audit::{GROUPS, Polled},
    connection::Connection,
    load::{Client, Shape, produce},
    machine::{Machine, SMALL},
    site::{Site, alone},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tramline_sim::{Read, Step};
use tramline_store::fs::sim::Random;

const MUTATIONS: u64 = 24;

/// Every record of the undamaged data.
type Truth = BTreeMap<(String, u32), BTreeMap<u64, String>>;

#[test]
fn damaged_files_never_give_a_wrong_byte_and_never_hide_a_loss() {
    let _turn = alone();
    let mut site = Site::open();
    let data = site.path().join("data");
    let mut machine = site.machine(&data, SMALL);
    let earlier = site.path().join("earlier");
    load(&mut site, &mut machine, &earlier);
    let truth = read_all(&site.auditor);
    assert!(truth.values().map(BTreeMap::len).sum::<usize>() > 1000, "little was stored");
    assert!(machine.stop().success(), "{}", machine.log());

    let Site { random, auditor, world, directory, .. } = &mut site;
    let damaged = directory.path().join("damaged");
    let (mut refused, mut reported, mut whole) = (0, 0, 0);
    for _ in 0..MUTATIONS {
        copy(&data, &damaged);
        let what = mutate(&damaged, &earlier, random);
        let mut machine = machine.on_data(&damaged);
        match machine.try_start() {
            Err(error) => {
                assert!(machine.says("error"), "{what}: no word\n{}", machine.log());
                eprintln!("{what}: {error}");
                refused += 1;
            }
            Ok(_) => {
                world.set_address(machine.kafka());
                let (missing, ends_lost) = compare(auditor, &truth, &what);
                eprintln!("{what}: {missing} offsets damaged, {ends_lost} ends of logs lost");
                let said = machine.says("stored data is damaged");
                assert!(missing == 0 || said, "{what}: not logged\n{}", machine.log());
                if missing > 0 {
                    reported += 1
                } else {
                    whole += 1
                }
                assert!(machine.exited().is_none(), "{what}: it died\n{}", machine.log());
            }
        }
        machine.kill();
        fs::remove_dir_all(&damaged).expect("the copy is ours");
    }
    eprintln!("{refused} starts refused, {reported} times reported, {whole} times all was whole");
    assert!(reported + refused > 0, "no damage was noticed at all");
}

/// Stores something in files of every kind. All of it lies below the newest recovery, so that
/// none of it can be taken for a torn tail.
fn load(site: &mut Site, machine: &mut Machine, earlier: &Path) {
    let Site { world, random, admin, .. } = site;
    machine.start();
    world.set_address(machine.kafka());
    for topic in ["a", "b", "c"] {
        admin.create_topic(&mut world.must_connect(), topic, 2, None);
    }
    for round in 0..3 {
        world.go_on(4000);
        let threads = produce(world, random, 4, Shape::MIXED);
        std::thread::sleep(Duration::from_millis(1500));
        if round == 0 {
            // Retired into a checkpoint file by what follows.
            commit(admin);
        }
        world.stop();
        threads.into_iter().for_each(|thread| thread.join().expect("a client does not panic"));
        assert!(machine.stop().success(), "{}", machine.log());
        if round == 1 {
            copy(machine.data(), earlier);
        }
        machine.start();
    }
}

/// A group's offset per partition: the same ones each time.
fn commit(admin: &Client) {
    let mut connection = admin.world.must_connect();
    for ((topic, partitions), offset) in admin.world.topics().iter().zip(100..) {
        for partition in 0..*partitions {
            let place = (topic.as_str(), partition);
            let committed = admin.commit(&mut connection, GROUPS[0], place, offset);
            committed.expect("the broker is up");
        }
    }
}

/// Everything there is, by a client that expects no damage.
fn read_all(auditor: &Client) -> Truth {
    auditor.world.recorder.take();
    auditor.audit(|_| true);
    let mut truth = Truth::new();
    for event in auditor.world.recorder.take() {
        if let Step::PollOk { records } = event.step {
            for Read { topic, partition, offset, value } in records {
                truth.entry((topic, partition)).or_default().insert(offset, value);
            }
        }
    }
    truth
}

/// Reads everything from the damaged copy. How many offsets are missing, and of how many logs the
/// end: where the last commit of a log is damaged beyond recognition, nothing tells readers that
/// it was there, but the broker's log tells the operator.
fn compare(auditor: &Client, truth: &Truth, what: &str) -> (usize, usize) {
    let mut connection = auditor.world.must_connect();
    let (mut missing, mut ends_lost) = (0, 0);
    for ((topic, partition), records) in truth {
        auditor.world.recorder.take();
        let next = records.last_key_value().map_or(0, |(offset, _)| offset + 1);
        let damaged = read_around(auditor, &mut connection, (topic, *partition), next, what);
        let mut seen = BTreeMap::new();
        for event in auditor.world.recorder.take() {
            if let Step::PollOk { records } = event.step {
                seen.extend(records.into_iter().map(|read| (read.offset, read.value)));
            }
        }
        let committed = look_at_commit(auditor, &mut connection, (topic, *partition));
        let topics = auditor.world.topics();
        let expected = topics.keys().zip(100..).find(|(t, _)| *t == topic).map(|(_, o)| o);
        assert!(
            committed.is_none_or(|committed| committed == expected),
            "{what}: the group's offset for `{topic}`/{partition} is {committed:?}"
        );
        missing += usize::from(committed.is_none());
        for (offset, value) in &seen {
            let sent = records.get(offset);
            assert_eq!(sent, Some(value), "{what}: `{topic}`/{partition} offset {offset}");
        }
        let reported = |offset| damaged.iter().any(|(from, to)| (*from..*to).contains(offset));
        let lost = records.keys().filter(|offset| !seen.contains_key(offset));
        let (known, silent): (Vec<u64>, Vec<u64>) = lost.partition(|offset| reported(offset));
        let end = seen.last_key_value().map_or(0, |(offset, _)| offset + 1);
        for offset in &silent {
            assert!(*offset >= end, "{what}: `{topic}`/{partition} hides the loss of {offset}");
        }
        ends_lost += usize::from(!silent.is_empty());
        missing += known.len() + silent.len();
    }
    (missing, ends_lost)
}

/// The group's committed offset; none where the broker answers with an error.
fn look_at_commit(
    auditor: &Client,
    connection: &mut Connection,
    (topic, partition): (&str, u32),
) -> Option<Option<u64>> {
    let fetched = auditor.fetch_committed(connection, GROUPS[0], topic, partition);
    fetched.expect("an answer, even if damaged");
    auditor.world.recorder.take().into_iter().find_map(|event| match event.step {
        Step::FetchCommittedOk { offset } => Some(offset),
        _ => None,
    })
}

/// Reads a partition, going on after each offset that cannot be read; the ranges of those.
fn read_around(
    auditor: &Client,
    connection: &mut Connection,
    (topic, partition): (&str, u32),
    next: u64,
    what: &str,
) -> Vec<(u64, u64)> {
    let mut damaged = Vec::new();
    let mut from = 0;
    while from < next {
        let mut assigned = auditor.assign(topic, partition, from);
        let polled = loop {
            let polled = auditor.poll(connection, &mut assigned);
            match polled.unwrap_or_else(|e| panic!("{what}: `{topic}`/{partition}: {e}")) {
                Polled::Moved => {}
                other => break other,
            }
        };
        match polled {
            // The end, or a topic that is gone, is silent loss where something is missing.
            Polled::Moved | Polled::End | Polled::OutOfRange | Polled::Gone => break,
            Polled::Refused(_) => {
                damaged.push((assigned.position, assigned.position + 1));
                from = assigned.position + 1;
            }
        }
    }
    damaged
}

/// Damages one file; says which and how.
fn mutate(directory: &Path, earlier: &Path, random: &mut Random) -> String {
    let files: Vec<PathBuf> = files_below(directory)
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|metadata| metadata.len() > 0))
        .filter(|path| path.file_name().is_some_and(|name| name != "LOCK"))
        .collect();
    let path = &files[random.index(files.len())];
    let name = path.strip_prefix(directory).expect("it lies below").to_owned();
    let mut content = fs::read(path).expect("the copy can be read");
    let at = random.index(content.len());
    let how = match random.below(5) {
        0 => {
            fs::remove_file(path).expect("the copy is ours");
            return format!("{} removed", name.display());
        }
        1 => {
            content.truncate(at);
            format!("cut to {at} bytes")
        }
        2 => {
            let end = content.len().min(at + 4096);
            content[at..end].fill(0);
            format!("zeroed from {at} to {end}")
        }
        3 if earlier.join(&name).is_file() => {
            content = fs::read(earlier.join(&name)).expect("the earlier copy can be read");
            "put back as it was earlier".to_owned()
        }
        _ => {
            content[at] ^= 1 << random.below(8);
            format!("one bit changed at {at}")
        }
    };
    fs::write(path, content).expect("the copy is ours");
    format!("{} {how}", name.display())
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("the directory is ours") {
        let path = entry.expect("the directory is ours").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn copy(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).expect("it lies below"));
        fs::create_dir_all(target.parent().expect("it has a directory")).expect("it is ours");
        fs::copy(&file, &target).expect("the disk has room for a copy");
    }
}
