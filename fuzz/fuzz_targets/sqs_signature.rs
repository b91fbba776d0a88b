//! Amazon SQS: who signed a request.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_sqs::fuzz_signature(data));
