//! Fuzzes `headwater_fuzz::rows`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: headwater_fuzz::keep_quiet(), |bytes: &[u8]| headwater_fuzz::rows(bytes));
