//! What a topic's settings make of a batch before it gets its offsets: refused, passed on as it
//! came, or made anew under another codec.
//!
//! A batch is opened only where a setting needs it: for keys (`cleanup.policy=compact`), for each
//! record's own time (`message.timestamp.before.max.ms`, or where the header breaks a rule), or
//! for `compression.type`.

use crate::{Error, PartitionSettings, RecordErrors, RecordRule, TimestampRule};
use tramline_record::Batch;
use tramline_types::{Times, Timestamp, limits};

/// A batch as it is going to be stored.
#[derive(Clone, Debug)]
pub struct Admitted {
    pub(crate) batch: Batch,
    pub(crate) log_append_time: Option<Timestamp>,
    pub(crate) times: Times,
}

impl Admitted {
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.batch.bytes().len()
    }
}

/// Applies the settings.
pub(crate) fn admit(
    batch: Batch,
    settings: &PartitionSettings,
    times: Times,
) -> Result<Admitted, Error> {
    check_size(&batch, settings)?;
    let attributes = batch.header().attributes;
    if attributes.is_control() {
        return Err(Error::InvalidRecord("only the broker writes control batches"));
    }
    if attributes.is_transactional() {
        return Err(Error::InvalidRecord("a transactional batch outside a transaction"));
    }
    check_records(&batch, settings, times)?;
    let batch = convert(batch, settings)?;
    let log_append_time = (settings.timestamps == TimestampRule::LogAppend).then_some(times.wall);
    let batch = match log_append_time {
        Some(time) => batch.with_log_append_time(time),
        None => batch,
    };
    Ok(Admitted { batch, log_append_time, times })
}

fn check_size(batch: &Batch, settings: &PartitionSettings) -> Result<(), Error> {
    let (bytes, limit) = (batch.bytes().len(), settings.message_bytes_max);
    if bytes > limit { Err(Error::MessageTooLarge { bytes, limit }) } else { Ok(()) }
}

/// Recompresses what came under another codec than the topic's. As in Kafka, the same codec at
/// another level stays as it is, and the size counts before and after.
fn convert(batch: Batch, settings: &PartitionSettings) -> Result<Batch, Error> {
    let Some(codec) = settings.compression else { return Ok(batch) };
    if batch.header().attributes.compression() == Ok(codec.compression) {
        return Ok(batch);
    }
    let converted =
        batch.with_compression(codec, limits::BATCH_BYTES_OPENED_MAX).map_err(unopenable)?;
    check_size(&converted, settings)?;
    Ok(converted)
}

fn check_records(batch: &Batch, settings: &PartitionSettings, times: Times) -> Result<(), Error> {
    let needs_keys = settings.compaction.is_some();
    let bounds = match settings.timestamps {
        TimestampRule::Create { before_max_ms, after_max_ms } => Bounds {
            oldest: times.earliest.minus_millis(before_max_ms).as_millis(),
            newest: times.latest.plus_millis(after_max_ms).as_millis(),
        },
        TimestampRule::LogAppend => Bounds { oldest: i64::MIN, newest: i64::MAX },
    };
    let header = batch.header();
    // The header tells the first and the newest time, not the oldest.
    let times_may_break =
        bounds.oldest > 0 || !bounds.contain(header.base_timestamp.max(header.max_timestamp));
    if !needs_keys && !times_may_break {
        return Ok(());
    }
    let records = batch.open(limits::BATCH_BYTES_OPENED_MAX).map_err(unopenable)?;
    let mut broken = Vec::new();
    for (record, at) in records.zip(0_i32..) {
        let record = record.map_err(unopenable)?;
        let rule = if needs_keys && record.key.is_none() {
            RecordRule::Key
        } else if !bounds.contain(record.timestamp) {
            RecordRule::Timestamp
        } else {
            continue;
        };
        if broken.len() < limits::RECORD_ERRORS_MAX {
            broken.push((at, rule));
        }
    }
    if broken.is_empty() {
        return Ok(());
    }
    let has_time = broken.iter().any(|(_, rule)| *rule == RecordRule::Timestamp);
    let rule = if has_time { RecordRule::Timestamp } else { RecordRule::Key };
    Err(Error::InvalidRecords(RecordErrors { rule, records: broken }))
}

/// What a record's own time may be.
struct Bounds {
    oldest: i64,
    newest: i64,
}

impl Bounds {
    /// -1 is "no timestamp", which Kafka lets through.
    const fn contain(&self, timestamp: i64) -> bool {
        timestamp < 0 || (timestamp >= self.oldest && timestamp <= self.newest)
    }
}

fn unopenable(error: tramline_record::Error) -> Error {
    match error {
        tramline_record::Error::OpenedTooLarge(limit) => {
            Error::MessageTooLarge { bytes: limit.saturating_add(1), limit }
        }
        error => Error::Unopenable(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
