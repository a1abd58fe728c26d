#![no_main]

#[path = "../../tests/fuzzed/exercise.rs"]
mod exercise;
#[path = "../../tests/fuzzed/image.rs"]
mod image;

libfuzzer_sys::fuzz_target!(|data: &[u8]| image::run(data));
