//! The target `strip_document` of the crate `fuzz`, under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::target("strip_document").expect("the target is listed").run)(bytes));
