//! The configuration: what `tramline.toml` says, completed by the defaults. The default file is
//! the one list of keys; tests hold it and these types together.

mod keys;
mod queues;
mod values;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use tramline_broker::{
    CompactionOptions, ConfigPushOptions, GroupOptions, MemoryOptions, Options, TopicDefaults,
};
use tramline_store::DiskOptions;
use tramline_types::limits;

pub(crate) use queues::{QueueUrls, SqsQueue};
pub(crate) use values::{HostPort, Listen, Size, Span};

/// The default file, with every key explained.
pub(crate) const DEFAULT_TEXT: &str = include_str!("../tramline.toml");

/// The smallest frame that AMQP 0-9-1 lets a client insist on.
const FRAME_MIN: u64 = 4096;

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) memory_budget: Size,
    pub(crate) shutdown_timeout: Span,
    pub(crate) insecure: bool,
    pub(crate) log: Log,
    pub(crate) http: Http,
    pub(crate) kafka: Kafka,
    pub(crate) amqp: Amqp,
    pub(crate) sqs: Sqs,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    pub(crate) config_push: ConfigPush,
    pub(crate) store: Store,
}

/// Logging.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    pub(crate) level: String,
    pub(crate) format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The HTTP API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    pub(crate) listen: Listen,
    pub(crate) hosts_allowed: Vec<String>,
    pub(crate) connections_max: usize,
}

/// The Kafka protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) listen: Listen,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) advertised: Option<HostPort>,
    pub(crate) connections_max: usize,
    pub(crate) request_max: Size,
    pub(crate) virtual_brokers: u16,
}

/// The AMQP 0-9-1 protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Amqp {
    pub(crate) listen: Listen,
    pub(crate) connections_max: usize,
    pub(crate) channels_max: u16,
    pub(crate) frame_max: Size,
    pub(crate) message_max: Size,
    pub(crate) heartbeat: Span,
    pub(crate) consumer_timeout: Span,
    pub(crate) product: String,
    pub(crate) product_version: String,
}

/// The Amazon SQS protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Sqs {
    pub(crate) listen: Listen,
    pub(crate) hosts_allowed: Vec<String>,
    pub(crate) connections_max: usize,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) queue_urls: QueueUrls,
    pub(crate) auto_create: bool,
    pub(crate) allow_reset: bool,
    pub(crate) deleted_window: Span,
    pub(crate) purged_window: Span,
    pub(crate) queues: BTreeMap<String, SqsQueue>,
    pub(crate) keys: BTreeMap<String, String>,
}

/// Topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Topics {
    pub(crate) partitions: u32,
    pub(crate) auto_create: bool,
    pub(crate) retention_check_interval: Span,
    pub(crate) producer_expiration: Span,
    pub(crate) compaction_interval: Span,
    pub(crate) compaction_memory: Size,
    pub(crate) defaults: BTreeMap<String, String>,
}

/// Consumer groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Groups {
    pub(crate) session_timeout_min: Span,
    pub(crate) session_timeout_max: Span,
    pub(crate) initial_rebalance_delay: Span,
    pub(crate) members_max: usize,
    pub(crate) offsets_retention: Span,
    pub(crate) offset_metadata_max: Size,
}

/// Configuration push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ConfigPush {
    pub(crate) history: u32,
    pub(crate) value_max: Size,
    pub(crate) values_max: Size,
    pub(crate) deleted_retention: Span,
}

/// The disk back-end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Store {
    pub(crate) wal_file: Size,
    pub(crate) wal_retire: Size,
    pub(crate) wal_max: Size,
    pub(crate) headroom: Size,
    pub(crate) segment_max: Size,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./tramline-data"),
            memory_budget: Size(limits::MEMORY_BUDGET as u64),
            shutdown_timeout: Span(Duration::from_secs(10)),
            insecure: false,
            log: Log::default(),
            http: Http::default(),
            kafka: Kafka::default(),
            amqp: Amqp::default(),
            sqs: Sqs::default(),
            topics: Topics::default(),
            groups: Groups::default(),
            config_push: ConfigPush::default(),
            store: Store::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: Listen::At("127.0.0.1:8080".to_owned()),
            hosts_allowed: Vec::new(),
            connections_max: limits::CONNECTIONS_MAX,
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            listen: Listen::At("127.0.0.1:9092".to_owned()),
            advertised: None,
            connections_max: limits::CONNECTIONS_MAX,
            request_max: Size(limits::REQUEST_BYTES_MAX as u64),
            virtual_brokers: 1,
        }
    }
}

