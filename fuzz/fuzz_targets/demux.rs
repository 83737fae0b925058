//! libFuzzer's way into `targets::demux`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::demux::run(data));
