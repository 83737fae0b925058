//! libFuzzer's way into `targets::generator_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::generator_stream::run(data));
