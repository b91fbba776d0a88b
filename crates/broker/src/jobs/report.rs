//! What a worker says about a job: how far it is, what came of it, what went wrong.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tramline_types::{Timestamp, limits};

/// How far a job is, in its worker's words.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// From 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many steps are done,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// of so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The worker's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The attempt that this is about; a report of another one is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// When it was said, in milliseconds since 1970.
    #[serde(default)]
    pub at: i64,
}

impl Progress {
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>()
            + self.message.as_ref().map_or(0, String::len)
            + self.worker.as_ref().map_or(0, String::len)
    }

    /// What is wrong with it.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.percent.is_some_and(|percent| !(0.0..=100.0).contains(&percent)) {
            return Err("`percent` is from 0 to 100".to_owned());
        }
        let texts = [&self.message, &self.worker];
        if texts.into_iter().flatten().any(|text| text.len() > limits::JOB_TEXT_BYTES_MAX) {
            return Err(format!("texts have up to {} bytes", limits::JOB_TEXT_BYTES_MAX));
        }
        if self.worker.as_ref().is_some_and(|worker| worker.len() > limits::JOB_ID_BYTES_MAX) {
            return Err(format!("a worker's name has up to {} bytes", limits::JOB_ID_BYTES_MAX));
        }
        Ok(())
    }

    pub(crate) fn stamped(mut self, now: Timestamp) -> Self {
        self.at = now.as_millis();
        // A share of the whole says as much as a number of percent.
        if let (None, Some(current), Some(total)) = (self.percent, self.current, self.total)
            && total > 0
        {
            let (current, total) = (current.min(total), total);
            let thousandths = u128::from(current) * 1000 / u128::from(total);
            self.percent = u16::try_from(thousandths).ok().map(|it| f64::from(it) / 10.0);
        }
        self
    }
}

/// A report.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    /// How far it is. Extends a timed lock.
    Progress(Progress),
    /// What came of it, as JSON; with `accept` the delivery is settled, too.
    Result {
        /// JSON.
        result: Bytes,
        /// The work is done with it.
        accept: bool,
    },
    /// The attempt failed: the delivery is settled.
    Failure {
        /// Why.
        error: String,
        /// Whether there is another attempt; else the message is rejected.
        retry: bool,
        /// How long the next attempt waits, where the queue's back-off is not to be used.
        delay_ms: Option<u64>,
    },
}
