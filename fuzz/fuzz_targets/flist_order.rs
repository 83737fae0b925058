//! libFuzzer's way into `targets::flist_order`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::flist_order::run(data));
