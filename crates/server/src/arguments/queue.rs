//! `tramline queue`, `exchange`, `binding` and `connection`.

use super::{Asking, Pair};
use clap::{Args, Subcommand, ValueEnum};

/// What to do with queues.
#[derive(Subcommand)]
pub(crate) enum QueueCommand {
    /// Declare a queue
    #[command(after_help = "\
Examples:
  tramline queue declare jobs
  tramline queue declare jobs --set message_ttl_ms=60000 --set deliveries_max=5
  tramline queue declare jobs --set dead_letter_exchange= --set dead_letter_routing_key=jobs-dead
  tramline queue declare billing --topic orders --start earliest   a subscription to a topic")]
    Declare {
        /// The queue
        queue: String,
        /// The topic that it is to be a subscription of: its records are the messages
        #[arg(long)]
        topic: Option<String>,
        /// Where the subscription begins
        #[arg(long, value_enum, requires = "topic", default_value_t = Start::Latest)]
        start: Start,
        /// A setting, such as message_ttl_ms=60000; may be given more than once
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<Pair>,
        #[command(flatten)]
        asking: Asking,
    },
    /// List the queues with their message counts
    #[command(after_help = "\
Examples:
  tramline queue list
  tramline queue list --output json")]
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Show a queue's counts, settings and bindings
    #[command(after_help = "\
Example:
  tramline queue describe jobs")]
    Describe {
        /// The queue
        queue: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Put messages into a queue
    #[command(after_help = "\
Examples:
  tramline queue put jobs 'resize 17'
  tramline queue put jobs 'resize 18' --delay-ms 5000 --header job-id=18
  tramline queue put jobs a b c --priority 5")]
    Put(QueuePut),
    /// Take messages off a queue and print them
    #[command(after_help = "\
Examples:
  tramline queue get jobs
  tramline queue get jobs --count 10 --wait-ms 5000 --output json
  tramline queue get jobs --release              look at it and put it back, counted as a delivery")]
    Get(QueueGet),
    /// Look at messages in any state without taking them
    #[command(after_help = "\
Examples:
  tramline queue peek jobs
  tramline queue peek jobs --count 100 --output json
  tramline queue peek jobs-dead --died-in jobs --reason rejected
  tramline queue peek jobs --header job-id=17")]
    Peek {
        /// The queue
        queue: String,
        /// Messages at most
        #[arg(long, short, default_value_t = 10)]
        count: usize,
        /// Start at this place, which a page before told
        #[arg(long)]
        from: Option<String>,
        #[command(flatten)]
        only: Only,
        #[command(flatten)]
        asking: Asking,
    },
    /// Take single messages out that nobody has: ready, delayed or deferred ones
    #[command(after_help = "\
Example:
  tramline queue remove jobs 0-17 0-18           places as `queue peek` shows them")]
    Remove(QueuePlaces),
    /// End the wait of delayed messages: they can be delivered at once
    #[command(after_help = "\
Example:
  tramline queue deliver jobs 0-17               a place as `queue peek` shows it")]
    Deliver(QueuePlaces),
    /// Move dead messages back to where they died, or to another queue
    #[command(after_help = "\
Examples:
  tramline queue redrive jobs-dead
  tramline queue redrive jobs-dead --to jobs-again --per-second 50
  tramline queue redrive jobs-dead --died-in jobs --reason rejected --dry-run
  tramline queue redrive jobs-dead --status
  tramline queue redrive jobs-dead --cancel")]
    Redrive(QueueRedrive),
    /// Put messages in again that are done, where a queue keeps them (`retention_after_settle_ms`)
    #[command(after_help = "\
Examples:
  tramline queue declare jobs --set retention_after_settle_ms=604800000
  tramline queue replay jobs --since-ms 1767225600000 --dry-run
  tramline queue replay jobs --header customer=17 --to jobs-again")]
    Replay(QueueReplay),
    /// Drop the messages that are ready
    #[command(after_help = "\
Example:
  tramline queue purge jobs --yes")]
    Purge {
        /// The queue
        queue: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// Delete queues with everything in them
    #[command(after_help = "\
Examples:
  tramline queue delete jobs
  tramline queue delete jobs --if-empty --if-unused --yes")]
    Delete {
        /// The queues
        #[arg(required = true)]
        queues: Vec<String>,
        /// Only without messages
        #[arg(long)]
        if_empty: bool,
        /// Only without consumers
        #[arg(long)]
        if_unused: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        asking: Asking,
    },
}

/// `tramline queue put`.
#[derive(Args)]
pub(crate) struct QueuePut {
    /// The queue
    pub(crate) queue: String,
    /// The values, one message each
    #[arg(required = true)]
    pub(crate) values: Vec<String>,
    /// A header of every message; may be given more than once
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<Pair>,
    /// From 0, the lowest
    #[arg(long, default_value_t = 0)]
    pub(crate) priority: u8,
    /// Not delivered before so many milliseconds
    #[arg(long)]
    pub(crate) delay_ms: Option<u64>,
    /// Dead after so many milliseconds
    #[arg(long)]
    pub(crate) ttl_ms: Option<u64>,
    /// Messages of a group stay in order, where the queue has ordered groups
    #[arg(long)]
    pub(crate) group: Option<String>,
    /// What repeats are told by, where the queue deduplicates
    #[arg(long)]
    pub(crate) deduplication_id: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tramline queue get`.
#[derive(Args)]
pub(crate) struct QueueGet {
    /// The queue
    pub(crate) queue: String,
    /// Messages at most
    #[arg(long, short, default_value_t = 1)]
    pub(crate) count: usize,
    /// How long to wait for a first message
    #[arg(long, default_value_t = 0)]
    pub(crate) wait_ms: u64,
    /// A deferred message, by its place, instead of what comes next; may be given more than once
    #[arg(long = "place", conflicts_with_all = ["count", "wait_ms"])]
    pub(crate) places: Vec<String>,
    /// Put them back after printing
    #[arg(long)]
    pub(crate) release: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// Which messages are meant.
#[derive(Args)]
pub(crate) struct Only {
    /// Only messages with this key
    #[arg(long)]
    pub(crate) key: Option<String>,
    /// Only messages with this header, given as NAME or NAME=VALUE
    #[arg(long)]
    pub(crate) header: Option<String>,
    /// Only messages enqueued at this time or later, in milliseconds since 1970
    #[arg(long, value_name = "TIME")]
    pub(crate) since_ms: Option<i64>,
    /// Only messages enqueued before this time, in milliseconds since 1970
    #[arg(long, value_name = "TIME")]
    pub(crate) before_ms: Option<i64>,
    /// Only messages that died last in this queue
    #[arg(long, value_name = "QUEUE")]
    pub(crate) died_in: Option<String>,
    /// Only messages that died last for this reason
    #[arg(long, value_parser = ["expired", "rejected", "maxlen", "delivery_limit"])]
    pub(crate) reason: Option<String>,
}

/// `tramline queue remove` and `deliver`.
#[derive(Args)]
pub(crate) struct QueuePlaces {
    /// The queue
    pub(crate) queue: String,
    /// Where the messages lie
    #[arg(required = true)]
    pub(crate) places: Vec<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tramline queue redrive`.
#[derive(Args)]
pub(crate) struct QueueRedrive {
    /// The queue to empty
    pub(crate) queue: String,
    /// The queue that gets the messages, instead of the one where each died last
    #[arg(long, value_name = "QUEUE")]
    pub(crate) to: Option<String>,
    /// Messages per second at most
    #[arg(long)]
    pub(crate) per_second: Option<u32>,
    #[command(flatten)]
    pub(crate) only: Only,
    /// Only tell how many would move
    #[arg(long, conflicts_with_all = ["per_second", "detach", "status", "cancel"])]
    pub(crate) dry_run: bool,
    /// Do not wait for the end
    #[arg(long, conflicts_with_all = ["status", "cancel"])]
    pub(crate) detach: bool,
    /// Only show the last ones
    #[arg(long, conflicts_with_all = ["to", "per_second"])]
    pub(crate) status: bool,
    /// End the one that runs
    #[arg(long, conflicts_with_all = ["to", "per_second", "status"])]
    pub(crate) cancel: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tramline queue replay`.
#[derive(Args)]
pub(crate) struct QueueReplay {
    /// The queue
    pub(crate) queue: String,
    /// The queue that gets the messages, instead of the one that they were in
    #[arg(long, value_name = "QUEUE")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) only: Only,
    /// Only tell how many
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Start {
    /// With the first record that the topic has
    Earliest,
    /// With the next record that comes
    Latest,
}

/// How an exchange compares messages with its bindings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// The routing key equals the binding's
    Direct,
    /// Everything goes everywhere
    Fanout,
    /// The routing key matches the binding's pattern
    Topic,
    /// The headers match the binding's arguments
    Headers,
}

/// What to do with exchanges.
#[derive(Subcommand)]
pub(crate) enum ExchangeCommand {
    /// Declare an exchange
    #[command(after_help = "\
Examples:
  tramline exchange declare events --kind topic
  tramline exchange declare orders --kind direct --alternate unrouted")]
    Declare {
        /// The exchange
        exchange: String,
        /// How it matches
        #[arg(long, value_enum, default_value_t = Kind::Direct)]
        kind: Kind,
        /// Gone after a restart
        #[arg(long)]
        transient: bool,
        /// Deleted with its last binding
        #[arg(long)]
        auto_delete: bool,
        /// Only other exchanges may publish to it
        #[arg(long)]
        internal: bool,
        /// Where messages go that match nothing
        #[arg(long, value_name = "EXCHANGE")]
        alternate: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// List the exchanges
    #[command(after_help = "\
Example:
  tramline exchange list")]
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Show an exchange and its bindings
    #[command(after_help = "\
Example:
  tramline exchange describe events")]
    Describe {
        /// The exchange
        exchange: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Delete exchanges with their bindings
    #[command(after_help = "\
Example:
  tramline exchange delete events --if-unused")]
    Delete {
        /// The exchanges
        #[arg(required = true)]
        exchanges: Vec<String>,
        /// Only without bindings
        #[arg(long)]
        if_unused: bool,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        asking: Asking,
    },
}

/// One binding.
#[derive(Args)]
pub(crate) struct Binding {
    /// The exchange that messages come from
    pub(crate) source: String,
    /// The queue that they go to
    pub(crate) queue: Option<String>,
    /// The exchange that they go to, instead of a queue
    #[arg(long, value_name = "EXCHANGE", conflicts_with = "queue")]
    pub(crate) to_exchange: Option<String>,
    /// The routing key or pattern
    #[arg(long, short, default_value = "")]
    pub(crate) key: String,
    /// An argument of a headers exchange, such as x-match=any; may be given more than once
    #[arg(long = "argument", value_name = "NAME=VALUE")]
    pub(crate) arguments: Vec<Pair>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// What to do with bindings.
#[derive(Subcommand)]
pub(crate) enum BindingCommand {
    /// Bind a queue, or an exchange, to an exchange
    #[command(after_help = "\
Examples:
  tramline binding add events jobs --key 'orders.#'
  tramline binding add events --to-exchange audit --key '#'")]
    Add(Binding),
    /// List bindings
    #[command(after_help = "\
Examples:
  tramline binding list
  tramline binding list --source events --queue jobs")]
    List {
        /// Only from this exchange
        #[arg(long)]
        source: Option<String>,
        /// Only to this queue
        #[arg(long)]
        queue: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Remove a binding
    #[command(after_help = "\
Example:
  tramline binding remove events jobs --key 'orders.#'")]
    Remove(Binding),
}

/// What to do with client connections.
#[derive(Subcommand)]
pub(crate) enum ConnectionCommand {
    /// List open client connections
    #[command(after_help = "\
Example:
  tramline connection list")]
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Close client connections
    #[command(after_help = "\
Example:
  tramline connection close 17 --reason maintenance")]
    Close {
        /// Their ids, as `connection list` shows them
        #[arg(required = true)]
        connections: Vec<u64>,
        /// What the client is told
        #[arg(long, default_value = "closed by the operator")]
        reason: String,
        #[command(flatten)]
        asking: Asking,
    },
}