impl Default for Amqp {
    fn default() -> Self {
        let options = tramline_amqp091::Options::default();
        Self {
            listen: Listen::At("127.0.0.1:5672".to_owned()),
            connections_max: options.connections_max,
            channels_max: options.channels_max,
            frame_max: Size(options.frame_bytes_max.into()),
            message_max: Size(options.message_bytes_max as u64),
            heartbeat: Span(options.heartbeat),
            consumer_timeout: Span(options.consumer_timeout),
            product: options.product,
            product_version: options.product_version,
        }
    }
}

impl Default for Sqs {
    fn default() -> Self {
        let options = tramline_sqs::Options::default();
        Self {
            listen: Listen::At("127.0.0.1:9324".to_owned()),
            hosts_allowed: options.hosts_allowed,
            connections_max: options.connections_max,
            account: options.account,
            region: options.region,
            queue_urls: QueueUrls::Path,
            auto_create: options.auto_create,
            allow_reset: options.allow_reset,
            deleted_window: Span(options.deleted_window),
            purged_window: Span(options.purged_window),
            queues: BTreeMap::new(),
            keys: options.keys,
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        let options = Options::default();
        Self {
            partitions: options.partitions_default,
            auto_create: options.auto_create_topics,
            retention_check_interval: Span(options.retention_check_interval),
            producer_expiration: Span(options.producer_id_expiration),
            compaction_interval: Span(options.compaction.interval),
            compaction_memory: Size(options.compaction.map_bytes_max as u64),
            defaults: BTreeMap::new(),
        }
    }
}

impl Default for Groups {
    fn default() -> Self {
        let options = GroupOptions::default();
        Self {
            session_timeout_min: Span(options.session_timeout_min),
            session_timeout_max: Span(options.session_timeout_max),
            initial_rebalance_delay: Span(options.initial_rebalance_delay),
            members_max: options.members_max,
            offsets_retention: Span(options.offsets_retention),
            offset_metadata_max: Size(options.offset_metadata_bytes_max as u64),
        }
    }
}

impl Default for ConfigPush {
    fn default() -> Self {
        let options = ConfigPushOptions::default();
        Self {
            history: options.history,
            value_max: Size(options.value_bytes_max as u64),
            values_max: Size(options.bytes_max as u64),
            deleted_retention: Span(options.deleted_retention),
        }
    }
}

impl ConfigPush {
    fn options(&self) -> ConfigPushOptions {
        ConfigPushOptions {
            history: self.history.min(limits::CONFIG_HISTORY_MAX),
            value_bytes_max: self.value_max.as_usize().min(limits::CONFIG_REVISION_BYTES_MAX),
            bytes_max: self.values_max.as_usize(),
            deleted_retention: self.deleted_retention.0,
            ..ConfigPushOptions::default()
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        let options = DiskOptions::default();
        Self {
            wal_file: Size(options.wal_file_bytes),
            wal_retire: Size(options.wal_retire_bytes),
            wal_max: Size(options.wal_bytes_max),
            headroom: Size(options.headroom_bytes),
            segment_max: Size(options.segment_bytes_max),
        }
    }
}

impl Amqp {
    /// Refuses what no client could agree to.
    fn check(&self) -> anyhow::Result<()> {
        let (frame, most) = (self.frame_max.0, limits::AMQP_MESSAGE_BYTES_MAX as u64);
        if !(FRAME_MIN..=most).contains(&frame) {
            let most = most >> 20;
            bail!("`amqp.frame_max` = {frame} bytes: 4 KiB to {most} MiB are possible");
        }
        if self.channels_max == 0 {
            bail!("`amqp.channels_max` = 0: a client needs one at least");
        }
        Ok(())
    }
}

impl Config {
    /// Reads a file; the defaults where none is given.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration `{}`", path.display()))?;
        Self::parse(&text).with_context(|| format!("configuration `{}`", path.display()))
    }

