//! libFuzzer's way into `targets::receiving`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::receiving::run(data));
