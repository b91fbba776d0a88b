//! Every size, count, depth and rate that a peer could drive up, with its default.

use std::time::Duration;

/// The largest request frame of an authenticated connection (Kafka `socket.request.max.bytes`).
pub const REQUEST_BYTES_MAX: usize = 100 * 1024 * 1024;
/// The largest record batch by default (Kafka `message.max.bytes`).
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024 + 12;
/// The largest record batch that any topic may be set to: it must fit into one WAL file.
pub const BATCH_BYTES_MAX: usize = 15 * 1024 * 1024;
/// The largest answer to one fetch, whatever the client asks (Kafka `fetch.max.bytes`).
pub const FETCH_BYTES_MAX: usize = 55 * 1024 * 1024;
/// How long a fetch waits at most whose request takes memory that others may wait for: one above
/// [`CONNECTION_BYTES_FREE`].
pub const FETCH_WAIT_LARGE_MAX: Duration = Duration::from_secs(1);
/// How many answers one connection may have outstanding before it is not read any further.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 128;
/// The largest frame before the first valid request of a connection.
pub const FIRST_REQUEST_BYTES_MAX: usize = 64 * 1024;
/// From the opening of a connection to its first valid request.
pub const FIRST_REQUEST_MAX: Duration = Duration::from_secs(10);
/// Answers that one connection may hold unsent before it is not read any further.
pub const ANSWERS_UNSENT_BYTES_MAX: usize = 1024 * 1024;
/// What one connection may hold of received bytes, and again of unsent answers, without taking
/// from the budget that all connections share.
pub const CONNECTION_BYTES_FREE: usize = 64 * 1024;
/// Open connections per listener.
pub const CONNECTIONS_MAX: usize = 20_000;
/// Brokers that one process may play for tests.
pub const VIRTUAL_BROKERS_MAX: u16 = 100;
/// Connections that wait to be accepted; beyond it a client tries again after a second.
pub const CONNECTIONS_PENDING_MAX: u32 = 4096;
/// An established connection that sends nothing for so long is closed (Kafka
/// `connections.max.idle.ms`).
pub const CONNECTION_IDLE_MAX: Duration = Duration::from_secs(600);
/// From the first byte of a request to its last.
pub const REQUEST_READ_MAX: Duration = Duration::from_secs(30);
/// A half-sent request that holds memory which others wait for, and gets no byte for so long, is
/// given up.
pub const REQUEST_STALL_MAX: Duration = Duration::from_secs(5);
/// A peer that takes none of its answer for so long is closed.
pub const RESPONSE_WRITE_MAX: Duration = Duration::from_secs(60);
/// Partitions of one topic.
pub const PARTITIONS_PER_TOPIC_MAX: u32 = 10_000;
/// Partitions of all topics that one request creates, as in Kafka.
pub const PARTITIONS_CREATED_TOGETHER_MAX: usize = 10_000;
/// Partitions of one answer that comes in pages (Kafka `max.request.partition.size.limit`).
pub const PARTITIONS_PER_ANSWER_MAX: usize = 2000;
/// Entities that have quotas.
pub const QUOTAS_MAX: usize = 10_000;
/// Clients whose use of a quota is remembered.
pub const QUOTA_HOLDERS_MAX: usize = 10_000;
/// Partitions of one node.
pub const PARTITIONS_MAX: usize = 200_000;
/// What record batches may grow to when the broker has to open one.
pub const BATCH_BYTES_OPENED_MAX: usize = 64 * 1024 * 1024;
/// The latest offset of each key while a partition is compacted (Kafka
/// `log.cleaner.dedupe.buffer.size`).
pub const COMPACTION_MAP_BYTES: usize = 32 * 1024 * 1024;
/// Records of one batch that are named when the batch is refused because of them.
pub const RECORD_ERRORS_MAX: usize = 1000;
/// Headers of one record.
pub const RECORD_HEADERS_MAX: usize = 10_000;
/// Members of one consumer group.
pub const GROUP_MEMBERS_MAX: usize = 10_000;
/// The stored offsets of one group: those of 150,000 partitions with names of 20 characters. With
/// the group's membership they must fit into one WAL file.
pub const GROUP_OFFSETS_BYTES_MAX: usize = 10 * 1024 * 1024;
/// The stored membership of one consumer group; the members of a larger one join again after a
/// restart. With the group's offsets it must fit into one WAL file.
pub const GROUP_MEMBERSHIP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Consumer groups of one node.
pub const GROUPS_MAX: usize = 100_000;
/// Commits by which a group's lag in one partition is judged.
pub const LAG_WINDOW_COMMITS: usize = 10;
/// Pairs of group and partition whose lag is judged; those beyond have no state.
pub const LAG_WINDOWS_MAX: usize = 200_000;
/// Looks at batch headers for the lag in seconds, in one round of the upkeep.
pub const LAG_LOOKS_MAX: usize = 1_000;
/// Series of one metric that has one per partition, or per group and partition.
pub const METRIC_SERIES_MAX: usize = 20_000;
/// Metadata kept with one committed offset (Kafka `offset.metadata.max.bytes`).
pub const OFFSET_METADATA_BYTES_MAX: usize = 4096;
/// Producer ids remembered per partition (Kafka keeps them by time; this bounds the memory).
pub const PRODUCERS_PER_PARTITION_MAX: usize = 10_000;
/// The body of one HTTP request.
pub const HTTP_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// What the broker keeps in memory for reads and writes in flight (`memory_budget`).
pub const MEMORY_BUDGET: usize = 256 * 1024 * 1024;

