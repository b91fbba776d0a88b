//! `tramline job`.

use super::Asking;
use clap::Subcommand;

/// What to do with jobs: messages whose fate somebody follows.
#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// Show what became of a job
    #[command(after_help = "\
Examples:
  tramline job get 18
  tramline job get 18 --output json")]
    Get {
        /// The job's id
        job: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// List jobs, the newest first
    #[command(after_help = "\
Examples:
  tramline job list
  tramline job list --queue work --state dead-lettered --count 200")]
    List {
        /// Of this queue
        #[arg(long)]
        queue: Option<String>,
        /// In this state: scheduled, queued, processing, failed, done, dead-lettered, expired
        /// or cancelled
        #[arg(long)]
        state: Option<String>,
        /// Jobs at most
        #[arg(long, short, default_value_t = 50)]
        count: usize,
        #[command(flatten)]
        asking: Asking,
    },
    /// Print every change of a job until it is over; fails where it was not done
    #[command(after_help = "\
Examples:
  tramline job watch 18
  tramline job watch 18 --output json")]
    Watch {
        /// The job's id
        job: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Cancel jobs: those that wait are taken out, workers of the others are told
    #[command(after_help = "\
Example:
  tramline job cancel 18 19")]
    Cancel {
        /// The jobs' ids
        #[arg(required = true)]
        jobs: Vec<String>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Make a token that lets a browser watch one job
    #[command(after_help = "\
Examples:
  tramline job token 18
  tramline job token 18 --lasts-ms 600000")]
    Token {
        /// The job's id
        job: String,
        /// How long it is good
        #[arg(long, default_value_t = 3_600_000)]
        lasts_ms: u64,
        #[command(flatten)]
        asking: Asking,
    },
    /// Make jobs of all messages that come into a queue from here on
    #[command(after_help = "\
Examples:
  tramline job track work
  tramline job track work --result-ttl-ms 3600000
  tramline job track uploads --on-done thumbnails,captions
  tramline job track work --off")]
    Track {
        /// The queue
        queue: String,
        /// How long the end of a job is kept
        #[arg(long)]
        result_ttl_ms: Option<u64>,
        /// The queues that get a message when one of this queue is done, with commas between
        /// them; none where it is empty
        #[arg(long, value_delimiter = ',')]
        on_done: Option<Vec<String>>,
        /// Stop it
        #[arg(long)]
        off: bool,
        #[command(flatten)]
        asking: Asking,
    },
}
