//! What is published on a channel, and what receivers are told: both are encoded once for each
//! form, and the bytes are shared by all who take that form.

use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use tramline_catalog::{Content, RetainedRecord};
use tramline_routing::ChannelPattern;
use tramline_types::{ChannelName, Timestamp};

/// A place in the order of everything that is published on the channels of this node. The order
/// begins anew with each start of the broker, which the epoch tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelPosition {
    /// Which order.
    pub epoch: u64,
    /// The publication at or before this place; 0 is before the first.
    pub offset: u64,
}

/// What is to be published.
#[derive(Clone, Debug)]
pub struct NewPublication {
    /// Where.
    pub channel: ChannelName,
    /// What a slow receiver is told the latest of, with the channel.
    pub key: Option<Arc<str>>,
    /// What the data is.
    pub content: Content,
    /// The data.
    pub data: Bytes,
    /// Kept as the channel's last value, also where the channel's settings do not say so. Data
    /// that is empty then deletes the last value.
    pub retain: bool,
}

/// What was published.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where.
    pub channel: ChannelName,
    /// Its place.
    pub position: ChannelPosition,
    /// What a slow receiver is told the latest of, with the channel.
    pub key: Option<Arc<str>>,
    /// What the data is.
    pub content: Content,
    /// The data.
    pub data: Bytes,
    /// When.
    pub at: Timestamp,
    /// The events that it makes, in each form that somebody has taken: live, and as a last value.
    pub(super) forms: [[OnceLock<Bytes>; ChannelForm::SLOTS]; 2],
}

impl Publication {
    /// The event that it makes; spelt once, and shared from then on.
    pub(super) fn event(&self, form: &ChannelForm, retained: bool) -> Bytes {
        let encode = || (form.encode)(&ChannelEvent::Message { publication: self, retained });
        self.forms[usize::from(retained)][form.slot].get_or_init(encode).clone()
    }

    pub(super) fn record(&self) -> RetainedRecord {
        RetainedRecord {
            content: self.content,
            at: self.at,
            key: self.key.as_deref().map(Into::into),
            data: self.data.clone(),
        }
    }

    /// What it takes in memory, about: the data as they came, and in one form.
    pub(super) fn bytes(&self) -> usize {
        let key = self.key.as_deref().map_or(0, str::len);
        size_of::<Self>() + 2 * (self.channel.as_str().len() + key + self.data.len())
    }
}

/// Someone who listens to a channel by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelMember {
    /// The receiver's number, for as long as it lives.
    pub receiver: u32,
    /// What its client calls itself.
    pub client: Option<Arc<str>>,
}

/// What a subscription begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribed {
    /// Behind which place it goes on.
    pub position: ChannelPosition,
    /// Whether everything since the place that was asked for follows; `None` when none was.
    pub recovered: Option<bool>,
}

/// What a receiver is told.
#[derive(Debug)]
pub enum ChannelEvent<'a> {
    /// A publication; `retained` when it is the last value from before the subscription.
    Message {
        /// The publication.
        publication: &'a Publication,
        /// It is the last value of before.
        retained: bool,
    },
    /// The subscription stands.
    Subscribed {
        /// To what.
        pattern: &'a ChannelPattern,
        /// From where on.
        subscribed: Subscribed,
        /// What the client gave to know the answer by.
        request: Option<&'a str>,
    },
    /// So many publications were dropped here, because the receiver was slow.
    Dropped(u64),
    /// Somebody came.
    Joined(&'a ChannelName, &'a ChannelMember),
    /// Somebody went.
    Left(&'a ChannelName, &'a ChannelMember),
}

/// How a front-end spells events.
#[derive(Debug)]
pub struct ChannelForm {
    /// A number of its own, below [`ChannelForm::SLOTS`].
    pub slot: usize,
    /// Spells one event.
    pub encode: fn(&ChannelEvent<'_>) -> Bytes,
}

impl ChannelForm {
    /// How many forms there can be.
    pub const SLOTS: usize = 4;
}
