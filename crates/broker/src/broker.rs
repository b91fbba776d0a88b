//! The broker's handle: what is shared between all front-ends, and how it starts and stops.

use crate::{
    Budgets, ConfigPush, Connections, Error, Groups, Metrics, Options, Topic,
    bus::{Bus, run_bindings},
    collect::{Figures, groups::GroupFigures},
    compaction,
    exchange::Exchanges,
    jobs,
    ordered::{follow, ordered_settings},
    queue::{self, Queues},
    quota::Quotas,
    settings::Live,
    topic::{Topics, partition_settings},
    upkeep,
};
use bytes::Bytes;
use parking_lot::RwLock;
use smallvec::smallvec;
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use tokio::sync::{oneshot, watch};
use tracing::warn;
use tramline_catalog::{CLUSTER_ID_KEY, Counter, LEADER_EPOCH_KEY, TopicRecord, TopicSettings};
use tramline_log::{Partition, PartitionSettings};
use tramline_store::{Commit, LogStore, Op, Purpose, Reservation};
use tramline_types::{Clock, LogId, ProducerId, Times, TopicId, TopicName};

/// A running broker. A clone is a handle to the same one.
#[derive(Clone)]
pub struct Broker {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn LogStore>,
    clock: Arc<dyn Clock>,
    live: Live,
    cluster_id: String,
    leader_epoch: i32,
    topics: Arc<RwLock<Topics>>,
    /// Held while a topic is created, changed or deleted: one such change at a time.
    admin: tokio::sync::Mutex<()>,
    groups: Groups,
    exchanges: Exchanges,
    bus: Arc<Bus>,
    connections: Arc<Connections>,
    queues: Queues,
    config_push: ConfigPush,
    log_ids: Arc<Counter>,
    producer_ids: Counter,
    round_robin: AtomicU32,
    metrics: Metrics,
    budgets: Budgets,
    quotas: Quotas,
    closing: watch::Sender<bool>,
}

