//! Bindings: what is published on channels goes into a topic or a queue, and what comes into a
//! topic or a queue is published on a channel.
//!
//! The first kind is stored before it is pushed, so that nobody sees what is refused. The second
//! kind has a task each, which follows from where the log ended when the binding was made, or the
//! broker started, up to what is durable; what it publishes is not stored again, so that two
//! bindings make no circle.

use crate::{
    Broker, Enqueue, EnqueueOptions, Error, FetchItem, FetchRequest, Fetched, NewPublication,
    Topic, broker::submit,
};
use bytes::Bytes;
use parking_lot::RwLock;
use smallvec::smallvec;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Notify, task::AbortHandle};
use tramline_catalog::{ChannelBinding, ChannelEnd, Content};
use tramline_record::Batch;
use tramline_routing::{ChannelPattern, ChannelTrie};
use tramline_store::{LogStore, Op, Purpose};
use tramline_types::{
    ChannelName, Header, Message, QueueName, TopicId, TopicName,
    limits::{BATCH_BYTES_OPENED_MAX, CHANNEL_BINDINGS_MAX, PUBLICATION_BYTES_MAX},
};

/// How long a fetch waits for more.
const FETCH_WAIT: Duration = Duration::from_secs(30);
/// Until a topic or queue that is not there is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const FETCH_BYTES: usize = 1024 * 1024;
const PARTITION_BYTES: usize = 256 * 1024;
/// The header that tells a stored message's channel.
const CHANNEL_HEADER: &[u8] = b"channel";

/// Every binding of this node.
pub(crate) struct Bindings {
    state: RwLock<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    all: BTreeSet<ChannelBinding>,
    /// Finds the places in `ends` of the bindings that store.
    stores: ChannelTrie,
    ends: Vec<ChannelEnd>,
    /// Where the followers begin that have not begun.
    places: HashMap<ChannelBinding, Place>,
}

/// Where a follower goes on.
struct Place {
    topic: TopicId,
    /// By partition; one that is not there begins with its first message.
    positions: BTreeMap<u32, i64>,
}

impl Place {
    /// Behind everything that is durable.
    fn at_end(topic: &Topic) -> Self {
        let partitions = topic.partitions();
        let ends = partitions.iter().map(|partition| partition.high_watermark().as_i64());
        Self { topic: topic.id(), positions: (0..).zip(ends).collect() }
    }

    fn at_start(topic: &Topic) -> Self {
        Self { topic: topic.id(), positions: BTreeMap::new() }
    }
}

enum Change {
    /// One that shows begins there.
    Add(Option<Place>),
    Remove,
}

impl State {
    /// Makes what is looked up anew.
    fn index(&mut self) {
        self.stores = ChannelTrie::default();
        self.ends.clear();
        for binding in &self.all {
            let ChannelBinding::Store { channel, to } = binding else { continue };
            let Ok(pattern) = ChannelPattern::parse(channel) else { continue };
            let at = u32::try_from(self.ends.len()).expect("bindings are few");
            self.stores.insert(&pattern, at);
            self.ends.push(to.clone());
        }
    }
}

impl Bindings {
    /// Takes up what is stored. A damaged binding is left out, and the rest is served.
    pub(super) fn load(store: &dyn LogStore) -> Self {
        let mut state = State::default();
        for (key, _) in store.scan(ChannelBinding::prefix()) {
            match ChannelBinding::decode(&key) {
                Ok(binding) => drop(state.all.insert(binding)),
                Err(error) => tracing::warn!(%error, "a binding of channels is left out"),
            }
        }
        state.index();
        Self { state: RwLock::new(state), changed: Notify::new() }
    }

    /// Where what is published on a channel is to be stored, each once.
    pub(super) fn stores(&self, channel: &ChannelName) -> Vec<ChannelEnd> {
        let state = self.state.read();
        let mut ends = Vec::new();
        state.stores.matches(channel, &mut |at| {
            let end = usize::try_from(at).ok().and_then(|at| state.ends.get(at));
            if let Some(end) = end.filter(|end| !ends.contains(*end)) {
                ends.push(end.clone());
            }
        });
        ends
    }

    /// Every binding that shows; and takes out where the new ones begin.
    fn shown(&self) -> (BTreeSet<ChannelBinding>, HashMap<ChannelBinding, Place>) {
        let of_this_kind =
            |binding: &&ChannelBinding| matches!(binding, ChannelBinding::Show { .. });
        let mut state = self.state.write();
        let shown = state.all.iter().filter(of_this_kind).cloned().collect();
        (shown, std::mem::take(&mut state.places))
    }
}

impl Broker {
    /// Every binding between channels and topics or queues.
    pub fn channel_bindings(&self) -> Vec<ChannelBinding> {
        self.bus().bindings.state.read().all.iter().cloned().collect()
    }

