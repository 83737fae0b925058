//! libFuzzer's way into `targets::requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::requests::run(data));
