//! `tramline pub` and `tramline sub`.

use super::{Asking, Client, Pair};
use clap::{Args, ValueEnum};

pub(super) const PUB_EXAMPLES: &str = "\
Examples:
  tramline pub greetings hello
  tramline pub orders '{\"id\": 7}' --key 7 --header source=shop
  tramline pub logs < app.log                    one message per line
  tramline pub users --key-separator : < users   each line is key:value
  tramline pub load x --count 100000             the same message many times";

pub(super) const SUB_EXAMPLES: &str = "\
Examples:
  tramline sub greetings                         what comes from now on
  tramline sub greetings --from-beginning --count 1
  tramline sub orders --from-time -1h --output json
  tramline sub orders --partition 2 --from-offset 1000
  tramline sub ledger --ordered                  one order over all partitions
  tramline sub orders --output value > values    values alone, one per line";

/// `tramline pub`.
#[derive(Args)]
pub(crate) struct Pub {
    /// The topic; created when it does not exist and the broker allows it
    pub(crate) topic: String,
    /// The values, one message each; the lines of the standard input without any
    pub(crate) values: Vec<String>,
    /// The key of every message
    #[arg(long, short)]
    pub(crate) key: Option<String>,
    /// What separates key and value in each line or value
    #[arg(long, short = 'K', value_name = "TEXT", conflicts_with = "key")]
    pub(crate) key_separator: Option<String>,
    /// A header of every message; may be given more than once
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE")]
    pub(crate) headers: Vec<Pair>,
    /// The partition; by key, or round robin, without it
    #[arg(long, short)]
    pub(crate) partition: Option<u32>,
    /// Publish the given values so many times
    #[arg(long, short, value_name = "N", default_value_t = 1)]
    pub(crate) count: u64,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tramline sub`.
#[derive(Args)]
#[command(group(
    clap::ArgGroup::new("start").args(["from_beginning", "from_offset", "from_time"])
))]
pub(crate) struct Sub {
    /// The topic
    pub(crate) topic: String,
    /// Start with the first message that is kept
    #[arg(long, short = 'b')]
    pub(crate) from_beginning: bool,
    /// Start at this offset of the partition
    #[arg(long, value_name = "OFFSET")]
    pub(crate) from_offset: Option<u64>,
    /// Start at a time: 2026-01-31T08:00:00Z, milliseconds since 1970, or -10m for ten minutes ago
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from_time: Option<String>,
    /// Follow this partition only
    #[arg(long, short)]
    pub(crate) partition: Option<u32>,
    /// Follow all partitions in their one order: for topics created with `--order total`
    #[arg(long, conflicts_with = "partition")]
    pub(crate) ordered: bool,
    /// End after so many messages
    #[arg(long, short, value_name = "N")]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) client: Client,
    /// How to print a message
    #[arg(long, value_enum, default_value_t = SubOutput::Text)]
    pub(crate) output: SubOutput,
}

/// How to print a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SubOutput {
    /// A line with partition/offset, key, headers and value
    Text,
    /// A line with the value alone, byte for byte
    Value,
    /// A line of JSON
    Json,
}
