//! libFuzzer's way into `targets::hostile_sums`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::hostile_sums::run(data));
