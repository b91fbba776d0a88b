//! Limits of rates, per user and client: kept in the catalog, resolved as Kafka does, and turned
//! into the time for which a client that is above its limit is to be left unread.
//!
//! Invariant: the rules in memory are those in the store; buckets are for rules that exist.

mod bucket;
mod rules;

pub use rules::{QuotaFilter, QuotaMatch};
pub use tramline_catalog::{QuotaEntity, QuotaKind, QuotaName, QuotaRates};

use crate::{Broker, Error, Mode};
use bucket::{BURST, Buckets};
use parking_lot::{Mutex, RwLock};
use rules::Rules;
use smallvec::smallvec;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use tramline_store::{LogStore, Op};
use tramline_types::{Monotonic, limits::QUOTAS_MAX};

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaClient<'a> {
    /// The user; `ANONYMOUS` where there is no authentication.
    pub user: &'a str,
    /// What the client calls itself.
    pub client_id: &'a str,
}

/// Every limit, and what is left of each.
pub(crate) struct Quotas {
    rules: RwLock<Rules>,
    buckets: Mutex<Buckets>,
    /// Whether there is a limit of each kind: most brokers have none, and pay nothing.
    limited: [AtomicBool; QuotaKind::ALL.len()],
}

impl Quotas {
    pub(crate) fn load(store: &dyn LogStore) -> Result<Self, Error> {
        let mut rules = Rules::default();
        for (key, value) in store.scan(QuotaEntity::prefix()) {
            let (entity, rates) = QuotaEntity::decode(&key, &value)?;
            rules.set(entity, rates);
        }
        let quotas = Self {
            rules: RwLock::new(rules),
            buckets: Mutex::default(),
            limited: Default::default(),
        };
        quotas.note_limited();
        Ok(quotas)
    }

    fn note_limited(&self) {
        let rules = self.rules.read();
        for (kind, limited) in QuotaKind::ALL.iter().zip(&self.limited) {
            limited.store(rules.limits(*kind), Ordering::Relaxed);
        }
    }

    fn is_limited(&self, kind: QuotaKind) -> bool {
        let place = QuotaKind::ALL.iter().position(|one| *one == kind);
        place.is_some_and(|place| self.limited[place].load(Ordering::Relaxed))
    }

    fn charge(
        &self,
        kind: QuotaKind,
        client: QuotaClient<'_>,
        amount: f64,
        now: Monotonic,
    ) -> Duration {
        let Some((holder, rate)) = self.rules.read().resolve(kind, client) else {
            return Duration::ZERO;
        };
        self.buckets.lock().charge((kind, holder), rate, amount, now)
    }
}

impl Broker {
    /// Whether anybody's rate of this kind is limited.
    pub fn is_limited(&self, kind: QuotaKind) -> bool {
        self.quotas().is_limited(kind)
    }

    /// Counts bytes, or seconds of request time, towards a client's limit, and tells how long the
    /// client must be left alone to be within it again.
    pub fn charge_quota(&self, kind: QuotaKind, client: QuotaClient<'_>, amount: f64) -> Duration {
        if !self.is_limited(kind) {
            return Duration::ZERO;
        }
        self.quotas().charge(kind, client, amount, self.clock().monotonic())
    }

    /// How many bytes one answer to this client may have, where its rate is limited: what it may
    /// have in a whole burst.
    #[expect(clippy::cast_possible_truncation, reason = "saturates, and whole bytes are enough")]
    pub fn quota_burst(&self, kind: QuotaKind, client: QuotaClient<'_>) -> Option<usize> {
        if !self.is_limited(kind) {
            return None;
        }
        let resolved = self.quotas().rules.read().resolve(kind, client);
        resolved.map(|(_, rate)| (rate * BURST.as_secs_f64()) as usize)
    }

    /// The limits of every entity that the filters match. `strict` leaves out entities that have
    /// a part that no filter is about.
    pub fn describe_quotas(
        &self,
        filters: &[QuotaFilter],
        strict: bool,
    ) -> Vec<(QuotaEntity, QuotaRates)> {
        self.quotas().rules.read().describe(filters, strict)
    }

    /// Changes the limits of one entity, all or none; durable on return. `None` takes a limit
    /// away.
    pub async fn alter_quotas(
        &self,
        entity: QuotaEntity,
        changes: &[(QuotaKind, Option<f64>)],
        mode: Mode,
    ) -> Result<(), Error> {
        let _one_at_a_time = self.admin().await;
        let (mut rates, count) = {
            let rules = self.quotas().rules.read();
            (rules.of(&entity), rules.len())
        };
        let is_new = rates.is_empty();
        for (kind, rate) in changes {
            match rate {
                Some(rate) => drop(rates.insert(*kind, *rate)),
                None => drop(rates.remove(kind)),
            }
        }
        if is_new && !rates.is_empty() && count >= QUOTAS_MAX {
            let detail = format!("the broker has its limit of {QUOTAS_MAX} quotas");
            return Err(Error::LimitExceeded(detail));
        }
        if mode == Mode::ValidateOnly {
            return Ok(());
        }
        let key = entity.key();
        let (op, bytes) = if rates.is_empty() {
            (Op::Remove(key), 0)
        } else {
            let value = QuotaEntity::encode(&rates);
            let bytes = key.len() + value.len();
            (Op::Put(key, value), bytes)
        };
        self.commit(smallvec![op], bytes).await?;
        self.quotas().rules.write().set(entity, rates);
        self.quotas().note_limited();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
