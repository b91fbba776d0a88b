//! ApiVersions (key 18, v0-4): what this broker speaks.
//!
//! v1 adds `throttle_time_ms`, v3 is flexible and adds the client's name and the features, v4
//! lets a feature's range start at 0. The answer's header never has tags.

use super::SUPPORTED;
use crate::{
    context::{Call, Context},
    error::ErrorCode,
};
use tramline_wire::kafka::{
    ApiKey, VersionRange,
    api_versions::{ApiVersion, ApiVersionsRequest, ApiVersionsResponse},
};

pub(super) const VERSIONS: VersionRange = VersionRange::new(0, 4);

/// Produce is shown from 0: librdkafka would not send any Produce otherwise (KAFKA-18659).
const PRODUCE_SHOWN_MIN: i16 = 0;

pub(super) async fn handle(
    cx: &Context,
    call: &Call,
    request: ApiVersionsRequest,
) -> ApiVersionsResponse {
    let valid = is_software_name(&request.client_software_name)
        && is_software_name(&request.client_software_version);
    if call.version >= 3 && !valid {
        let error_code = cx.refuse(ApiKey::ApiVersions, ErrorCode::INVALID_REQUEST);
        return ApiVersionsResponse { error_code, ..ApiVersionsResponse::default() };
    }
    ApiVersionsResponse {
        api_keys: api_keys(),
        finalized_features_epoch: 0,
        ..ApiVersionsResponse::default()
    }
}

/// The answer, in version 0, to a version that is not known here: the client learns which is.
pub(super) fn unsupported(cx: &Context) -> ApiVersionsResponse {
    ApiVersionsResponse {
        error_code: cx.refuse(ApiKey::ApiVersions, ErrorCode::UNSUPPORTED_VERSION),
        api_keys: api_keys(),
        ..ApiVersionsResponse::default()
    }
}

fn api_keys() -> Vec<ApiVersion> {
    let produce = VersionRange::new(PRODUCE_SHOWN_MIN, super::produce::VERSIONS.max);
    let shown = [(ApiKey::Produce, produce)].into_iter().chain(SUPPORTED.iter().copied());
    let entry = |(api, versions): (ApiKey, VersionRange)| ApiVersion {
        api_key: api.code(),
        min_version: versions.min,
        max_version: versions.max,
    };
    shown.map(entry).collect()
}

/// Kafka's pattern (KIP-511): letters and digits, with `-` and `.` between them.
fn is_software_name(name: &str) -> bool {
    let inner = |c: u8| c.is_ascii_alphanumeric() || c == b'-' || c == b'.';
    let outer = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    outer(bytes.first()) && outer(bytes.last()) && bytes.iter().all(|c| inner(*c))
}
