//! libFuzzer's way into `targets::filter_wire`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::filter_wire::run(data));
