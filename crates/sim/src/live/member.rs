//! A member of a classic consumer group: joins, shares the partitions out when it leads, reads
//! what it was given, commits within its generation, leaves or vanishes.

use crate::live::{
    audit::{Assigned, Polled},
    connection::Connection,
    load::Client,
    world::World,
};
use crate::{Committed, Step};
use bytes::Bytes;
use std::{collections::BTreeMap, io, sync::Arc};
use tramline_store::fs::sim::Random;
use tramline_wire::{
    KafkaStr,
    kafka::{
        HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest,
        SyncGroupRequest, join_group, leave_group, offset_commit, sync_group,
    },
};

/// Errors after which a member has to join anew, and under which the first one keeps its id.
const ILLEGAL_GENERATION: i16 = 22;
const UNKNOWN_MEMBER_ID: i16 = 25;
const REBALANCE_IN_PROGRESS: i16 = 27;
/// How often a member tries to get into one settled generation.
const JOINS_MAX: u32 = 50;

/// One member of a group.
pub struct Member {
    /// The client of the history.
    pub client: Client,
    group: String,
    topics: BTreeMap<String, u32>,
    session_timeout_ms: i32,
    id: KafkaStr,
    generation: i32,
    assigned: Vec<Assigned>,
}

impl Member {
    /// A member that is not in its group yet.
    pub fn new(client: Client, group: &str, topics: BTreeMap<String, u32>) -> Self {
        let group = group.to_owned();
        let (id, assigned) = (KafkaStr::EMPTY, Vec::new());
        Self { client, group, topics, session_timeout_ms: 6000, id, generation: -1, assigned }
    }

    /// A member of the group `members`, which reads every topic of a world.
    pub fn of_all(world: &Arc<World>, random: &mut Random, name: &str) -> Self {
        let random = Random::new(random.next_u64());
        let client = Client { name: name.to_owned(), world: Arc::clone(world), random };
        Self::new(client, "members", world.topics())
    }

    /// The same member with another session, and rebalance, time-out.
    #[must_use]
    pub fn with_session(self, session_timeout_ms: i32) -> Self {
        Self { session_timeout_ms, ..self }
    }

    /// The generation that it is in.
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// Its partitions.
    pub fn assigned(&self) -> &[Assigned] {
        &self.assigned
    }

    /// Enters the group's next generation and takes up its partitions at their committed
    /// offsets. The error is the connection's, or says that the group does not settle.
    pub fn join(&mut self, connection: &mut Connection) -> io::Result<()> {
        for _ in 0..JOINS_MAX {
            let joined = connection.call(&self.join_request(), 3)?;
            match joined.error_code {
                0 => self.id = joined.member_id.clone(),
                UNKNOWN_MEMBER_ID => {
                    self.id = KafkaStr::EMPTY;
                    continue;
                }
                REBALANCE_IN_PROGRESS => continue,
                code => return Err(io::Error::other(format!("JoinGroup: error {code}"))),
            }
            self.generation = joined.generation_id;
            let synced = connection.call(&self.sync_request(&joined), 1)?;
            match synced.error_code {
                0 => return self.take_up(connection, &synced.assignment),
                ILLEGAL_GENERATION | UNKNOWN_MEMBER_ID | REBALANCE_IN_PROGRESS => {}
                code => return Err(io::Error::other(format!("SyncGroup: error {code}"))),
            }
        }
        Err(io::Error::other(format!("`{}` does not settle in {JOINS_MAX} joins", self.group)))
    }

    fn join_request(&self) -> JoinGroupRequest {
        let metadata = subscription(self.topics.keys());
        let name = KafkaStr::from_static("range");
        JoinGroupRequest {
            group_id: KafkaStr::from(self.group.clone()),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.session_timeout_ms,
            member_id: self.id.clone(),
            protocol_type: KafkaStr::from_static("consumer"),
            protocols: vec![join_group::JoinGroupRequestProtocol { name, metadata }],
            ..Default::default()
        }
    }

    /// The leader hands in everybody's partitions, one each in turn.
    fn sync_request(&self, joined: &join_group::JoinGroupResponse) -> SyncGroupRequest {
        let mut places: Vec<Vec<(&str, u32)>> = vec![Vec::new(); joined.members.len()];
        let all = self.topics.iter().flat_map(|(topic, n)| (0..*n).map(move |i| (&**topic, i)));
        for (i, place) in all.enumerate().filter(|_| !joined.members.is_empty()) {
            places[i % joined.members.len()].push(place);
        }
        let assignments = joined.members.iter().zip(&places).map(|(member, places)| {
            let (member_id, assignment) = (member.member_id.clone(), assignment(places));
            sync_group::SyncGroupRequestAssignment { member_id, assignment }
        });
        SyncGroupRequest {
            group_id: KafkaStr::from(self.group.clone()),
            generation_id: self.generation,
            member_id: self.id.clone(),
            assignments: assignments.collect(),
            ..Default::default()
        }
    }

    fn take_up(&mut self, connection: &mut Connection, assignment: &[u8]) -> io::Result<()> {
        let places = read_assignment(assignment)
            .ok_or_else(|| io::Error::other("an assignment that nobody made"))?;
        self.assigned.clear();
        for (topic, partition) in places {
            let client = &self.client;
            let committed = client.fetch_committed(connection, &self.group, &topic, partition)?;
            let Some(end) = client.ends(connection, &topic, partition)? else { continue };
            let from = committed.flatten().unwrap_or(end.start).max(end.start);
            self.assigned.push(client.assign(&topic, partition, from));
        }
        Ok(())
    }

