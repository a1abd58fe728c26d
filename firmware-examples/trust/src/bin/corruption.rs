//! Every truncation and every flipped bit of a small image, on the board: refused, or in bounds and finite.
//!
//! ```sh
//! cargo xtask firmware       # runs it, and compares the counts with the workstation's
//! ```
#![no_std]
#![no_main]

// The very code that the workstation's tests and the fuzzer run.
#[path = "../../../../runtime/tests/fuzzed/damage.rs"]
mod damage;
#[path = "../../../../runtime/tests/fuzzed/exercise.rs"]
mod exercise;

use cortex_m_rt::entry;
use mps2::semihosting::{self, Console};

/// Seed of the fuzzer's corpus, less than 4 KiB.
const IMAGE: &[u8] = pliant_runtime::include_image!("../../../../runtime/fuzz/corpus/image/seed-supervised");

/// Aligned as an image must be.
#[repr(C, align(16))]
struct Aligned([u8; IMAGE.len()]);

#[entry]
fn main() -> ! {
    static mut BYTES: Aligned = Aligned([0; IMAGE.len()]);
    static mut MEMORY: [f32; 16 * 1024] = [0.0; 16 * 1024];

    let mut console = Console::open();
    BYTES.0.copy_from_slice(IMAGE);
    let [as_is, repaired] = damage::every_damage(core::hint::black_box(&mut BYTES.0), MEMORY);
    console.figure("bytes", IMAGE.len() as u64);
    for (name, tally) in [("as they are", as_is), ("checksum made right", repaired)] {
        console.print(name);
        console.print("\n");
        for (name, count) in [
            ("  tried", tally.tried),
            ("  refused", tally.refused),
            ("  too costly", tally.too_costly),
            ("  in bounds", tally.in_bounds),
            ("  safe action only", tally.only_safe),
            ("  violations", tally.violations),
        ] {
            console.figure(name, count.into());
        }
    }
    semihosting::exit(as_is.violations + repaired.violations)
}
