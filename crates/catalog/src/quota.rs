//! Limits of rates, per user and client, as stored.
//!
//! Key: `quota/<JSON of [`QuotaEntity`]>`; value: JSON of rates by [`QuotaKind`].

use crate::Error;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const PREFIX: &str = "quota/";

/// Whom a limit is for: one by name, or everyone who has no limit of their own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaName {
    /// Everyone else, each for themselves.
    Default,
    /// The one of this name.
    Named(String),
}

/// Whom limits are for: a user, a client id, or a client id of a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaEntity {
    /// The user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<QuotaName>,
    /// The client id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<QuotaName>,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaKind {
    /// Bytes sent to the broker, per second.
    ProducedBytes,
    /// Bytes fetched from the broker, per second.
    FetchedBytes,
    /// Time that the broker works on requests, in percent of one thread.
    RequestTime,
}

impl QuotaKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::ProducedBytes, Self::FetchedBytes, Self::RequestTime];
}

/// The limits of one entity.
pub type QuotaRates = BTreeMap<QuotaKind, f64>;

impl QuotaEntity {
    /// The entity's key.
    pub fn key(&self) -> Bytes {
        let json = serde_json::to_string(self).expect("text is JSON");
        Bytes::from(format!("{PREFIX}{json}"))
    }

    /// What all keys start with.
    pub const fn prefix() -> &'static [u8] {
        PREFIX.as_bytes()
    }

    /// The stored form of an entity's rates.
    pub fn encode(rates: &QuotaRates) -> Bytes {
        Bytes::from(serde_json::to_vec(rates).expect("finite numbers are JSON"))
    }

    /// Reads a stored pair.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<(Self, QuotaRates), Error> {
        let damaged = |detail: String| Error::Damaged {
            key: String::from_utf8_lossy(key).into_owned(),
            detail,
        };
        let json = key.strip_prefix(PREFIX.as_bytes());
        let json = json.ok_or_else(|| damaged("not a quota's key".to_owned()))?;
        let entity = serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?;
        let rates = serde_json::from_slice(value).map_err(|error| damaged(error.to_string()))?;
        Ok((entity, rates))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_come_back_from_their_stored_form() {
        let named = |name: &str| Some(QuotaName::Named(name.to_owned()));
        for (user, client_id) in [
            (named("a/\"ü"), Some(QuotaName::Default)),
            (Some(QuotaName::Default), None),
            (None, named("")),
        ] {
            let entity = QuotaEntity { user, client_id };
            let rates =
                BTreeMap::from([(QuotaKind::FetchedBytes, 1e18), (QuotaKind::RequestTime, 0.5)]);
            let decoded = QuotaEntity::decode(&entity.key(), &QuotaEntity::encode(&rates));
            assert_eq!(decoded, Ok((entity, rates)));
        }
        assert!(QuotaEntity::decode(b"quota/{", b"{}").is_err());
        assert!(QuotaEntity::decode(b"quota/{}", b"{\"none\":1}").is_err());
        assert!(QuotaEntity::decode(b"topic/{}", b"{}").is_err());
    }
}
