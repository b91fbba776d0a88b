//! A Kafka connection's bytes: size prefixes, whole and cut frames, and each frame's request.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_kafka::fuzz_frames(data));