/// How many exchanges a node keeps.
pub const EXCHANGES_MAX: usize = 100_000;
/// How many bindings a node keeps.
pub const BINDINGS_MAX: usize = 1_000_000;
/// The stored size of one binding: its names, key and arguments.
pub const BINDING_ARGUMENTS_BYTES_MAX: usize = 64 * 1024;

/// The largest frame that AMQP 0-9-1 clients are offered (RabbitMQ `frame_max`).
pub const AMQP_FRAME_BYTES_MAX: u32 = 128 * 1024;
/// Channels of one AMQP 0-9-1 connection (RabbitMQ `channel_max`).
pub const AMQP_CHANNELS_MAX: u16 = 2047;
/// Consumers of one channel.
pub const AMQP_CONSUMERS_MAX: usize = 10_000;
/// The largest body of an AMQP message: with its properties it must fit into one record batch.
pub const AMQP_MESSAGE_BYTES_MAX: usize = 14 * 1024 * 1024;
/// Deliveries of one channel that are not settled.
pub const AMQP_UNACKED_PER_CHANNEL_MAX: usize = 1_000_000;
/// Published messages of one connection that are not durable, before it is not read any further.
pub const AMQP_UNCONFIRMED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// What one transaction may publish: it becomes one commit, as [`BATCH_BYTES_MAX`] says, with
/// what its messages are stored with.
pub const AMQP_TRANSACTION_BYTES_MAX: usize = 14 * 1024 * 1024;
/// Further routing keys of one message, in its headers `CC` and `BCC`.
pub const AMQP_FURTHER_KEYS_MAX: usize = 1000;
/// Direct replies that wait for their connection.
pub const AMQP_MAILBOX_BYTES_MAX: usize = 1024 * 1024;
/// From the broker's close of a connection to the client's answer.
pub const AMQP_CLOSE_MAX: Duration = Duration::from_secs(5);
/// The body of one SQS request: a batch of 1 MiB, spelt out as JSON or a form does.
pub const SQS_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The largest body of a message in a queue: with its headers it must fit into one WAL file.
pub const QUEUE_MESSAGE_BYTES_MAX: usize = 14 * 1024 * 1024;
/// Queues that get a message when one of another queue is done.
pub const QUEUE_FOLLOWERS_MAX: usize = 16;
/// Queues of one node.
pub const QUEUES_MAX: usize = 1_000_000;
/// What a consumer says of a message that it rejects.
pub const EXPLANATION_BYTES_MAX: usize = 1024;
/// Rejected messages of a queue with such a text that are on their way, at most.
pub const EXPLANATIONS_MAX: usize = 10_000;
/// How long the result of a unit is kept.
pub const RESULT_TTL: Duration = Duration::from_secs(24 * 3600);
/// A unit's result, with its id.
pub const RESULT_BYTES_MAX: usize = 256 * 1024;
/// What all of them take in memory.
pub const RESULTS_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Jobs that are followed or remembered.
pub const JOBS_MAX: usize = 500_000;
/// What they take in memory.
pub const JOBS_BYTES_MAX: usize = 256 * 1024 * 1024;
/// A job's id.
pub const JOB_ID_BYTES_MAX: usize = 255;
/// What a worker says came of a job.
pub const JOB_RESULT_BYTES_MAX: usize = 256 * 1024;
/// An error, or a word about the progress, of a worker.
pub const JOB_TEXT_BYTES_MAX: usize = 4096;
/// Attempts that a job remembers.
pub const JOB_ATTEMPTS_KEPT: usize = 20;
/// Jobs that one job waits for.
pub const JOB_AFTER_MAX: usize = 100;
/// Children that a job knows.
pub const JOB_CHILDREN_MAX: usize = 1000;
/// Jobs that are looked at for one page of a list.
pub const JOBS_SCANNED_MAX: usize = 20_000;

