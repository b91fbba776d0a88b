//! What is left of each limit: a bucket that fills at the limit's rate up to a burst, and may go
//! into debt: the debt divided by the rate is how long its holder is left alone. Pure.

use super::{QuotaKind, rules::Holder};
use std::{collections::HashMap, time::Duration};
use tramline_types::{Monotonic, limits::QUOTA_HOLDERS_MAX};

/// So much of its rate a client may use at once after it was idle (Kafka measures over 11 windows
/// of a second, of which one is under way).
pub(super) const BURST: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: f64,
    left: f64,
    at: Monotonic,
}

impl Bucket {
    fn full(rate: f64, now: Monotonic) -> Self {
        Self { rate, left: rate * BURST.as_secs_f64(), at: now }
    }

    fn fill(&mut self, now: Monotonic) {
        let grown = self.left + self.rate * now.since(self.at).as_secs_f64();
        self.left = grown.min(self.rate * BURST.as_secs_f64());
        self.at = now;
    }

    fn is_full(mut self, now: Monotonic) -> bool {
        self.fill(now);
        self.left >= self.rate * BURST.as_secs_f64()
    }
}

/// The buckets that are not known to be full.
#[derive(Debug, Default)]
pub(super) struct Buckets(HashMap<(QuotaKind, Holder), Bucket>);

impl Buckets {
    /// Takes an amount, and tells how long until there is no debt.
    pub(super) fn charge(
        &mut self,
        holder: (QuotaKind, Holder),
        rate: f64,
        amount: f64,
        now: Monotonic,
    ) -> Duration {
        // Request time is limited in percent of a second per second.
        let rate = if holder.0 == QuotaKind::RequestTime { rate / 100.0 } else { rate };
        if self.0.len() >= QUOTA_HOLDERS_MAX && !self.0.contains_key(&holder) {
            self.forget(now);
        }
        let bucket = self.0.entry(holder).or_insert_with(|| Bucket::full(rate, now));
        bucket.fill(now);
        bucket.rate = rate;
        bucket.left -= amount;
        if bucket.left >= 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64(-bucket.left / rate).unwrap_or(Duration::MAX)
    }

    /// A full bucket is as good as none; where none is full, those with the smallest debt go.
    fn forget(&mut self, now: Monotonic) {
        self.0.retain(|_, bucket| !bucket.is_full(now));
        if self.0.len() >= QUOTA_HOLDERS_MAX {
            let mut left: Vec<f64> =
                self.0.values().map(|bucket| bucket.left / bucket.rate).collect();
            left.sort_unstable_by(f64::total_cmp);
            let middle = left[left.len() / 2];
            self.0.retain(|_, bucket| bucket.left / bucket.rate < middle);
        }
    }
}
