//! Fuzzes `headwater_fuzz::heads_file`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| headwater_fuzz::heads_file(bytes));