impl Broker {
    /// Takes up what the store holds and starts the upkeep.
    pub async fn start(
        store: Arc<dyn LogStore>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Self, Error> {
        let (cluster_id, leader_epoch) = identity(&*store).await?;
        let live = Live::load(&*store, options);
        let options = live.options();
        let topics = Arc::new(RwLock::new(load_topics(&store, leader_epoch, &options)?));
        let used_max = store.logs().iter().map(|log| log.0).max().unwrap_or(0);
        let log_ids = Arc::new(Counter::log_ids(&*store, used_max));
        let budgets = Budgets::new(&options.memory);
        let groups = Groups::start(
            Arc::clone(&store),
            Arc::clone(&clock),
            Arc::clone(&log_ids),
            (options.groups.clone(), [&budgets.groups, &budgets.offsets].map(Arc::clone)),
            Arc::clone(&topics),
        )?;
        let config_push = ConfigPush::load(
            (&store, &clock),
            &log_ids,
            (leader_epoch, &cluster_id),
            options.config_push.clone(),
        )
        .await?;
        let shared = Shared {
            groups,
            config_push,
            exchanges: Exchanges::load(&*store)?,
            bus: Arc::new(Bus::load(&*store, Arc::clone(&clock), Arc::clone(&budgets.answers))),
            connections: Arc::default(),
            queues: Queues::start((&store, &clock), &log_ids, (leader_epoch, &options), &topics)?,
            log_ids,
            producer_ids: Counter::producer_ids(&*store),
            metrics: Metrics::new(),
            topics,
            admin: tokio::sync::Mutex::new(()),
            round_robin: AtomicU32::new(0),
            budgets,
            quotas: Quotas::load(&*store)?,
            closing: watch::Sender::new(false),
            store,
            clock,
            live,
            cluster_id,
            leader_epoch,
        };
        let broker = Self { shared: Arc::new(shared) };
        let figures = Arc::downgrade(&broker.shared);
        let read = move || figures.upgrade().map(|shared| Self { shared });
        let groups = read.clone();
        broker
            .metrics()
            .register(|registry| registry.register_collector(Box::new(Figures::new(read))));
        broker.metrics().register_foreign(|registry| {
            registry.register_collector(Box::new(GroupFigures::new(groups)));
        });
        broker.groups().retain_topics(|name| broker.is_stream(name)).await?;
        broker.start_tasks();
        broker.resume_redrives().await?;
        Ok(broker)
    }

    fn start_tasks(&self) {
        tokio::spawn(upkeep::run(self.clone()));
        tokio::spawn(queue::run_timers(self.clone()));
        tokio::spawn(jobs::run(self.clone()));
        tokio::spawn(jobs::run_waiters(self.clone()));
        tokio::spawn(self.clone().run_removals());
        tokio::spawn(self.clone().run_follow_ups());
        tokio::spawn(compaction::run(self.clone()));
        tokio::spawn(self.clone().run_transfers());
        self.resume_bindings();
        tokio::spawn(run_bindings(self.clone()));
        self.groups().renew_sessions();
        tokio::spawn(self.config_push().clone().run(self.clone()));
    }

    /// The settings in force.
    pub fn options(&self) -> Arc<Options> {
        self.shared.live.options()
    }

    /// The time, and what it may be after a jump of the clock.
    pub fn times(&self) -> Times {
        Times::new(self.clock().now(), self.clock().steady())
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn LogStore> {
        &self.shared.store
    }

    /// Consumer groups.
    pub fn groups(&self) -> &Groups {
        &self.shared.groups
    }

    /// Pushed configuration.
    pub fn config_push(&self) -> &ConfigPush {
        &self.shared.config_push
    }

    /// Which client connections are open.
    pub fn connections(&self) -> &Arc<Connections> {
        &self.shared.connections
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What connections and groups take in memory.
    pub fn budgets(&self) -> &Budgets {
        &self.shared.budgets
    }

    /// The cluster's id: 22 characters, made at the first start.
    pub fn cluster_id(&self) -> &str {
        &self.shared.cluster_id
    }

    /// The topic of this name.
    pub fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, Error> {
        self.shared.topics.read().get(name)
    }

    /// The topic of this id.
    pub fn topic_by_id(&self, id: TopicId) -> Result<Arc<Topic>, Error> {
        self.shared.topics.read().get_by_id(id)
    }

    /// Every topic, by name.
    pub fn topics(&self) -> Vec<Arc<Topic>> {
        self.shared.topics.read().all()
    }

    /// A producer id that nobody has had; durable on return.
    pub async fn allocate_producer_id(&self) -> Result<ProducerId, Error> {
        let (id, bound) = self.shared.producer_ids.next();
        self.commit(smallvec![bound], 0).await?;
        i64::try_from(id)
            .map(ProducerId)
            .map_err(|_| Error::LimitExceeded("every producer id is used up".to_owned()))
    }

    /// Stops the upkeep, ends waiting fetches, and makes everything durable.
    pub async fn close(&self) {
        self.shared.closing.send_replace(true);
        self.shared.groups.close();
        self.shared.store.close().await;
    }

    /// Resolves when [`Broker::close`] is called.
    pub async fn closed(&self) {
        // An error means that every sender is gone, which is the same.
        let mut closing = self.shared.closing.subscribe();
        drop(closing.wait_for(|closing| *closing).await);
    }

    /// The epoch of the leader of every partition: one higher at each start.
    pub fn leader_epoch(&self) -> i32 {
        self.shared.leader_epoch
    }

    pub(crate) fn quotas(&self) -> &Quotas {
        &self.shared.quotas
    }

    pub(crate) fn is_closing(&self) -> bool {
        *self.shared.closing.borrow()
    }

    pub(crate) fn live(&self) -> &Live {
        &self.shared.live
    }

    /// Resolves at the next change of a setting.
    pub(crate) async fn settings_changed(&self) {
        self.shared.live.changed().await;
    }

    pub(crate) fn topics_map(&self) -> &RwLock<Topics> {
        &self.shared.topics
    }

    pub(crate) async fn admin(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.shared.admin.lock().await
    }

    pub(crate) fn queues_map(&self) -> &Queues {
        &self.shared.queues
    }

    pub(crate) fn exchanges(&self) -> &Exchanges {
        &self.shared.exchanges
    }

    pub(crate) fn bus(&self) -> &Arc<Bus> {
        &self.shared.bus
    }

    pub(crate) fn next_round_robin(&self) -> u32 {
        self.shared.round_robin.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn next_log_id(&self) -> (u64, Op) {
        self.shared.log_ids.next()
    }

    /// A new partition over a new log, and what to commit for it.
    pub(crate) fn new_partition(&self, settings: PartitionSettings) -> (Partition, [Op; 2]) {
        let (id, bound) = self.shared.log_ids.next();
        let log = LogId(id);
        let partition =
            Partition::create(Arc::clone(self.store()), log, self.shared.leader_epoch, settings);
        (partition, [bound, Op::Create(log, tramline_types::Offset::ZERO)])
    }

    /// Commits and waits until it is durable. `bytes` is the length of values in the operations.
    pub(crate) async fn commit(
        &self,
        ops: smallvec::SmallVec<[Op; 1]>,
        bytes: usize,
    ) -> Result<(), Error> {
        commit(&*self.shared.store, ops, bytes).await
    }
}

async fn commit(
    store: &dyn LogStore,
    ops: smallvec::SmallVec<[Op; 1]>,
    bytes: usize,
) -> Result<(), Error> {
    let reservation = store.reserve(Purpose::Upkeep, bytes, ops.len()).wait().await?;
    submit(store, ops, reservation).await.map_err(|_| Error::Closed)
}

/// Submits; the receiver resolves when it is durable.
pub(crate) fn submit(
    store: &dyn LogStore,
    ops: smallvec::SmallVec<[Op; 1]>,
    reservation: Reservation,
) -> oneshot::Receiver<()> {
    let (done, durable) = oneshot::channel();
    let on_durable = Box::new(move || {
        // The receiver is gone when the caller gave up: the commit stands all the same.
        let _caller_gave_up = done.send(());
    });
    store.submit(Commit { ops, on_durable }, reservation);
    durable
}

/// The cluster's id, and this start's leader epoch: one above the last start's.
async fn identity(store: &dyn LogStore) -> Result<(String, i32), Error> {
    let text = |key| store.get(key).and_then(|value| String::from_utf8(value.to_vec()).ok());
    let cluster_id = text(CLUSTER_ID_KEY).unwrap_or_else(new_cluster_id);
    let last: Option<i32> = text(LEADER_EPOCH_KEY).and_then(|epoch| epoch.parse().ok());
    let epoch = last.map_or(0, |last| last.saturating_add(1));
    let put = |key, value: &str| Op::Put(Bytes::from_static(key), Bytes::from(value.to_owned()));
    let ops =
        smallvec![put(CLUSTER_ID_KEY, &cluster_id), put(LEADER_EPOCH_KEY, &epoch.to_string())];
    match commit(store, ops, 64).await {
        // Starting and serving reads on a full disk matters more than a higher epoch.
        Ok(()) | Err(Error::StorageFull) => Ok((cluster_id, epoch)),
        Err(error) => Err(error),
    }
}

/// A random UUID in URL-safe base64 without padding, as Kafka writes it.
fn new_cluster_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let number = uuid::Uuid::new_v4().as_u128();
    let digit = |shift: i32| {
        let bits = if shift >= 0 { number >> shift } else { number << -shift };
        char::from(ALPHABET[usize::try_from(bits & 63).expect("six bits fit")])
    };
    (0..22).map(|place| digit(122 - 6 * place)).collect()
}

fn load_topics(
    store: &Arc<dyn LogStore>,
    leader_epoch: i32,
    options: &Options,
) -> Result<Topics, Error> {
    let mut topics = Topics::default();
    for (key, value) in store.scan(TopicRecord::prefix()) {
        let (name, record) = TopicRecord::decode(&key, &value)?;
        let id = record.topic_id().ok_or(Error::UnknownTopicId)?;
        let of_topic = record.settings.clone();
        let (settings, contradiction) = TopicSettings::stored(of_topic, &options.topic_defaults)?;
        if let Some(error) = contradiction {
            warn!(topic = %name, %error, "a default contradicts the topic's own, which holds");
        }
        let open = |log, settings| open_partition(store, LogId(log), leader_epoch, settings);
        let of_ordered = ordered_settings(&settings, record.logs.len());
        let ordered = record.ordered.as_ref().map(|ordered| open(ordered.log, of_ordered));
        let ordered = ordered.transpose()?.map(Arc::new);
        let of_partitions = partition_settings(&settings);
        let partitions = record
            .logs
            .iter()
            .map(|log| Ok(follow(open(*log, of_partitions)?, ordered.as_ref())))
            .collect::<Result<Vec<_>, Error>>()?;
        let mut topic = Topic::new(name, id, record.created(), settings, partitions);
        if let Some((stored, ordered)) = record.ordered.as_ref().zip(ordered) {
            let view = stored.topic_id().ok_or(Error::UnknownTopicId)?;
            topic = topic.with_view(view, ordered)?;
        }
        topics.insert(Arc::new(topic));
    }
    Ok(topics)
}

fn open_partition(
    store: &Arc<dyn LogStore>,
    log: LogId,
    leader_epoch: i32,
    settings: PartitionSettings,
) -> Result<Partition, Error> {
    let partition = Partition::open(Arc::clone(store), log, leader_epoch, settings)?;
    if store.has_lost(log)? {
        let known = Counter::producer_ids(&**store).bound();
        partition.doubt_producers(i64::try_from(known).unwrap_or(i64::MAX));
    }
    Ok(partition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_ids_have_kafkas_form_and_differ() {
        let (one, two) = (new_cluster_id(), new_cluster_id());
        assert_eq!(one.len(), 22);
        assert_ne!(one, two);
        assert!(one.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_'));
    }
}
