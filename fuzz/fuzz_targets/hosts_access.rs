//! libFuzzer's way into `targets::hosts_access`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::hosts_access::run(data));
