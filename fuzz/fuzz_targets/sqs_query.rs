//! Amazon SQS: parameters of the Query protocol, for any action; a message is stored and read back.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tramline_sqs::fuzz_query(data));
