//! What one run measured.

use std::time::Duration;

/// One run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    micros: Vec<u128>,
}

impl Figures {
    pub(crate) fn new(records: u64, bytes: u64, time: Duration, mut micros: Vec<u128>) -> Self {
        micros.sort_unstable();
        Self { records, bytes, seconds: time.as_secs_f64(), micros }
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn records_per_second(&self) -> f64 {
        self.records as f64 / self.seconds
    }

    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.seconds
    }

    /// A latency quantile in milliseconds, `per_mille` of 1,000.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn millis(&self, per_mille: usize) -> f64 {
        let last = self.micros.len().saturating_sub(1);
        let index = (self.micros.len() * per_mille / 1000).min(last);
        self.micros.get(index).map_or(f64::NAN, |micros| *micros as f64 / 1000.0)
    }
}

/// The middle value; the lower middle of an even number.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_medians_are_taken_from_sorted_values() {
        let figures = Figures::new(1, 1, Duration::from_secs(1), (1..=1000).rev().collect());
        assert!((figures.millis(500) - 0.501).abs() < 1e-9);
        assert!((figures.millis(999) - 1.0).abs() < 1e-9);
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
