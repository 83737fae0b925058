//! libFuzzer's way into `targets::server_options`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::server_options::run(data));
