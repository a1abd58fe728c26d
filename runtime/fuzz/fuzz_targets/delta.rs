#![no_main]

#[path = "../../tests/fuzzed/delta.rs"]
mod delta;

libfuzzer_sys::fuzz_target!(|data: &[u8]| delta::run(data));
