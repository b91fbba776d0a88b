//! What exists: the named resources and their settings, one source file per kind, in the
//! key-value space of the store.
//!
//! Keys, all text: `topic/<name>` → JSON of [`TopicRecord`]; `log-ids` → decimal upper bound of
//! the log ids handed out; `producer-ids` likewise; `cluster-id` → text; `leader-epoch` →
//! decimal, raised at every start; `queue/<name>` → JSON of [`QueueRecord`]; `group/<id>`
//! belongs to the consumer groups; `exchange/<name>` → JSON of [`ExchangeRecord`];
//! `binding/<JSON of [`BindingRecord`]>` → nothing; `quota/<JSON of [`QuotaEntity`]>` → JSON of
//! [`QuotaRates`]; `compacted/<log>` belongs to the partitions; `settings/all` and
//! `settings/this` → JSON of the broker settings that were set while it ran;
//! `channel-settings/`, `channel-retained/` and `channel-binding/` are described in `channel`,
//! `redrive/` in `redrive`.

mod channel;
mod counter;
mod error;
mod exchange;
mod queue;
mod quota;
mod redrive;
mod setting;
mod topic;

pub use channel::{
    ChannelBinding, ChannelEnd, ChannelSettings, Content, RetainedRecord, SlowConsumer,
};
pub use counter::Counter;
pub use error::Error;
pub use exchange::{BindingRecord, ExchangeRecord};
pub use queue::{
    Overflow, QueueDurability, QueueKind, QueueRecord, QueueSettings, SubscriptionStart,
};
pub use quota::{QuotaEntity, QuotaKind, QuotaName, QuotaRates};
pub use redrive::{RedriveFilter, RedrivePair, RedriveRecord, RedriveState};
pub use setting::{
    BROKER_SETTINGS, GROUP_SETTINGS, Setting, SettingKind, TOPIC_SETTINGS,
    find as find_topic_setting, find_broker as find_broker_setting,
    find_group as find_group_setting,
};
pub use topic::{
    Change, CompactionSettings, Layer, OrderedRecord, TopicDefaults, TopicRecord, TopicSettings,
};

/// The key of the last broker start's leader epoch.
pub const LEADER_EPOCH_KEY: &[u8] = b"leader-epoch";
/// The key of the cluster's id.
pub const CLUSTER_ID_KEY: &[u8] = b"cluster-id";
