//! The target `strip_message` of the crate `fuzz`, under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::target("strip_message").expect("the target is listed").run)(bytes));
