//! libFuzzer's way into `targets::daemon_config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| syncline_fuzz::targets::daemon_config::run(data));
