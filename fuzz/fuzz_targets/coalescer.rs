//! libFuzzer's way into `targets::coalescer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::coalescer::run(data));
