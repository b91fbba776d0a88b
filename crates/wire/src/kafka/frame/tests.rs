use bytes::Bytes;

use super::*;
use crate::kafka::{
    ApiVersionsRequest, ApiVersionsResponse, FetchRequest, FetchResponse, HeartbeatRequest,
    HeartbeatResponse, Records, fetch,
};

/// A frame in one piece, without its size prefix, which must be right.
fn body(chunks: Vec<Bytes>) -> Bytes {
    let frame = Bytes::from(chunks.concat());
    let size = u32::from_be_bytes(*frame.first_chunk().unwrap());
    assert_eq!(usize::try_from(size).unwrap(), frame.len() - 4);
    frame.slice(4..)
}

#[test]
fn requests_survive_a_round_trip_in_both_header_versions() {
    let request = HeartbeatRequest { group_id: "g".into(), generation_id: 7, ..Default::default() };
    for version in 0..=4 {
        for client_id in [None, Some("client".into())] {
            let frame = encode_request(&request, version, 42, client_id.clone()).unwrap();
            let frame = body(frame);
            let peek = peek_request_header(&frame).unwrap();
            assert_eq!((peek.api_key, peek.api_version, peek.correlation_id), (12, version, 42));
            let (header, decoded) = decode_request::<HeartbeatRequest>(frame).unwrap();
            assert_eq!((header.correlation_id, header.client_id), (42, client_id));
            assert_eq!(decoded, request);
        }
    }
}

#[test]
fn responses_survive_a_round_trip_in_both_header_versions() {
    let response = HeartbeatResponse { throttle_time_ms: 0, error_code: 27 };
    for version in 0..=4 {
        let frame = encode_response(&response, ApiKey::Heartbeat, version, 42).unwrap();
        let decoded = decode_response::<HeartbeatRequest>(body(frame), version).unwrap();
        assert_eq!(decoded, (42, response.clone()));
    }
}

#[test]
fn the_answer_to_api_versions_has_no_tags_in_its_header() {
    let response = ApiVersionsResponse { error_code: 35, ..Default::default() };
    let frame = body(encode_response(&response, ApiKey::ApiVersions, 3, 9).unwrap());
    assert_eq!(&frame[..6], b"\x00\x00\x00\x09\x00\x23");
    assert_eq!(decode_response::<ApiVersionsRequest>(frame, 3), Ok((9, response)));
}

#[test]
fn the_client_id_keeps_its_16_bit_length_in_flexible_headers() {
    let request = HeartbeatRequest::default();
    let frame = body(encode_request(&request, 4, 1, Some("abc".into())).unwrap());
    assert_eq!(&frame[8..14], b"\x00\x03abc\x00");
}

#[test]
fn fetched_records_are_written_without_copying() {
    let pieces = vec![Bytes::from(vec![1; 4000]), Bytes::from(vec![2; 5000])];
    let mut response = FetchResponse::default();
    response.responses.push(fetch::FetchableTopicResponse {
        topic: "t".into(),
        partitions: vec![fetch::PartitionData {
            records: Some(Records::from(pieces.clone())),
            ..Default::default()
        }],
        ..Default::default()
    });
    for version in 4..=12 {
        let chunks = encode_response(&response, ApiKey::Fetch, version, 5).unwrap();
        let shared: Vec<_> = chunks.iter().map(|chunk| chunk.as_ptr()).collect();
        assert!(pieces.iter().all(|piece| shared.contains(&piece.as_ptr())), "v{version}");
        let (_, decoded) = decode_response::<FetchRequest>(body(chunks), version).unwrap();
        let records = decoded.responses[0].partitions[0].records.as_ref().unwrap();
        assert_eq!(records.to_bytes(), pieces.concat());
    }
}

#[test]
fn a_frame_of_another_api_is_refused() {
    let frame = body(encode_request(&HeartbeatRequest::default(), 0, 1, None).unwrap());
    assert_eq!(decode_request::<FetchRequest>(frame), Err(DecodeError::UnknownApi(12)));
}

#[test]
fn short_frames_cannot_be_peeked() {
    assert_eq!(peek_request_header(&[0; 7]), Err(DecodeError::Truncated));
    assert!(peek_request_header(&[0; 8]).is_ok());
}

#[test]
fn headers_of_unknown_apis_are_refused() {
    let mut reader = Reader::new(Bytes::from_static(&[0x7f; 64]));
    assert_eq!(RequestHeader::decode(&mut reader), Err(DecodeError::UnknownApi(0x7f7f)));
}
