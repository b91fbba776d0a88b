//! The soak's clients beyond those of the crash tests: members that come and go, an administrator
//! that makes and removes topics, and a crowd that connects all at once.

use crate::{
    live::{connection::Connection, load::Client, member::Member, world::World},
    soak::Failure,
};
use std::{
    collections::BTreeMap,
    io,
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle, sleep},
    time::Duration,
};
use tramline_store::fs::sim::Random;

/// The group that members come to and leave.
pub(super) const GROUP: &str = "members";
const PAUSE: Duration = Duration::from_millis(20);
/// Polls between two commits.
const POLLS: u64 = 6;

/// What members of a round share with it.
#[derive(Default)]
pub(super) struct Membership {
    /// Nobody leaves any more: the group comes to the end of everything.
    pub(super) settled: AtomicBool,
    /// Generations entered.
    pub(super) joins: AtomicU64,
    pub(super) ended: AtomicBool,
}

/// Starts the members of a group; they end when it has ended.
pub(super) fn members(
    world: &Arc<World>,
    random: &mut Random,
    (count, group): (u32, &str),
    topics: &BTreeMap<String, u32>,
    membership: &Arc<Membership>,
) -> Vec<(String, JoinHandle<()>)> {
    let start = |i| {
        let (name, random) = (format!("member-{i}"), Random::new(random.next_u64()));
        let client = Client { name: name.clone(), world: Arc::clone(world), random };
        let mut member = Member::new(client, group, topics.clone());
        let membership = Arc::clone(membership);
        let run = move || {
            while !membership.ended.load(Ordering::Relaxed) {
                // An error is a lost connection: a member that vanished comes again.
                if live(&mut member, &membership).is_err() {
                    sleep(PAUSE);
                }
            }
        };
        (name, thread::spawn(run))
    };
    (0..count).map(start).collect()
}

/// One stay in the group.
fn live(member: &mut Member, membership: &Membership) -> io::Result<()> {
    let mut connection = member.client.world.open()?;
    member.join(&mut connection)?;
    membership.joins.fetch_add(1, Ordering::Relaxed);
    while !membership.ended.load(Ordering::Relaxed) {
        for _ in 0..POLLS {
            if !member.poll(&mut connection)? {
                sleep(PAUSE);
            }
        }
        let committed = member.commit(&mut connection)?;
        if committed != 0 || member.heartbeat(&mut connection)? != 0 {
            member.join(&mut connection)?;
            membership.joins.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let settled = membership.settled.load(Ordering::Relaxed);
        if !settled && member.client.random.one_in(25) {
            if member.client.random.one_in(2) {
                member.leave(&mut connection)?;
            }
            sleep(Duration::from_millis(member.client.random.below(500)));
            return Ok(());
        }
    }
    member.leave(&mut connection)?;
    Ok(())
}

/// Starts an administrator that makes topics and removes them again.
pub(super) fn administrator(
    world: &Arc<World>,
    random: &mut Random,
    scope: &str,
) -> (String, JoinHandle<()>) {
    let (name, scope) = ("administrator".to_owned(), scope.to_owned());
    let random = Random::new(random.next_u64());
    let mut client = Client { name: name.clone(), world: Arc::clone(world), random };
    let run = move || {
        let mut made = Vec::new();
        let mut number = 0_u32;
        while let Some(mut connection) = client.world.connect() {
            if made.len() < 3 && client.random.one_in(2) {
                let topic = format!("{scope}extra-{number}");
                number += 1;
                client.create_topic(&mut connection, &topic, 1 + number % 3, None);
                made.push(topic);
            } else if let Some(topic) = made.pop() {
                client.delete_topic(&mut connection, &topic);
            }
            sleep(Duration::from_millis(50 + client.random.below(300)));
        }
    };
    (name, thread::spawn(run))
}

/// Many connections at once, most of which say nothing; all are dropped again.
pub(super) fn crowd(address: &str, count: usize) -> Result<(), Failure> {
    let connect = |i: usize| -> io::Result<TcpStream> {
        match i % 10 {
            0 => Connection::open(address).map(Connection::into_stream),
            _ => TcpStream::connect(address),
        }
    };
    let crowd: Result<Vec<_>, _> = (0..count).map(connect).collect();
    crowd.map(drop).map_err(|error| format!("a storm of {count} connections: {error}"))
}