/// A channel's name or pattern.
pub const CHANNEL_NAME_BYTES_MAX: usize = 1024;
/// Levels of a channel's name.
pub const CHANNEL_LEVELS_MAX: usize = 32;
/// One publication on a channel.
pub const PUBLICATION_BYTES_MAX: usize = 1024 * 1024;
/// What one receiver may have waiting, unless its channels are set otherwise.
pub const RECEIVER_BYTES_MAX: usize = 1024 * 1024;
/// The most that the channels of a prefix may be set to let a receiver have waiting.
pub const RECEIVER_BYTES_SETTABLE_MAX: usize = 64 * 1024 * 1024;
/// Receivers of one node, over all front-ends.
pub const RECEIVERS_MAX: usize = 200_000;
/// Subscriptions of one receiver.
pub const RECEIVER_SUBSCRIPTIONS_MAX: usize = 1_000;
/// What a client may call itself on channels.
pub const RECEIVER_CLIENT_BYTES_MAX: usize = 256;
/// Prefixes of channels that have settings.
pub const CHANNEL_SETTINGS_MAX: usize = 1_000;
/// Channels whose history is kept.
pub const CHANNELS_WITH_HISTORY_MAX: usize = 100_000;
/// Publications in the history of one channel.
pub const HISTORY_SIZE_MAX: usize = 10_000;
/// The history of one channel.
pub const HISTORY_CHANNEL_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The histories of all channels.
pub const HISTORY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Channels whose last value is retained.
pub const RETAINED_MAX: usize = 100_000;
/// All retained values.
pub const RETAINED_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Members named in one answer about presence, and channels in one list.
pub const CHANNEL_LIST_MAX: usize = 10_000;
/// Bindings between channels and topics or queues.
pub const CHANNEL_BINDINGS_MAX: usize = 1_000;
/// Keys of pushed configuration, those included whose deletion is remembered.
pub const CONFIG_KEYS_MAX: usize = 100_000;
/// The length of a key of pushed configuration.
pub const CONFIG_KEY_BYTES_MAX: usize = 512;
/// One value of pushed configuration, by default.
pub const CONFIG_VALUE_BYTES_MAX: usize = 1024 * 1024;
/// What the current values of all keys may take in memory, by default.
pub const CONFIG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Earlier values that a key may be told to keep.
pub const CONFIG_HISTORY_MAX: u32 = 1000;
/// Keys that are changed in one revision.
pub const CONFIG_CHANGES_MAX: usize = 1000;
/// What one revision may bring: it becomes one commit.
pub const CONFIG_REVISION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// A note about a change, a content type, a seed, or the id of a subscriber.
pub const CONFIG_TEXT_BYTES_MAX: usize = 256;
/// Rules for keys of pushed configuration.
pub const CONFIG_RULES_MAX: usize = 1000;
/// The schema of one rule.
pub const CONFIG_SCHEMA_BYTES_MAX: usize = 64 * 1024;
/// How deep a schema or a value that is checked may be nested.
pub const CONFIG_SCHEMA_DEPTH_MAX: usize = 64;
/// Steps that a check of one value against its schema may take.
pub const CONFIG_SCHEMA_STEPS_MAX: usize = 1_000_000;
/// Those who follow pushed configuration at a time.
pub const CONFIG_WATCHES_MAX: usize = 50_000;
/// Subscribers of one scope of pushed configuration whose revision is remembered.
pub const CONFIG_SUBSCRIBERS_PER_SCOPE_MAX: usize = 10_000;
/// Such subscribers of all scopes.
pub const CONFIG_SUBSCRIBERS_MAX: usize = 100_000;