    /// Binds channels to a topic or a queue, or the other way round; durable on return. It may be
    /// there already.
    ///
    /// # Errors
    /// [`Error::InvalidTopicName`] for what is no channel, pattern, topic or queue;
    /// [`Error::UnknownTopic`] for one that does not exist; [`Error::LimitExceeded`].
    pub async fn bind_channel(&self, binding: ChannelBinding) -> Result<(), Error> {
        match &binding {
            ChannelBinding::Store { channel, to } => {
                ChannelPattern::parse(channel)?;
                self.check_end(to)?;
                if let ChannelEnd::Queue(name) = to {
                    self.queue(&QueueName::parse(name)?)?.check_writable()?;
                }
            }
            ChannelBinding::Show { from, channel } => {
                ChannelName::parse(channel)?;
                self.check_end(from)?;
            }
        }
        let place = self.end_of(&binding)?;
        self.change_binding(binding, Change::Add(place)).await
    }

    /// Where a binding that shows begins when it is made, or the broker starts.
    fn end_of(&self, binding: &ChannelBinding) -> Result<Option<Place>, Error> {
        let ChannelBinding::Show { from, .. } = binding else { return Ok(None) };
        let (ChannelEnd::Topic(name) | ChannelEnd::Queue(name)) = from;
        Ok(Some(Place::at_end(&*self.stream(&TopicName::parse(name)?)?)))
    }

    /// Lets the bindings of before go on from here.
    pub(crate) fn resume_bindings(&self) {
        let bindings = &self.bus().bindings;
        for binding in bindings.shown().0 {
            // Of what is not there everything will have come after this.
            if let Ok(Some(place)) = self.end_of(&binding) {
                bindings.state.write().places.insert(binding, place);
            }
        }
    }

    /// Takes a binding out, which may be gone already; durable on return.
    pub async fn unbind_channel(&self, binding: ChannelBinding) -> Result<(), Error> {
        self.change_binding(binding, Change::Remove).await
    }

    fn check_end(&self, end: &ChannelEnd) -> Result<(), Error> {
        match end {
            ChannelEnd::Topic(name) => self.topic(&TopicName::parse(name)?)?.check_writable(),
            ChannelEnd::Queue(name) => self.queue(&QueueName::parse(name)?).map(drop),
        }
    }

    async fn change_binding(&self, binding: ChannelBinding, change: Change) -> Result<(), Error> {
        let key = binding.key();
        let reservation = self.store().reserve(Purpose::Upkeep, key.len(), 1).wait().await?;
        let durable = {
            let mut state = self.bus().bindings.state.write();
            let is_known = state.all.contains(&binding);
            let op = match change {
                Change::Add(_) if !is_known && state.all.len() >= CHANNEL_BINDINGS_MAX => {
                    let text = format!("{CHANNEL_BINDINGS_MAX} bindings are there, the limit");
                    return Err(Error::LimitExceeded(text));
                }
                Change::Add(place) => {
                    if let Some(place) = place.filter(|_| !is_known) {
                        state.places.insert(binding.clone(), place);
                    }
                    state.all.insert(binding);
                    Op::Put(key, Bytes::new())
                }
                Change::Remove => {
                    state.places.remove(&binding);
                    state.all.remove(&binding);
                    Op::Remove(key)
                }
            };
            state.index();
            submit(&**self.store(), smallvec![op], reservation)
        };
        self.bus().bindings.changed.notify_one();
        durable.await.map_err(|_| Error::Closed)
    }

    /// Stores a publication in every place that its channel is bound to; in how many.
    pub(super) async fn store_publication(&self, new: &NewPublication) -> Result<u64, Error> {
        let ends = self.bus().bindings.stores(&new.channel);
        let stored = ends.len() as u64;
        for end in ends {
            match end {
                ChannelEnd::Topic(name) => {
                    let topic = self.topic(&TopicName::parse(&name)?)?;
                    let messages = vec![(None, message(new))];
                    self.publish_messages(&topic, messages).await.remove(0)?;
                }
                ChannelEnd::Queue(name) => {
                    let queue = self.queue(&QueueName::parse(&name)?)?;
                    let options = EnqueueOptions { persistent: true, ..Default::default() };
                    let targets = smallvec![queue];
                    let item = Enqueue { targets, message: message(new), options };
                    let stored = self.enqueue(vec![item]).await.await.remove(0);
                    stored.map_err(|error| match error {
                        crate::EnqueueError::StorageFull => Error::StorageFull,
                        error => Error::LimitExceeded(format!("queue `{name}`: {error}")),
                    })?;
                }
            }
        }
        Ok(stored)
    }
}

/// A publication as it is stored: its key, or else its channel, keeps an order.
fn message(new: &NewPublication) -> Message {
    let channel = Bytes::copy_from_slice(new.channel.as_str().as_bytes());
    let key = new.key.as_deref().map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let name = Bytes::from_static(CHANNEL_HEADER);
    Message {
        key: Some(key.unwrap_or_else(|| channel.clone())),
        value: Some(new.data.clone()),
        headers: vec![Header { name, value: Some(channel) }],
        timestamp: None,
    }
}

