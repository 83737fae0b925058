//! libFuzzer's way into `targets::sender_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::sender_stream::run(data));
