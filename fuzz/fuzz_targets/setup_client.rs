//! libFuzzer's way into `targets::setup_client`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::setup_client::run(data));
