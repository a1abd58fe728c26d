#![no_main]

#[path = "../../tests/fuzzed/recipe.rs"]
mod recipe;

libfuzzer_sys::fuzz_target!(|data: &[u8]| recipe::run(data));
