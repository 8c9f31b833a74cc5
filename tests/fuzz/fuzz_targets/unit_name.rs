//! Fuzzes `headwater_fuzz::unit_name`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headwater_fuzz::unit_name(bytes));
