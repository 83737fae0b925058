//! libFuzzer's way into `targets::request_paths`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::request_paths::run(data));
