//! libFuzzer's way into `targets::delta`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::delta::run(data));
