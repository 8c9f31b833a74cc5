//! Fuzzes `headwater_fuzz::sidecar`.

#![no_main]

libfuzzer_sys::fuzz_target!(init: headwater_fuzz::keep_quiet(), |bytes: &[u8]| headwater_fuzz::sidecar(bytes));
