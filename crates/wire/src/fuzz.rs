//! The one entry of the fuzz target `kafka_request` and of the replay of its corpus.

use bytes::Bytes;

use crate::kafka::{
    AnyRequest, ApiKey, RequestHeader, decode_any_request, peek_request_header, produce,
};
use crate::{DecodeError, Reader, Writer};

/// Takes a hostile request frame, without its size prefix, through header and body.
///
/// # Panics
/// When a decoder panics, or when what it read does not survive being written and read again.
pub fn fuzz_request(data: &[u8]) {
    let peek = peek_request_header(data);
    let mut reader = Reader::new(Bytes::copy_from_slice(data));
    let Ok(header) = RequestHeader::decode(&mut reader) else { return };
    let peek = peek.expect("a whole header has its first eight bytes");
    assert_eq!(peek.api_key, header.request_api_key);
    assert_eq!(peek.api_version, header.request_api_version);
    assert_eq!(peek.correlation_id, header.correlation_id);

    let (api_key, version) = (header.request_api_key, header.request_api_version);
    let body = reader.rest().clone();
    let request = decode_any_request(api_key, version, body.clone());
    if api_key == ApiKey::Produce.code() {
        check_produce_view(&request, body, version);
    }
    let Ok(request) = request else { return };
    let written = write(&request, version);
    let again = decode_any_request(api_key, version, written.clone());
    let again = again.expect("what was written can be read");
    // Bytes, because a number that is none does not equal itself.
    assert_eq!(write(&again, version), written);
}

fn write(request: &AnyRequest, version: i16) -> Bytes {
    let mut writer = Writer::new();
    request.encode_into(&mut writer, version).expect("what was read in a version fits into it");
    Bytes::from(writer.into_chunks().concat())
}

/// The flat view of a Produce request reads what the derived decoder reads, and refuses what it
/// refuses.
fn check_produce_view(request: &Result<AnyRequest, DecodeError>, body: Bytes, version: i16) {
    let mut reader = Reader::new(body);
    let view = produce::ProduceView::decode(&mut reader, version)
        .and_then(|view| reader.finish().map(|()| view));
    let (Ok(AnyRequest::Produce(request)), Ok(view)) = (request, &view) else {
        assert_eq!(request.is_ok(), view.is_ok());
        return;
    };
    assert_eq!(view.transactional_id, request.transactional_id);
    assert_eq!((view.acks, view.timeout_ms), (request.acks, request.timeout_ms));
    let topics = request.topic_data.iter().map(|topic| (&topic.name, topic.topic_id));
    assert!(topics.eq(view.topics.iter().map(|topic| (&topic.name, topic.topic_id))));
    let partitions = request.topic_data.iter().enumerate().flat_map(|(index, topic)| {
        topic.partition_data.iter().map(move |data| (index, data.index, &data.records))
    });
    assert!(partitions.eq(view.partitions.iter().map(|p| (p.topic, p.index, &p.records))));
}

#[cfg(test)]
mod tests;
