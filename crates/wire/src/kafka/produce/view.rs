//! A Produce request without its nesting: one list of topics, one of partitions. A request for
//! one topic and up to four partitions allocates nothing.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::{DecodeError, KafkaStr, Reader};

use super::VERSIONS;

/// The first flexible version.
const FLEXIBLE_SINCE: i16 = 9;
/// The first version that names topics by id.
const TOPIC_ID_SINCE: i16 = 13;

/// A Produce request. Names and record data are slices of the frame.
#[derive(Clone, Debug, PartialEq)]
pub struct ProduceView {
    /// The transactional producer, if it is one.
    pub transactional_id: Option<KafkaStr>,
    /// 0: no answer; 1 and -1: an answer when the data is safe.
    pub acks: i16,
    /// How long the client waits.
    pub timeout_ms: i32,
    /// The topics, in the order of the request.
    pub topics: SmallVec<[TopicView; 1]>,
    /// The partitions of all topics, in the order of the request.
    pub partitions: SmallVec<[PartitionView; 4]>,
}

/// One topic of a Produce request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicView {
    /// The name; empty from v13 on.
    pub name: KafkaStr,
    /// The id; zero before v13.
    pub topic_id: [u8; 16],
    /// How many entries of [`ProduceView::partitions`] belong to it: those that follow the ones
    /// of the topics before it.
    pub partition_count: usize,
}

/// One partition of a Produce request.
#[derive(Clone, Debug, PartialEq)]
pub struct PartitionView {
    /// Which entry of [`ProduceView::topics`] it belongs to.
    pub topic: usize,
    /// The partition.
    pub index: i32,
    /// Its record batches, unchecked.
    pub records: Option<Bytes>,
}

impl ProduceView {
    /// Reads the body of a Produce request.
    pub fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !VERSIONS.contains(version) {
            return Err(DecodeError::UnsupportedVersion(version));
        }
        let flexible = version >= FLEXIBLE_SINCE;
        let mut view = Self {
            transactional_id: reader.nullable_string(flexible)?,
            acks: reader.i16()?,
            timeout_ms: reader.i32()?,
            topics: SmallVec::new(),
            partitions: SmallVec::new(),
        };
        let topic_count = reader.array_length(flexible)?.ok_or(DecodeError::UnexpectedNull)?;
        for _ in 0..topic_count {
            view.decode_topic(reader, version)?;
        }
        if flexible {
            reader.skip_tagged_fields()?;
        }
        Ok(view)
    }

    fn decode_topic(&mut self, reader: &mut Reader, version: i16) -> Result<(), DecodeError> {
        let flexible = version >= FLEXIBLE_SINCE;
        let mut topic = TopicView::default();
        if version >= TOPIC_ID_SINCE {
            topic.topic_id = reader.array()?;
        } else {
            topic.name = reader.nullable_string(flexible)?.ok_or(DecodeError::UnexpectedNull)?;
        }
        topic.partition_count =
            reader.array_length(flexible)?.ok_or(DecodeError::UnexpectedNull)?;
        for _ in 0..topic.partition_count {
            self.partitions.push(PartitionView {
                topic: self.topics.len(),
                index: reader.i32()?,
                records: reader.nullable_bytes(flexible)?,
            });
            if flexible {
                reader.skip_tagged_fields()?;
            }
        }
        if flexible {
            reader.skip_tagged_fields()?;
        }
        self.topics.push(topic);
        Ok(())
    }
}