    /// Fetches once from each of its partitions; whether anything came.
    pub fn poll(&mut self, connection: &mut Connection) -> io::Result<bool> {
        let mut moved = false;
        for assigned in &mut self.assigned {
            let before = assigned.position;
            if self.client.poll(connection, assigned)? == Polled::OutOfRange {
                let (topic, partition) = (assigned.topic().to_owned(), assigned.partition());
                if let Some(end) = self.client.ends(connection, &topic, partition)? {
                    *assigned = self.client.assign(&topic, partition, end.start);
                }
            }
            moved |= assigned.position != before;
        }
        Ok(moved)
    }

    /// Says that it is alive; the error code.
    pub fn heartbeat(&self, connection: &mut Connection) -> io::Result<i16> {
        let request = HeartbeatRequest {
            group_id: KafkaStr::from(self.group.clone()),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..Default::default()
        };
        Ok(connection.call(&request, 2)?.error_code)
    }

    /// Commits where it is; the first error code other than 0.
    pub fn commit(&self, connection: &mut Connection) -> io::Result<i16> {
        let mut first = 0;
        for assigned in &self.assigned {
            let code = self.commit_one(connection, assigned)?;
            if first == 0 {
                first = code;
            }
        }
        Ok(first)
    }

    fn commit_one(&self, connection: &mut Connection, assigned: &Assigned) -> io::Result<i16> {
        let (topic, partition) = (assigned.topic(), assigned.partition());
        let offset = assigned.position;
        let offsets = vec![Committed { topic: topic.to_owned(), partition, offset }];
        let (client, world) = (&self.client.name, &self.client.world);
        let op = world.invoke(client, Step::Commit { group: self.group.clone(), offsets });
        let request = OffsetCommitRequest {
            group_id: KafkaStr::from(self.group.clone()),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            topics: vec![offset_commit::OffsetCommitRequestTopic {
                name: KafkaStr::from(topic.to_owned()),
                partitions: vec![offset_commit::OffsetCommitRequestPartition {
                    partition_index: i32::try_from(partition).expect("a partition's index"),
                    committed_offset: i64::try_from(offset).expect("an offset"),
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let answer = connection.call(&request, 7);
        let answer = answer.map(|answer| answer.topics[0].partitions[0].error_code);
        let code = answer.as_ref().map_or(-1, |code| *code);
        let lost = answer.as_ref().err().map(|error| io::Error::from(error.kind()));
        self.client.completed(op, answer);
        lost.map_or(Ok(code), Err)
    }

    /// Leaves the group; the error code.
    pub fn leave(&mut self, connection: &mut Connection) -> io::Result<i16> {
        let member =
            leave_group::MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let request = LeaveGroupRequest {
            group_id: KafkaStr::from(self.group.clone()),
            members: vec![member],
            ..Default::default()
        };
        self.assigned.clear();
        self.id = KafkaStr::EMPTY;
        Ok(connection.call(&request, 3)?.error_code)
    }
}

/// Kafka's consumer protocol, version 0.
fn subscription<'a>(topics: impl ExactSizeIterator<Item = &'a String>) -> Bytes {
    let mut bytes = Vec::new();
    bytes.extend(0_i16.to_be_bytes());
    bytes.extend(size(topics.len()).to_be_bytes());
    topics.for_each(|topic| put_text(&mut bytes, topic));
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

fn assignment(places: &[(&str, u32)]) -> Bytes {
    let mut topics = BTreeMap::<&str, Vec<u32>>::new();
    for (topic, partition) in places {
        topics.entry(topic).or_default().push(*partition);
    }
    let mut bytes = Vec::new();
    bytes.extend(0_i16.to_be_bytes());
    bytes.extend(size(topics.len()).to_be_bytes());
    for (topic, partitions) in topics {
        put_text(&mut bytes, topic);
        bytes.extend(size(partitions.len()).to_be_bytes());
        partitions.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
    }
    bytes.extend((-1_i32).to_be_bytes());
    bytes.into()
}

fn read_assignment(mut bytes: &[u8]) -> Option<Vec<(String, u32)>> {
    let mut places = Vec::new();
    if bytes.is_empty() {
        return Some(places);
    }
    take::<2>(&mut bytes)?;
    for _ in 0..u32::from_be_bytes(take(&mut bytes)?) {
        let n_bytes = usize::from(u16::from_be_bytes(take(&mut bytes)?));
        let (name, rest) = bytes.split_at_checked(n_bytes)?;
        bytes = rest;
        let name = String::from_utf8(name.to_vec()).ok()?;
        for _ in 0..u32::from_be_bytes(take(&mut bytes)?) {
            places.push((name.clone(), u32::from_be_bytes(take(&mut bytes)?)));
        }
    }
    Some(places)
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(u16::try_from(text.len()).expect("a short name").to_be_bytes());
    bytes.extend(text.as_bytes());
}

fn size(n: usize) -> u32 {
    u32::try_from(n).expect("a handful")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_back() {
        let places = [("a", 0), ("b", 7), ("a", 2)];
        let mut read = read_assignment(&assignment(&places)).unwrap();
        read.sort();
        let expected = [("a", 0), ("a", 2), ("b", 7)].map(|(topic, i)| (topic.to_owned(), i));
        assert_eq!(read, expected);
        assert_eq!(read_assignment(b""), Some(Vec::new()));
        assert_eq!(read_assignment(b"\0\0\0\0\0\x01\0\x09a"), None);
    }
}
