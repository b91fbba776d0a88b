//! From a request to what the broker is asked.

pub(crate) mod attributes;
pub(crate) mod bounded;
pub(crate) mod message;
pub(crate) mod query;

use crate::error::{Code, Error};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What comes with an action: a JSON body, or the parameters of the Query protocol in the same
/// form.
pub(crate) enum Input<'a> {
    Json(&'a [u8]),
    Tree(Value),
}

impl Input<'_> {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self {
            Self::Json(b"") => serde_json::from_slice(b"{}"),
            Self::Json(bytes) => serde_json::from_slice(bytes),
            Self::Tree(tree) => T::deserialize(tree),
        }
        .map_err(|error| Error::new(Code::Serialization, error.to_string()))
    }
}