/// Keeps one follower for each binding that shows, until the broker closes.
pub(crate) async fn run_bindings(broker: Broker) {
    let mut followers: HashMap<ChannelBinding, AbortHandle> = HashMap::new();
    loop {
        let (wanted, mut places) = broker.bus().bindings.shown();
        followers.retain(|binding, follower| {
            // One with a place was taken away and made again.
            let is_wanted = wanted.contains(binding) && !places.contains_key(binding);
            if !is_wanted {
                follower.abort();
            }
            is_wanted
        });
        for binding in wanted {
            let ChannelBinding::Show { from, channel } = &binding else { continue };
            let (ChannelEnd::Topic(name) | ChannelEnd::Queue(name)) = from;
            let names = (TopicName::parse(name), ChannelName::parse(channel));
            let (Ok(name), Ok(channel)) = names else { continue };
            let place = places.remove(&binding);
            let follower = Follower { broker: broker.clone(), name, channel, place };
            followers.entry(binding).or_insert_with(|| tokio::spawn(follower.run()).abort_handle());
        }
        tokio::select! {
            () = broker.bus().bindings.changed.notified() => {}
            () = broker.closed() => break,
        }
    }
    followers.values().for_each(AbortHandle::abort);
}

struct Follower {
    broker: Broker,
    name: TopicName,
    channel: ChannelName,
    place: Option<Place>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            if let Ok(topic) = self.broker.stream(&self.name) {
                let known = self.place.take().filter(|place| place.topic == topic.id());
                // In another one of this name everything came after the binding.
                let mut place = known.unwrap_or_else(|| Place::at_start(&topic));
                let Err(error) = self.follow(&topic, &mut place.positions).await;
                tracing::debug!(topic = %self.name, %error, "no longer followed");
                // What cannot be read is passed over.
                self.place = Some(Place::at_end(&topic));
            }
            let clock = self.broker.clock();
            clock.sleep_until(Some(clock.monotonic().plus(LOOK_AGAIN))).await;
        }
    }

    /// Follows until the topic goes.
    async fn follow(
        &self,
        topic: &Arc<Topic>,
        positions: &mut BTreeMap<u32, i64>,
    ) -> Result<Infallible, Error> {
        loop {
            for partition in 0..topic.partition_count() {
                positions.entry(partition).or_insert(0);
            }
            let item = |(partition, offset): (&u32, &i64)| FetchItem {
                topic: Arc::clone(topic),
                partition: *partition,
                offset: *offset,
                bytes_max: PARTITION_BYTES,
            };
            let items = positions.iter().map(item).collect();
            let (bytes_max, wait_max) = (FETCH_BYTES, FETCH_WAIT);
            let request = FetchRequest { items, bytes_min: 1, bytes_max, wait_max };
            let results = self.broker.fetch(request).await;
            for ((partition, offset), result) in positions.iter_mut().zip(results) {
                match result {
                    Ok(fetched) => *offset = self.publish(&fetched, *offset).await?,
                    Err(Error::OffsetOutOfRange { .. }) => {
                        *offset = topic.partition(*partition)?.log_start().as_i64();
                    }
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Publishes what was fetched, and tells where to go on.
    async fn publish(&self, fetched: &Fetched, from: i64) -> Result<i64, Error> {
        let mut next = from;
        let damaged = |error: tramline_record::Error| Error::DataDamaged(error.to_string());
        for piece in &fetched.pieces {
            let mut piece = piece.clone();
            while let Some(batch) = Batch::decode_first_trusted(&mut piece).map_err(damaged)? {
                let header = batch.header();
                next = next.max(header.last_offset() + 1);
                if header.attributes.is_control() {
                    continue;
                }
                // What cannot be opened is passed over, as every reader does.
                for record in batch.records(BATCH_BYTES_OPENED_MAX).unwrap_or_default() {
                    if header.base_offset + i64::from(record.offset_delta) >= from {
                        self.publish_one(record.key, record.value).await;
                    }
                }
            }
        }
        Ok(next)
    }

    async fn publish_one(&self, key: Option<Bytes>, value: Option<Bytes>) {
        let value = value.unwrap_or_default();
        let key = key.and_then(|key| Some(Arc::from(std::str::from_utf8(&key).ok()?)));
        if value.len() + key.as_deref().map_or(0, str::len) > PUBLICATION_BYTES_MAX {
            tracing::debug!(topic = %self.name, bytes = value.len(), "too large for a channel");
            return;
        }
        let new = NewPublication {
            channel: self.channel.clone(),
            key,
            content: content(&value),
            // A copy: a slice would keep the whole batch in memory.
            data: Bytes::copy_from_slice(&value),
            retain: false,
        };
        if let Err(error) = self.broker.publish_unbound(new).await {
            tracing::debug!(topic = %self.name, channel = %self.channel, %error, "not shown");
        }
    }
}

/// What a stored value looks like.
fn content(value: &[u8]) -> Content {
    let is_json = matches!(value.first(), Some(b'{' | b'['))
        && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok();
    match std::str::from_utf8(value) {
        Ok(_) if is_json => Content::Json,
        Ok(_) => Content::Text,
        Err(_) => Content::Binary,
    }
}
