//! The lag of groups in messages and in seconds, as it is shown.
//!
//! Seconds are told by two batch headers: of the batch that holds the first record not
//! committed, and of the newest one. Records are not opened.

use super::{Age, LagState};
use crate::{Broker, Committed, CommittedOffset, Error};
use std::{sync::Arc, time::Duration};
use tramline_log::{Partition, Reading};
use tramline_record::BatchHeader;
use tramline_types::{GroupId, Offset, TopicName, limits};

/// How a group fares.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupLag {
    /// Every partition that the group has committed for, by topic.
    pub partitions: Vec<PartitionLag>,
}

/// How a group fares with one partition.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionLag {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: u32,
    /// What was committed.
    pub committed: Committed,
    /// The first offset there is; `None` when the topic is gone.
    pub log_start: Option<Offset>,
    /// The durable end; `None` when the topic is gone.
    pub high_watermark: Option<Offset>,
    /// Records that are not committed and can still be read.
    pub lag: Option<u64>,
    /// From the first of them to the newest; `None` where records carry no time.
    pub behind: Option<Duration>,
    /// The judgement; `None` beyond the limit of what is judged.
    pub state: Option<LagState>,
    /// The steps that it rests on.
    pub steps: usize,
}

impl GroupLag {
    /// The records of all partitions.
    pub fn total(&self) -> u64 {
        self.partitions.iter().filter_map(|partition| partition.lag).sum()
    }

    /// The longest way behind.
    pub fn behind(&self) -> Option<Duration> {
        self.partitions.iter().filter_map(|partition| partition.behind).max()
    }

    /// The gravest state.
    pub fn state(&self) -> Option<LagState> {
        self.partitions.iter().filter_map(|partition| partition.state).max()
    }
}

/// A partition with a group's commit for it, as far as no batch has to be looked at.
#[derive(Clone)]
pub(crate) struct Standing {
    pub(crate) topic: TopicName,
    pub(crate) partition: u32,
    pub(crate) committed: Committed,
    pub(crate) owner: Option<Arc<Partition>>,
    pub(crate) state: Option<LagState>,
    pub(crate) steps: usize,
    pub(crate) age: Option<Age>,
}

impl Standing {
    /// Records that are not committed. What retention took cannot be read any more, so it is
    /// not behind.
    pub(crate) fn lag(&self) -> Option<u64> {
        self.owner.as_deref().map(|owner| lag(owner, self.committed.offset))
    }
}

/// The records of a partition from `committed` on.
pub(crate) fn lag(partition: &Partition, committed: Offset) -> u64 {
    let first = committed.max(partition.log_start());
    partition.high_watermark().get().saturating_sub(first.get())
}

impl Broker {
    /// How a group fares. An error where damage may have taken a committed offset.
    pub async fn group_lag(&self, group: &GroupId) -> Result<GroupLag, Error> {
        let mut partitions = Vec::new();
        for standing in self.standings(group)? {
            let behind = match &standing.owner {
                Some(owner) => age(owner, standing.committed.offset, standing.age).await.behind,
                None => None,
            };
            partitions.push(PartitionLag {
                lag: standing.lag(),
                log_start: standing.owner.as_ref().map(|owner| owner.log_start()),
                high_watermark: standing.owner.as_ref().map(|owner| owner.high_watermark()),
                topic: standing.topic,
                partition: standing.partition,
                committed: standing.committed,
                behind,
                state: standing.state,
                steps: standing.steps,
            });
        }
        Ok(GroupLag { partitions })
    }

    /// Every partition that a group has committed for.
    pub(crate) fn standings(&self, group: &GroupId) -> Result<Vec<Standing>, Error> {
        let kept = self.groups().fetch_offsets(group, None)?;
        let mut standings: Vec<Standing> =
            kept.into_iter().filter_map(|kept| self.standing(kept)).collect();
        self.groups().judge(group, &mut standings);
        Ok(standings)
    }

    fn standing(&self, kept: CommittedOffset) -> Option<Standing> {
        let owner = self.stream(&kept.topic).and_then(|topic| topic.partition(kept.partition)).ok();
        Some(Standing {
            topic: kept.topic,
            partition: kept.partition,
            committed: kept.committed?,
            owner,
            state: None,
            steps: 0,
            age: None,
        })
    }
}

/// How far behind in time a commit is; `known` is what was found out before.
async fn age(partition: &Partition, committed: Offset, known: Option<Age>) -> Age {
    let first = committed.max(partition.log_start());
    let end = partition.high_watermark();
    let mut age = Age { committed, from: None, behind: None };
    if first >= end {
        age.behind = Some(Duration::ZERO);
        return age;
    }
    age.from = match known.filter(|known| known.committed == committed).and_then(|age| age.from) {
        Some(from) => Some(from),
        None => header(partition, first).await.map(|header| oldest(&header)),
    };
    age.from = age.from.filter(|from| *from >= 0);
    let Some(from) = age.from else { return age };
    let newest = match Offset::new(end.get() - 1) {
        Some(last) => header(partition, last).await.map(|header| header.newest_timestamp()),
        None => None,
    };
    // Compaction may have left nothing at the end.
    let behind = newest.map_or(0, |newest| newest.saturating_sub(from));
    age.behind = Some(Duration::from_millis(u64::try_from(behind).unwrap_or(0)));
    age
}

/// The time of a batch's first record.
const fn oldest(header: &BatchHeader) -> i64 {
    if header.attributes.is_log_append_time() {
        header.max_timestamp
    } else {
        header.base_timestamp
    }
}

/// The header of the batch that holds an offset, or of the next one there is.
async fn header(partition: &Partition, offset: Offset) -> Option<BatchHeader> {
    let batches = match partition.read(offset.as_i64(), 1) {
        Reading::Ready(read) => read.ok()?,
        Reading::Pending(read) => read.await.ok()?,
    };
    BatchHeader::decode(batches.pieces.first()?).ok()
}

/// Keeps up what the metrics show of every group: who has nothing to read, and who is how far
/// behind. `turn` is where the round goes on, since it looks at a limited number of batches.
pub(crate) async fn refresh(broker: &Broker, turn: &mut Option<GroupId>) {
    let mut groups: Vec<GroupId> =
        broker.groups().list().into_iter().map(|listing| listing.group).collect();
    let first = groups.partition_point(|group| Some(group) <= turn.as_ref());
    groups.rotate_left(first);
    let mut looks = 0;
    for group in groups {
        let standings = broker.standings(&group).unwrap_or_default();
        let mut ages = Vec::new();
        for standing in &standings {
            let committed = standing.committed.offset;
            let Some(owner) = &standing.owner else { continue };
            if standing.lag() == Some(0) || looks < limits::LAG_LOOKS_MAX {
                looks += usize::from(standing.lag() != Some(0));
                let place = (standing.topic.clone(), standing.partition);
                ages.push((place, age(owner, committed, standing.age).await));
            }
        }
        broker.groups().note_ages(&group, ages);
        if looks >= limits::LAG_LOOKS_MAX {
            *turn = Some(group);
            return;
        }
    }
    *turn = None;
}
