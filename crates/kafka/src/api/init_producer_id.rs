//! InitProducerId (key 22, v0-5): an id for an idempotent producer. Durable when answered.
//!
//! v2 is flexible, v3 lets a producer name its former id: a new one is given all the same.
//! Transactions do not exist here yet: the error is one that every client takes as final.

use crate::{
    context::{Call, Context},
    error::ErrorCode,
};
use tramline_wire::kafka::{
    VersionRange,
    init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 5);

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let refuse = |code: ErrorCode| InitProducerIdResponse {
        error_code: cx.refuse(call.api, code),
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    };
    if request.transactional_id.is_some() {
        return refuse(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    }
    match cx.broker().allocate_producer_id().await {
        Ok(id) => InitProducerIdResponse {
            producer_id: id.0,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        // A client retries this one, as it does when Kafka cannot reach its controller.
        Err(error) => refuse(ErrorCode::of_coordinator(&error)),
    }
}
