//! `tramline config-push`.

use super::Asking;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// What to do with pushed configuration.
#[derive(Subcommand)]
pub(crate) enum ConfigPushCommand {
    /// Give a key a value
    #[command(after_help = "\
Examples:
  tramline config-push put app/web/limit 10
  tramline config-push put app/web/flags --file flags.json --content-type application/json
  tramline config-push put app/web/limit 20 --if-revision 41
  tramline config-push put app/web/limit 20 --rollout 10 --note 'ticket 7'")]
    Put(ConfigPut),
    /// Print a key's value
    #[command(after_help = "\
Examples:
  tramline config-push get app/web/limit
  tramline config-push get app/web/limit --revision 40
  tramline config-push get app/web/limit --client web-1")]
    Get {
        /// The key
        key: String,
        /// The value of this revision
        #[arg(long)]
        revision: Option<u64>,
        /// The value that this subscriber gets
        #[arg(long)]
        client: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// List the keys of a scope with their values
    #[command(after_help = "\
Examples:
  tramline config-push list
  tramline config-push list app/ --output json")]
    List {
        /// A key, or a prefix that ends with /; all keys without it
        #[arg(default_value = "")]
        scope: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// List the revisions of a key that are kept
    #[command(after_help = "\
Example:
  tramline config-push history app/web/limit")]
    History {
        /// The key
        key: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Follow a scope, print its values and every change, or run a command for each
    #[command(after_help = "\
Examples:
  tramline config-push watch app/web/
  tramline config-push watch app/web/limit --client web-1 --exec 'cat > limit.conf'
  tramline config-push watch app/ --changes-only --exec 'systemctl reload app'

The command runs in a shell with the value as its input and TRAMLINE_EVENT (put or delete),
TRAMLINE_KEY and TRAMLINE_REVISION in its environment. With --client, what it has done without an
error is confirmed: see tramline config-push adoption.")]
    Watch(ConfigWatch),
    /// Give a key the value of an earlier revision again
    #[command(after_help = "\
Example:
  tramline config-push rollback app/web/limit 40")]
    Rollback {
        /// The key
        key: String,
        /// The revision
        revision: u64,
        /// Kept with the new revision
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Give the newest value of a key to another share of its subscribers
    #[command(after_help = "\
Examples:
  tramline config-push rollout app/web/limit 50
  tramline config-push rollout app/web/limit 100     everybody
  tramline config-push rollout app/web/limit 0       nobody, for the time being")]
    Rollout {
        /// The key
        key: String,
        /// Percent of the subscribers
        percent: f64,
        /// Kept with the new revision
        #[arg(long)]
        note: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Take a key's value away
    #[command(after_help = "\
Example:
  tramline config-push delete app/web/limit")]
    Delete {
        /// The key
        key: String,
        /// Only if this is its newest revision
        #[arg(long)]
        if_revision: Option<u64>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Show which subscribers have which revision of a key
    #[command(after_help = "\
Example:
  tramline config-push adoption app/web/limit")]
    Adoption {
        /// The key
        key: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Set, list and remove rules: schemas and history of the keys of a scope
    #[command(after_help = "\
Examples:
  tramline config-push rule
  tramline config-push rule app/web/limit --schema limit.schema.json --history 50
  tramline config-push rule app/web/limit --remove")]
    Rule {
        /// A key, or a prefix that ends with /; lists all rules without it
        scope: Option<String>,
        /// A file with a JSON Schema that values must fit
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
        /// Earlier values that each key keeps
        #[arg(long)]
        history: Option<u32>,
        /// Remove the rule
        #[arg(long, conflicts_with_all = ["schema", "history"])]
        remove: bool,
        #[command(flatten)]
        asking: Asking,
    },
}

/// `tramline config-push put`.
#[derive(Args)]
pub(crate) struct ConfigPut {
    /// The key
    pub(crate) key: String,
    /// The value; the standard input without it
    #[arg(conflicts_with = "file")]
    pub(crate) value: Option<String>,
    /// Take the value from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The value's type
    #[arg(long, value_name = "TYPE", default_value = "text/plain; charset=utf-8")]
    pub(crate) content_type: String,
    /// Only if this is its newest revision; 0: if it has no value
    #[arg(long)]
    pub(crate) if_revision: Option<u64>,
    /// Give it to so many percent of the subscribers only
    #[arg(long, value_name = "PERCENT")]
    pub(crate) rollout: Option<f64>,
    /// Chooses other subscribers
    #[arg(long, requires = "rollout")]
    pub(crate) seed: Option<String>,
    /// Kept with the revision
    #[arg(long)]
    pub(crate) note: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// `tramline config-push watch`.
#[derive(Args)]
pub(crate) struct ConfigWatch {
    /// A key, or a prefix that ends with /; all keys without it
    #[arg(default_value = "")]
    pub(crate) scope: String,
    /// This subscriber's id: for roll-outs, and to confirm what was taken over
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// Run this for every value and every change
    #[arg(long, value_name = "COMMAND")]
    pub(crate) exec: Option<String>,
    /// Pass over the values that are there at the start
    #[arg(long)]
    pub(crate) changes_only: bool,
    /// End after so many
    #[arg(long, short)]
    pub(crate) count: Option<u64>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}
