//! `tramline channel`.

use super::{Asking, Client};
use clap::{Args, Subcommand, ValueEnum};

/// What to do with realtime channels.
#[derive(Subcommand)]
pub(crate) enum ChannelCommand {
    /// Publish on a channel, and say who got it
    #[command(after_help = "\
Examples:
  tramline channel pub news/today 'hello'
  tramline channel pub prices/eur '{\"rate\":1.08}' --key eur
  tramline channel pub lamps/kitchen on --retain")]
    Pub(ChannelPub),
    /// Follow channels and print what is published
    #[command(after_help = "\
Examples:
  tramline channel sub news/today
  tramline channel sub 'news/**' --count 10
  tramline channel sub 'prices/*' --output data")]
    Sub(ChannelSub),
    /// List the channels that somebody listens to, or that have a history or a retained value
    #[command(after_help = "\
Examples:
  tramline channel list
  tramline channel list --receivers")]
    List {
        /// Show the receivers instead, and how far behind they are
        #[arg(long)]
        receivers: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// Show a channel's settings, members, history and retained value
    #[command(after_help = "\
Example:
  tramline channel describe news/today")]
    Describe {
        /// The channel
        channel: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Set what holds for the channels at and below a prefix; what is left out gets its default
    #[command(after_help = "\
Examples:
  tramline channel set news --history-size 100 --history-ms 600000
  tramline channel set prices --retain --slow-consumer conflate
  tramline channel set '' --buffer-bytes 65536
  tramline channel set news --unset")]
    Set(ChannelSet),
}

/// `tramline channel pub`.
#[derive(Args)]
pub(crate) struct ChannelPub {
    /// The channel
    pub(crate) channel: String,
    /// What to publish; sent as JSON where it is JSON
    pub(crate) data: String,
    /// Of what the latest is kept for slow receivers
    #[arg(long, short)]
    pub(crate) key: Option<String>,
    /// Keep it as the channel's last value; an empty one deletes that
    #[arg(long)]
    pub(crate) retain: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tramline channel sub`.
#[derive(Args)]
pub(crate) struct ChannelSub {
    /// The channel, or a pattern: `*` for one level, a last `**` for any number
    pub(crate) pattern: String,
    /// End after so many publications
    #[arg(long, short, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// What to be called by those who ask who is there
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) client: Client,
    /// How to print a publication
    #[arg(long, value_enum, default_value_t = ChannelOutput::Text)]
    pub(crate) output: ChannelOutput,
}

/// `tramline channel set`.
#[derive(Args)]
pub(crate) struct ChannelSet {
    /// Whole levels; empty for all channels that have no nearer prefix
    pub(crate) prefix: String,
    /// Publications of each channel that are kept for those who come back
    #[arg(long, value_name = "N")]
    pub(crate) history_size: Option<u64>,
    /// For so long
    #[arg(long, value_name = "MS")]
    pub(crate) history_ms: Option<u64>,
    /// Keep the last value of each channel
    #[arg(long)]
    pub(crate) retain: bool,
    /// Tell who comes and goes
    #[arg(long)]
    pub(crate) presence: bool,
    /// What becomes of publications for slow receivers
    #[arg(long, value_name = "POLICY", value_parser = ["drop_oldest", "drop_newest", "conflate", "disconnect"])]
    pub(crate) slow_consumer: Option<String>,
    /// A receiver is slow when so much waits for it
    #[arg(long, value_name = "BYTES")]
    pub(crate) buffer_bytes: Option<u64>,
    /// Take the prefix's own settings away
    #[arg(long, conflicts_with_all = ["history_size", "history_ms", "retain", "presence", "slow_consumer", "buffer_bytes"])]
    pub(crate) unset: bool,
    #[command(flatten)]
    pub(crate) client: Client,
}

/// How to print a publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChannelOutput {
    /// A line with channel and data
    Text,
    /// A line with the data alone
    Data,
    /// A line of JSON
    Json,
}
