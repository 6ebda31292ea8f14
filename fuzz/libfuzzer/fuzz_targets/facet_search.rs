//! The target `facet_search` of the crate `fuzz`, under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (fuzz::target("facet_search").expect("the target is listed").run)(bytes));
