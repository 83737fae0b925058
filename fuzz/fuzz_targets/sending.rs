//! libFuzzer's way into `targets::sending`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::sending::run(data));
