//! The target `answer` of the crate `fuzz`, under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::target("answer").expect("the target is listed").run)(bytes));
