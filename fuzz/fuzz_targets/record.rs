//! Kafka record batches: header, validation, codecs, records.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_record::fuzz_batch(data));
