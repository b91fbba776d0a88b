//! The boundary that every front-end speaks to: topics, messages, consumer groups, in plain
//! domain data. No protocol's wire type and no front-end's quirk appears here.

mod admin;
mod broker;
mod budget;
mod bus;
mod clock;
mod collect;
mod compaction;
mod config_push;
mod connection;
mod door;
mod error;
mod exchange;
mod fetch;
mod group;
mod hosts;
mod inspect;
mod jobs;
mod lag;
mod metrics;
mod options;
mod ordered;
mod partitioner;
mod publish;
mod queue;
mod queue_error;
mod quota;
mod settings;
mod topic;
mod upkeep;
mod write_limit;

pub use admin::{Mode, NewTopic, SettingChange};
pub use broker::Broker;
pub use budget::{Budget, Budgets, MemoryOptions, Share};
pub use bus::{
    ChannelDescription, ChannelEvent, ChannelFigures, ChannelForm, ChannelMember, ChannelPosition,
    Flushed, NewPublication, NewReceiver, Outlet, Publication, Receipt, Receiver,
    ReceiverDescription, ReceiverFigures, ReceiverHandle, Subscribe, Subscribed,
};
pub use clock::SystemClock;
pub use config_push::{
    Adoption, Change as ConfigChange, ConfigError, ConfigEvent, ConfigEvents, ConfigFigures,
    ConfigKey, ConfigPage, ConfigPush, ConfigPushOptions, ConfigRule, ConfigScope, ConfigVersion,
    ConfigWatch, Expected as ConfigExpected, Operation as ConfigOperation, Rollout,
    Shown as ConfigValue, Stage as ConfigStage, Subscriber, WatchStart,
};
pub use connection::{ConnectionInfo, Connections, Registration};
pub use door::{Door, Excess};
pub use error::Error;
pub use fetch::{FetchItem, FetchRequest, Fetched, Found, Position};
pub use group::{
    CommitOffsets, Committed, CommittedOffset, FirstJoin, GroupDescription, GroupListing,
    GroupPhase, Groups, Join, JoinError, Joined, JoinedMember, LeaderReturn, MemberDescription,
    MemberId, MemberRef, OffsetCommit, Sync, Synced,
};
pub use hosts::{Hosts, is_origin_of};
pub use inspect::StorageDescription;
pub use jobs::{
    Attempt, JobError, JobEvents, JobFilter, JobPage, JobState, JobStatus, Progress, Report, Worker,
};
pub use lag::{GroupLag, LagState, PartitionLag};
pub use metrics::Metrics;
pub use options::{CompactionOptions, GroupOptions, Options};
pub use publish::{PublishItem, Published, Publishing};
pub use queue::{
    Consumer, ConsumerOptions, Created, DeleteOnly, Delivery, Enqueue, EnqueueError,
    EnqueueOptions, Enqueuing, MessageFilter, Peek, Peeked, PeekedMessage, Placed, ProcessingTimes,
    Queue, Receive, Redrive, RedriveCount, RedriveStatus, Replay, Settle, Settling, Targets,
    Traffic, Unit, Wake,
};
pub use queue_error::QueueError;
pub use quota::{
    QuotaClient, QuotaEntity, QuotaFilter, QuotaKind, QuotaMatch, QuotaName, QuotaRates,
};
pub use settings::{SettingDescription, SettingKind, SettingScope, SettingSource, SettingSynonym};
pub use topic::Topic;
pub use tramline_catalog::Change;
pub use tramline_catalog::{ChannelBinding, ChannelEnd, ChannelSettings, Content, SlowConsumer};
pub use tramline_catalog::{
    Overflow, QueueDurability, QueueKind, QueueSettings, RedriveState, SubscriptionStart,
};
pub use tramline_catalog::{TopicDefaults, TopicSettings};
pub use tramline_log::{
    CompactionStatus, EpochEnd, Partition, ProducerDescription, RecordErrors, RecordRule,
};
pub use tramline_queue::{
    Counts, DeadReason, Lock, LockToken, Look, MessageState, Outcome, Place, Removal,
};
pub use tramline_routing::{
    Arguments, Binding, ChannelPattern, ChannelTrie, Destination, Exchange, ExchangeKind,
    ExchangeSettings, Message as RoutedBy, Value,
};
pub use tramline_store::{Damage, Stats as StoreStats};
pub use write_limit::{BytesCounted, WriteLimit};
