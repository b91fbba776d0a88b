//! Which limit applies to whom: pure.
//!
//! The first of these that has a limit of the kind in question, as in Kafka:
//! user and client id, user and any client id, user, any user and client id, any user and any
//! client id, any user, client id, any client id.

use super::{QuotaClient, QuotaEntity, QuotaKind, QuotaName, QuotaRates};
use std::collections::BTreeMap;

/// What an entity's part must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaMatch {
    /// This name.
    Named(String),
    /// The default.
    Default,
    /// Any, but it must be there.
    Any,
}

/// What entities are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuotaFilter {
    /// Those with such a user.
    User(QuotaMatch),
    /// Those with such a client id.
    ClientId(QuotaMatch),
}

impl QuotaMatch {
    fn fits(&self, part: Option<&QuotaName>) -> bool {
        match (self, part) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::Default, Some(name)) => *name == QuotaName::Default,
            (Self::Named(wanted), Some(QuotaName::Named(name))) => wanted == name,
            (Self::Named(_), Some(QuotaName::Default)) => false,
        }
    }
}

/// Who shares one limit: the parts that the limit is about, by their real names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    user: Option<String>,
    client_id: Option<String>,
}

/// Every limit.
#[derive(Debug, Default)]
pub(super) struct Rules(BTreeMap<QuotaEntity, QuotaRates>);

impl Rules {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether anybody has a limit of this kind.
    pub(super) fn limits(&self, kind: QuotaKind) -> bool {
        self.0.values().any(|rates| rates.contains_key(&kind))
    }

    /// The limits of one entity.
    pub(super) fn of(&self, entity: &QuotaEntity) -> QuotaRates {
        self.0.get(entity).cloned().unwrap_or_default()
    }

    /// Sets the limits of one entity; none takes it out.
    pub(super) fn set(&mut self, entity: QuotaEntity, rates: QuotaRates) {
        if rates.is_empty() {
            self.0.remove(&entity);
        } else {
            self.0.insert(entity, rates);
        }
    }

    /// The limit that applies to a client, and with whom it is shared.
    pub(super) fn resolve(
        &self,
        kind: QuotaKind,
        client: QuotaClient<'_>,
    ) -> Option<(Holder, f64)> {
        let user = || Some(QuotaName::Named(client.user.to_owned()));
        let client_id = || Some(QuotaName::Named(client.client_id.to_owned()));
        let any = || Some(QuotaName::Default);
        let candidates = [
            (user(), client_id()),
            (user(), any()),
            (user(), None),
            (any(), client_id()),
            (any(), any()),
            (any(), None),
            (None, client_id()),
            (None, any()),
        ];
        candidates.into_iter().find_map(|(user, client_id)| {
            let entity = QuotaEntity { user, client_id };
            let rate = *self.0.get(&entity)?.get(&kind)?;
            let holder = Holder {
                user: entity.user.map(|_| client.user.to_owned()),
                client_id: entity.client_id.map(|_| client.client_id.to_owned()),
            };
            Some((holder, rate))
        })
    }

    pub(super) fn describe(
        &self,
        filters: &[QuotaFilter],
        strict: bool,
    ) -> Vec<(QuotaEntity, QuotaRates)> {
        let fits = |entity: &QuotaEntity| {
            let parts =
                usize::from(entity.user.is_some()) + usize::from(entity.client_id.is_some());
            let all = filters.iter().all(|filter| match filter {
                QuotaFilter::User(wanted) => wanted.fits(entity.user.as_ref()),
                QuotaFilter::ClientId(wanted) => wanted.fits(entity.client_id.as_ref()),
            });
            all && (!strict || parts == filters.len())
        };
        let matching = self.0.iter().filter(|(entity, _)| fits(entity));
        matching.map(|(entity, rates)| (entity.clone(), rates.clone())).collect()
    }
}
