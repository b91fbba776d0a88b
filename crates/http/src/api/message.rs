//! `/v1/topics/{topic}/messages`: publishing and fetching.

pub(crate) mod fetch;
pub(crate) mod publish;
