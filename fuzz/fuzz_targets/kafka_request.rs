//! Kafka request frames: header and body, every API and version.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_wire::fuzz_request(data));