    /// Reads the text of a file.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let table: toml::Table = text.parse()?;
        if let Some((key, nearest)) = keys::unknown(&table) {
            match nearest {
                Some(nearest) => bail!("unknown key `{key}`: did you mean `{nearest}`?"),
                None => {
                    bail!("unknown key `{key}`: `tramline config print-default` lists all of them")
                }
            }
        }
        let config: Self = toml::from_str(text)?;
        let nodes = config.kafka.virtual_brokers;
        if !(1..=limits::VIRTUAL_BROKERS_MAX).contains(&nodes) {
            let most = limits::VIRTUAL_BROKERS_MAX;
            bail!("`kafka.virtual_brokers` = {nodes}: 1 to {most} are possible");
        }
        let account = &config.sqs.account;
        if account.len() != 12 || !account.bytes().all(|c| c.is_ascii_digit()) {
            bail!("`sqs.account` = `{account}`: an account has 12 digits");
        }
        config.amqp.check()?;
        config.broker_options()?; // A wrong topic setting is told here, not at its first use.
        Ok(config)
    }

    /// The data directory as tools are told it.
    fn data_dir_absolute(&self) -> String {
        let path = std::path::absolute(&self.data_dir);
        path.unwrap_or_else(|_| self.data_dir.clone()).display().to_string()
    }

    /// The broker's part.
    pub(crate) fn broker_options(&self) -> anyhow::Result<Options> {
        let defaults = self.topics.defaults.clone();
        Ok(Options {
            partitions_default: self.topics.partitions,
            auto_create_topics: self.topics.auto_create,
            topic_defaults: TopicDefaults::new(defaults).context("`topics.defaults`")?,
            retention_check_interval: self.topics.retention_check_interval.0,
            producer_id_expiration: self.topics.producer_expiration.0,
            compaction: CompactionOptions {
                interval: self.topics.compaction_interval.0,
                map_bytes_max: self.topics.compaction_memory.as_usize(),
                ..CompactionOptions::default()
            },
            shown: self.shown(),
            groups: GroupOptions {
                session_timeout_min: self.groups.session_timeout_min.0,
                session_timeout_max: self.groups.session_timeout_max.0,
                initial_rebalance_delay: self.groups.initial_rebalance_delay.0,
                members_max: self.groups.members_max,
                offsets_retention: self.groups.offsets_retention.0,
                offset_metadata_bytes_max: self.groups.offset_metadata_max.as_usize(),
                ..GroupOptions::default()
            },
            data_dir: self.data_dir_absolute(),
            memory: MemoryOptions::of(self.memory_budget.as_usize()),
            config_push: self.config_push.options(),
            ..Options::default()
        })
    }

