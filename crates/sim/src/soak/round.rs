//! One round: topics, clients and a history of its own, a few faults, and at the end everything
//! is read and checked.

use crate::{
    live::{
        audit::{consume, read_all},
        connection::Connection,
        load::{Client, Shape, produce},
        world::World,
    },
    soak::{
        Failure, Soak,
        clients::{GROUP, Membership, administrator, members},
        compacted::{self, Expected},
        fault::{Fault, Victim},
    },
};
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, atomic::Ordering},
    thread::{JoinHandle, sleep},
    time::{Duration, Instant},
};
use tramline_store::fs::sim::Random;

const FAULTS: u64 = 3;
const PRODUCERS: usize = 4;
const CONSUMERS: usize = 2;
const MEMBERS: u32 = 3;
/// What producers may send between two faults.
const RECORDS: u64 = 6000;
const RECORDS_WAITING: u64 = 300;
/// Within this, after a fault, every producer has something acknowledged again.
const RESUME_MAX: Duration = Duration::from_secs(30);
/// Within this, the group has read everything.
const CATCH_UP_MAX: Duration = Duration::from_secs(40);
/// Within this, a client ends that was told to.
const END_MAX: Duration = Duration::from_secs(40);
/// One topic in so many rounds stays.
const KEEP_ONE_IN: u64 = 3;

/// A round's clients.
struct Crew {
    threads: Vec<(String, JoinHandle<()>)>,
    membership: Arc<Membership>,
    keyed: Option<JoinHandle<Expected>>,
}

impl Soak {
    /// Runs one round; `restarts` says whether the process may be stopped in it.
    pub(super) fn round(&mut self, restarts: bool) -> Result<(), Failure> {
        let scope = format!("s{}-", self.report.rounds);
        let ledger = self.machine.directory().join(format!("{scope}ledger.jsonl"));
        let world = Arc::new(World::of_scope(&scope, &ledger));
        world.set_address(self.machine.kafka());
        world.go_on(RECORDS);
        let topics = Topics::make(&world, &scope, &mut self.random)?;
        if topics.compacted.is_none() {
            self.report.left_out(Some("compaction: the broker does not take the setting".into()));
        }
        let mut crew = self.hire(&world, &scope, &topics);
        for _ in 0..FAULTS {
            sleep(Duration::from_millis(200 + self.random.below(1200)));
            let (has_disk, has_clock) = (self.disk.is_mounted(), self.clock.is_some());
            let fault = Fault::pick(&mut self.random, restarts, has_disk, has_clock);
            let mut victim = Victim {
                world: &world,
                machine: &mut self.machine,
                disk: &self.disk,
                clock: self.clock.as_ref(),
                random: &mut self.random,
                report: &mut self.report,
            };
            victim.inject(fault)?;
            everybody_moves(&world, fault).map_err(|e| format!("{e}\n{}", self.machine.log()))?;
        }
        self.end(&world, &topics, &mut crew)?;
        self.verify(&world, &topics, crew.keyed.take())?;
        drop(std::fs::remove_file(&ledger));
        Ok(())
    }

    fn hire(&mut self, world: &Arc<World>, scope: &str, topics: &Topics) -> Crew {
        let random = &mut self.random;
        let membership = Arc::new(Membership::default());
        let group = format!("{scope}{GROUP}");
        let of_group = BTreeMap::from([(topics.plain.clone(), Topics::PARTITIONS)]);
        let mut threads = members(world, random, (MEMBERS, &group), &of_group, &membership);
        threads.push(administrator(world, random, scope));
        let named = |name: &'static str| move |thread| (name.to_owned(), thread);
        threads.extend(
            produce(world, random, PRODUCERS, Shape::MIXED).into_iter().map(named("producer")),
        );
        threads.extend(consume(world, random, CONSUMERS).into_iter().map(named("consumer")));
        let keyed = topics.compacted.as_ref().map(|topic| compacted::writer(world, random, topic));
        Crew { threads, membership, keyed }
    }

    /// Ends all clients; the group first reads what there is.
    fn end(&mut self, world: &World, topics: &Topics, crew: &mut Crew) -> Result<(), Failure> {
        world.stop();
        crew.membership.settled.store(true, Ordering::Relaxed);
        let group = format!("{}{GROUP}", topics.scope);
        let started = Instant::now();
        while !caught_up(world, &group, topics).map_err(|error| error.to_string())? {
            if started.elapsed() > CATCH_UP_MAX {
                return Err(format!("`{group}` is stuck\n{}", self.machine.log()));
            }
            sleep(Duration::from_millis(50));
        }
        crew.membership.ended.store(true, Ordering::Relaxed);
        self.report.joins += crew.membership.joins.load(Ordering::Relaxed);
        let started = Instant::now();
        for (name, thread) in crew.threads.drain(..) {
            while !thread.is_finished() {
                if started.elapsed() > END_MAX {
                    return Err(format!("`{name}` is stuck\n{}", self.machine.log()));
                }
                sleep(Duration::from_millis(5));
            }
            thread.join().map_err(|_| format!("`{name}` panicked"))?;
        }
        Ok(())
    }

