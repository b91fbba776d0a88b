//! Byte for byte what the Java client writes.

use tramline_wire::kafka::ApiKey;

use crate::sample::{Direction, Sample, read};

#[test]
fn golden_messages_decode_and_encode_to_the_same_bytes() {
    for sample in Sample::all() {
        let body = sample.decode(sample.bytes.clone());
        let body = body.unwrap_or_else(|error| panic!("{}: {error}", sample.label()));
        let encoded = body.encode(sample.version);
        assert_eq!(encoded.as_ref(), Ok(&sample.bytes), "{}: {}", sample.label(), body.debug());
    }
}

#[test]
fn golden_files_cover_every_version_of_every_api() {
    let samples = Sample::all();
    for &api_key in ApiKey::ALL {
        for version in api_key.versions().min..=api_key.versions().max {
            for direction in [Direction::Request, Direction::Response] {
                let found = samples.iter().filter(|it| {
                    it.api_key == api_key && it.version == version && it.direction == direction
                });
                assert_eq!(found.count(), 2, "{api_key} {direction:?} v{version}");
            }
        }
    }
}

#[test]
fn keys_versions_and_header_versions_are_those_of_kafka() {
    let mut rows = String::new();
    for &api_key in ApiKey::ALL {
        for version in api_key.versions().min..=api_key.versions().max {
            let request = api_key.request_header_version(version);
            let response = api_key.response_header_version(version);
            let key = api_key.code();
            rows += &format!("{key} {api_key} {version} {request} {response}\n");
        }
    }
    assert_eq!(rows, read("apis.txt"));
}
