//! libFuzzer's way into `targets::setup_server`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::setup_server::run(data));
