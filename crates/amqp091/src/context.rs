//! What the connections of one listener share.

use crate::{Options, metrics::Metrics, reply_to::ReplyTo};
use tramline_broker::{Broker, Door};

/// What the connections of one listener share.
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) options: Options,
    pub(crate) metrics: Metrics,
    pub(crate) reply_to: ReplyTo,
}

impl Shared {
    pub(crate) fn new(broker: Broker, options: Options, door: &Door) -> Self {
        let metrics = Metrics::new(&broker, door);
        Self { broker, options, metrics, reply_to: ReplyTo::default() }
    }
}
