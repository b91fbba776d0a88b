//! Amazon SQS: a request that sends a message, in both protocols, stored and read back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_sqs::fuzz_request(data));