    /// What Kafka's clients are shown of the rest, by Kafka's names.
    fn shown(&self) -> BTreeMap<&'static str, String> {
        let data_dir = self.data_dir.display().to_string();
        let mut shown = BTreeMap::from([
            ("log.dir", data_dir.clone()),
            ("log.dirs", data_dir),
            ("max.connections", self.kafka.connections_max.to_string()),
            ("socket.request.max.bytes", self.kafka.request_max.0.to_string()),
        ]);
        let node_id = tramline_kafka::Options::default().node_id.to_string();
        shown.insert("broker.id", node_id.clone());
        shown.insert("node.id", node_id);
        if let Listen::At(address) = &self.kafka.listen {
            shown.insert("listeners", format!("PLAINTEXT://{address}"));
        }
        if let Some(at) = &self.kafka.advertised {
            shown.insert("advertised.listeners", format!("PLAINTEXT://{}:{}", at.host, at.port));
        }
        shown
    }

    /// The store's part: of the memory budget a quarter for the tail cache and an eighth for the
    /// index of what is not retired.
    pub(crate) fn disk_options(&self) -> DiskOptions {
        DiskOptions {
            wal_file_bytes: self.store.wal_file.0,
            wal_retire_bytes: self.store.wal_retire.0,
            wal_bytes_max: self.store.wal_max.0,
            headroom_bytes: self.store.headroom.0,
            segment_bytes_max: self.store.segment_max.0,
            cache_bytes: self.memory_budget.as_usize() / 4,
            index_bytes: self.memory_budget.as_usize() / 8,
            ..DiskOptions::default()
        }
    }

    /// The Kafka front-end's part.
    pub(crate) fn kafka_options(&self) -> tramline_kafka::Options {
        tramline_kafka::Options {
            advertised: self.kafka.advertised.clone().map(|at| (at.host, at.port)),
            connections_max: self.kafka.connections_max,
            request_bytes_max: self.kafka.request_max.as_usize(),
            ..tramline_kafka::Options::default()
        }
    }

    /// The AMQP 0-9-1 front-end's part.
    pub(crate) fn amqp_options(&self) -> tramline_amqp091::Options {
        let amqp = &self.amqp;
        tramline_amqp091::Options {
            connections_max: amqp.connections_max,
            frame_bytes_max: u32::try_from(amqp.frame_max.0).unwrap_or(u32::MAX),
            channels_max: amqp.channels_max,
            heartbeat: amqp.heartbeat.0,
            consumer_timeout: amqp.consumer_timeout.0,
            message_bytes_max: amqp.message_max.as_usize(),
            // Who lets other machines in without security lets them log in.
            remote_guest: self.insecure,
            product: amqp.product.clone(),
            product_version: amqp.product_version.clone(),
        }
    }

    /// The SQS front-end's part.
    pub(crate) fn sqs_options(&self) -> tramline_sqs::Options {
        tramline_sqs::Options {
            hosts_allowed: self.sqs.hosts_allowed.clone(),
            connections_max: self.sqs.connections_max,
            account: self.sqs.account.clone(),
            region: self.sqs.region.clone(),
            queue_urls: match self.sqs.queue_urls {
                QueueUrls::Path => tramline_sqs::QueueUrls::Path,
                QueueUrls::Host => tramline_sqs::QueueUrls::Host,
            },
            auto_create: self.sqs.auto_create,
            allow_reset: self.sqs.allow_reset,
            queues: queues::of_sqs(&self.sqs.queues),
            deleted_window: self.sqs.deleted_window.0,
            purged_window: self.sqs.purged_window.0,
            keys: self.sqs.keys.clone(),
            ..tramline_sqs::Options::default()
        }
    }

    /// The HTTP front-end's part.
    pub(crate) fn http_options(&self) -> tramline_http::Options {
        tramline_http::Options {
            hosts_allowed: self.http.hosts_allowed.clone(),
            connections_max: self.http.connections_max,
            ..tramline_http::Options::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        format!("{:#}", Config::parse(text).unwrap_err())
    }

    #[test]
    fn default_file_is_the_defaults() {
        assert_eq!(Config::parse(DEFAULT_TEXT).unwrap(), Config::default());
        assert_eq!(Config::parse("").unwrap(), Config::default());
    }

    #[test]
    fn default_file_has_every_key() {
        let full: toml::Table = keys::full_text().parse().unwrap();
        let mut config = Config::parse(&keys::full_text()).unwrap();
        assert!(config.kafka.advertised.is_some());
        config.topics.defaults.clear();
        let typed = toml::Table::try_from(config).unwrap();
        assert_eq!(typed, full);
    }

    #[test]
    fn default_disk_options_are_the_stores_own() {
        let (ours, stores) = (Config::default().disk_options(), DiskOptions::default());
        assert_eq!(format!("{ours:?}"), format!("{stores:?}"));
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        for (text, key, nearest) in [
            ("data_dri = \"x\"", "data_dri", "data_dir"),
            ("[kafka]\nadvertized = \"a:1\"", "kafka.advertized", "kafka.advertised"),
            ("[kakfa]\nlisten = \"off\"", "kakfa", "kafka"),
            ("[store]\nwal_file_bytes = 1", "store.wal_file_bytes", "store.wal_file"),
            ("[groups]\npartitions = 3", "groups.partitions", "topics.partitions"),
        ] {
            let expected = format!("unknown key `{key}`: did you mean `{nearest}`?");
            assert_eq!(error(text), expected);
        }
        assert!(error("zzzzzzzzzzzzzzzz = 1").contains("print-default"));
    }

    #[test]
    fn wrong_values_say_what_is_allowed() {
        assert!(error("memory_budget = \"lots\"").contains("64 MiB"));
        assert!(error("shutdown_timeout = \"soon\"").contains("30s"));
        assert!(error("[kafka]\nvirtual_brokers = 0").contains("1 to 100"));
        assert!(error("[amqp]\nframe_max = \"4095\"").contains("4 KiB to 14 MiB"));
        assert!(error("[amqp]\nframe_max = \"1 GiB\"").contains("4 KiB to 14 MiB"));
        assert!(error("[amqp]\nchannels_max = 0").contains("one at least"));
        assert!(error("[http]\nlisten = \"8080\"").contains("127.0.0.1"));
        assert!(error("[topics.defaults]\n\"retention.sm\" = \"1\"").contains("retention.sm"));
        assert!(error("[topics.defaults]\n\"retention.ms\" = \"x\"").contains("retention.ms"));
    }

    #[test]
    fn the_documentation_shows_the_default_file() {
        let page = include_str!("../../../docs/configuration.md");
        assert!(page.contains(DEFAULT_TEXT), "docs/configuration.md must show `tramline.toml`");
    }
}
