//! `tramline topic`.

use super::{Asking, Pair};
use clap::{Args, Subcommand, ValueEnum};

/// What to do with topics.
#[derive(Subcommand)]
pub(crate) enum TopicCommand {
    /// Create a topic
    #[command(after_help = "\
Examples:
  tramline topic create orders
  tramline topic create orders --partitions 6 --set retention.ms=86400000
  tramline topic create ledger --partitions 8 --order total
  tramline topic create orders --if-not-exists")]
    Create(TopicCreate),
    /// List the topics
    #[command(after_help = "\
Examples:
  tramline topic list
  tramline topic list --output json")]
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Show a topic's partitions and settings
    #[command(after_help = "\
Examples:
  tramline topic describe orders
  tramline topic describe orders --all")]
    Describe {
        /// The topic
        topic: String,
        /// Show the settings that have their defaults, too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// Change settings, or add partitions
    #[command(after_help = "\
Examples:
  tramline topic alter orders --set retention.ms=3600000
  tramline topic alter orders --reset retention.ms
  tramline topic alter orders --partitions 12 --dry-run")]
    Alter(TopicAlter),
    /// Delete topics with everything in them
    #[command(after_help = "\
Examples:
  tramline topic delete orders
  tramline topic delete orders payments --yes")]
    Delete {
        /// The topics
        #[arg(required = true)]
        topics: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        asking: Asking,
    },
}

/// `tramline topic create`.
#[derive(Args)]
pub(crate) struct TopicCreate {
    /// The topic's name
    pub(crate) topic: String,
    /// How many partitions; the broker's default without it
    #[arg(long, short)]
    pub(crate) partitions: Option<u32>,
    /// A setting, such as retention.ms=86400000; may be given more than once
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<Pair>,
    /// How far the messages' order goes: within each partition, or over all of them
    #[arg(long, value_enum, value_name = "ORDER")]
    pub(crate) order: Option<Order>,
    /// Succeed when the topic exists already
    #[arg(long)]
    pub(crate) if_not_exists: bool,
    /// Check everything, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// How far the messages' order goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Within each partition
    Partition,
    /// Over all partitions: `tramline sub --ordered` and the topic `<name>.ordered` show it
    Total,
}

/// `tramline topic alter`.
#[derive(Args)]
#[command(group(
    clap::ArgGroup::new("change").required(true).multiple(true).args(["partitions", "settings", "resets"])
))]
pub(crate) struct TopicAlter {
    /// The topic
    pub(crate) topic: String,
    /// The new number of partitions; it can only grow
    #[arg(long, short)]
    pub(crate) partitions: Option<u32>,
    /// A setting to change; may be given more than once
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<Pair>,
    /// A setting to take back to its default; may be given more than once
    #[arg(long = "reset", value_name = "NAME")]
    pub(crate) resets: Vec<String>,
    /// Check everything, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}
