//! Headers as the `kafka-protocol` crate writes them.

use bytes::BytesMut;
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::Encodable;
use tramline_wire::kafka::{ApiKey, RequestHeader, decode_response_header, peek_request_header};
use tramline_wire::{Reader, Writer};

#[test]
fn request_headers_are_those_of_the_other_codec() {
    for &api_key in ApiKey::ALL {
        for version in api_key.versions().min..=api_key.versions().max {
            for client_id in [None, Some("client-1")] {
                let ours = RequestHeader {
                    request_api_key: api_key.code(),
                    request_api_version: version,
                    correlation_id: 0x0102_0304,
                    client_id: client_id.map(Into::into),
                };
                let other = theirs::RequestHeader::default()
                    .with_request_api_key(api_key.code())
                    .with_request_api_version(version)
                    .with_correlation_id(0x0102_0304)
                    .with_client_id(client_id.map(Into::into));
                let mut expected = BytesMut::new();
                other.encode(&mut expected, api_key.request_header_version(version)).unwrap();
                let mut writer = Writer::new();
                ours.encode_into(&mut writer, api_key).unwrap();
                let bytes = writer.into_bytes();

                assert_eq!(bytes, expected, "{api_key} v{version}");
                assert_eq!(peek_request_header(&bytes).unwrap().correlation_id, 0x0102_0304);
                let mut reader = Reader::new(bytes);
                assert_eq!(RequestHeader::decode(&mut reader), Ok(ours));
                assert_eq!(reader.finish(), Ok(()));
            }
        }
    }
}

#[test]
fn response_headers_of_the_other_codec_are_read() {
    for &api_key in ApiKey::ALL {
        for version in api_key.versions().min..=api_key.versions().max {
            let other = theirs::ResponseHeader::default().with_correlation_id(77);
            let mut bytes = BytesMut::new();
            other.encode(&mut bytes, api_key.response_header_version(version)).unwrap();
            bytes.extend_from_slice(b"body");
            let mut reader = Reader::new(bytes.freeze());

            assert_eq!(decode_response_header(&mut reader, api_key, version), Ok(77));
            assert_eq!(reader.rest(), "body", "{api_key} v{version}");
        }
    }
}
