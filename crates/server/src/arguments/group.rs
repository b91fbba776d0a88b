//! `tramline group`.

use super::Asking;
use clap::{Args, Subcommand};

/// What to do with consumer groups.
#[derive(Subcommand)]
pub(crate) enum GroupCommand {
    /// List the groups
    #[command(after_help = "\
Examples:
  tramline group list
  tramline group list --output json")]
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Show a group's members, committed offsets and lag
    #[command(after_help = "\
Example:
  tramline group describe billing")]
    Describe {
        /// The group
        group: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Show how far behind a group is, and what the movement of its commits says
    #[command(after_help = "\
Examples:
  tramline group lag billing
  tramline group lag billing --output json

States: OK, WARN (falls behind at every step), STALL (commits, but does not move),
STOP (does not commit any more), REWIND (went back).")]
    Lag {
        /// The group
        group: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Move the committed offsets of a group without members
    #[command(after_help = "\
Examples:
  tramline group reset-offsets billing --to-earliest --dry-run
  tramline group reset-offsets billing --topic orders --to-time 2026-01-31T08:00:00Z
  tramline group reset-offsets billing --topic orders --partition 2 --to-offset 1000")]
    ResetOffsets(GroupReset),
    /// Delete groups without members, with their offsets
    #[command(after_help = "\
Example:
  tramline group delete billing --yes")]
    Delete {
        /// The groups
        #[arg(required = true)]
        groups: Vec<String>,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        asking: Asking,
    },
}

/// `tramline group reset-offsets`.
#[derive(Args)]
#[command(group(
    clap::ArgGroup::new("to").required(true).args(["to_earliest", "to_latest", "to_time", "to_offset"])
))]
pub(crate) struct GroupReset {
    /// The group
    pub(crate) group: String,
    /// To the first message that is kept
    #[arg(long)]
    pub(crate) to_earliest: bool,
    /// To the end
    #[arg(long)]
    pub(crate) to_latest: bool,
    /// To the first message of a time: RFC 3339, milliseconds since 1970, or -10m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to_time: Option<String>,
    /// To this offset; needs --topic
    #[arg(long, value_name = "OFFSET", requires = "topic")]
    pub(crate) to_offset: Option<u64>,
    /// The topic; every topic that the group has offsets for without it
    #[arg(long, short)]
    pub(crate) topic: Option<String>,
    /// A partition of the topic; may be given more than once; all of them without it
    #[arg(long = "partition", short, requires = "topic")]
    pub(crate) partitions: Vec<u32>,
    /// Show what would be moved, change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) asking: Asking,
}
