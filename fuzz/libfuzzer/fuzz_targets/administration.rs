//! The target `administration` of the crate `fuzz`, under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::target("administration").expect("the target is listed").run)(bytes));