    /// Reads everything, checks it, and leaves little behind.
    fn verify(
        &mut self,
        world: &Arc<World>,
        topics: &Topics,
        keyed: Option<JoinHandle<Expected>>,
    ) -> Result<(), Failure> {
        let random = Random::new(self.random.next_u64());
        let auditor = Client { name: "audit".into(), world: Arc::clone(world), random };
        auditor.audit(|_| true);
        let mut connection = world.must_connect();
        if let (Some(keyed), Some(topic)) = (keyed, &topics.compacted) {
            let expected = keyed.join().map_err(|_| "the keyed writer panicked")?;
            self.report.compacted.0 += expected.sent;
            self.report.compacted.1 += expected.check(&mut connection, topic)?;
        }
        if let Some(topic) = &topics.total {
            self.report.ordered += compare_order(&mut connection, topic)?;
        }
        self.report.compared += self.kept.check_one(&mut connection, &mut self.random)?;
        let mut gone: Vec<String> =
            world.topics().into_keys().chain(topics.compacted.clone()).collect();
        if self.random.one_in(KEEP_ONE_IN) {
            gone.retain(|topic| *topic != topics.plain);
            self.kept.keep(&mut connection, &topics.plain, Topics::PARTITIONS)?;
        }
        for topic in gone {
            auditor.delete_topic(&mut connection, &topic);
        }
        let report = world.check();
        if !report.is_good() {
            return Err(format!("{report}\n{}", self.machine.log()));
        }
        self.report.checked(report.totals);
        Ok(())
    }
}

/// A round's topics.
struct Topics {
    scope: String,
    plain: String,
    /// With `order = total`, where the broker takes it.
    total: Option<String>,
    compacted: Option<String>,
}

impl Topics {
    const PARTITIONS: u32 = 3;

    fn make(world: &Arc<World>, scope: &str, random: &mut Random) -> Result<Self, Failure> {
        let random = Random::new(random.next_u64());
        let admin = Client { name: "admin".into(), world: Arc::clone(world), random };
        let mut connection = world.must_connect();
        let mut make = |name: &str, partitions, settings: &[(&str, &str)]| {
            let topic = format!("{scope}{name}");
            admin.create_topic_with(&mut connection, &topic, partitions, settings);
            world.topics().contains_key(&topic).then_some(topic)
        };
        let plain = make("plain", Self::PARTITIONS, &[]).ok_or("no topic can be made")?;
        make("short", 1, &[("retention.bytes", "300000")]).ok_or("no topic can be made")?;
        let total = make("total", Self::PARTITIONS, &[("order", "total")]);
        let compacted = make("compacted", 1, &compacted::SETTINGS);
        if let Some(topic) = &compacted {
            // It has a writer of its own, and a check of its own.
            world.remove_topic(topic);
        }
        Ok(Self { scope: scope.to_owned(), plain, total, compacted })
    }
}

/// Waits until every producer has something acknowledged after a fault.
fn everybody_moves(world: &World, fault: Fault) -> Result<(), Failure> {
    let before = world.acknowledged_by();
    let started = Instant::now();
    loop {
        // Little at a time, and again: what is refused is used up as well.
        world.go_on(RECORDS_WAITING);
        let now = world.acknowledged_by();
        let producers = now.iter().filter(|(name, _)| name.starts_with("producer"));
        let moved = producers.filter(|(name, n)| before.get(*name).is_none_or(|old| old < n));
        let moved = moved.count();
        if moved == PRODUCERS {
            world.go_on(RECORDS);
            return Ok(());
        }
        if started.elapsed() > RESUME_MAX {
            let name = fault.name();
            return Err(format!("after {name}: {moved} of {PRODUCERS} producers go on"));
        }
        sleep(Duration::from_millis(50));
    }
}

/// Whether a group has committed the end of every partition.
fn caught_up(world: &World, group: &str, topics: &Topics) -> io::Result<bool> {
    let mut connection = world.must_connect();
    let client =
        Client { name: "lag".into(), world: Arc::new(World::silent()), random: Random::new(0) };
    for partition in 0..Topics::PARTITIONS {
        let committed = client.fetch_committed(&mut connection, group, &topics.plain, partition)?;
        let end = client.ends(&mut connection, &topics.plain, partition)?;
        if committed.flatten().unwrap_or(0) != end.map_or(0, |end| end.next) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The read-only view in one order has exactly what the partitions have, each in its order.
fn compare_order(connection: &mut Connection, topic: &str) -> Result<usize, Failure> {
    let mut read = |place: (&str, u32)| {
        let records = read_all(connection, place);
        let records = records.map_err(|error| format!("`{}`/{}: {error}", place.0, place.1))?;
        Ok::<_, Failure>(records.into_iter().map(|(_, record)| record.value).collect::<Vec<_>>())
    };
    let view = read((&format!("{topic}.ordered"), 0))?;
    let mut sorted = view.clone();
    sorted.sort();
    let places: BTreeMap<_, usize> = view.iter().zip(0..).collect();
    let mut all = Vec::new();
    for partition in 0..Topics::PARTITIONS {
        let values = read((topic, partition))?;
        let at: Vec<_> = values.iter().map(|value| places.get(value)).collect();
        if !at.is_sorted() || at.contains(&None) {
            return Err(format!("`{topic}`/{partition} and its ordered view differ in order"));
        }
        all.extend(values);
    }
    all.sort();
    if all != sorted {
        let (view, all) = (view.len(), all.len());
        return Err(format!("`{topic}.ordered` has {view} records, its partitions {all}"));
    }
    Ok(view.len())
}
