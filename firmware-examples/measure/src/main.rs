//! What a policy costs on a Cortex-M4F, emulated: instructions of a call, bytes of code.
//!
//! ```sh
//! cargo xtask firmware count [IMAGE...]   # instructions of `act`, whole and record by record
//! cargo xtask firmware size               # bytes of code, by what the firmware can do
//! ```
//!
//! The image is the file that `PLIANT_IMAGE` names while this is compiled. Each line of the report is `name: number`.
#![no_std]
#![no_main]

#[cfg(all(feature = "adaptation", not(feature = "quiet")))]
mod adaptation;
#[cfg(all(feature = "inference", not(any(feature = "adaptation", feature = "quiet"))))]
mod inference;
#[cfg(any(feature = "records", all(feature = "plan", not(feature = "inference"))))]
mod plan;
#[cfg(feature = "quiet")]
mod quiet;
#[cfg(feature = "records")]
mod records;

use cortex_m_rt::entry;

/// The image that is measured.
#[cfg(feature = "plan")]
const IMAGE: &[u8] = pliant_runtime::include_image!(env!("PLIANT_IMAGE"));

/// Elements of memory that the program needs.
#[cfg(feature = "adaptation")]
const MEMORY: usize = pliant_runtime::policy::workspace_len(IMAGE);
#[cfg(all(feature = "plan", not(feature = "adaptation")))]
const MEMORY: usize = pliant_runtime::policy::act_workspace_len(IMAGE);
#[cfg(not(feature = "plan"))]
const MEMORY: usize = 0;

#[entry]
fn main() -> ! {
    static mut WORKSPACE: [f32; MEMORY] = [0.0; MEMORY];

    mps2::program::run(WORKSPACE, measure)
}

#[cfg(all(feature = "adaptation", not(feature = "quiet")))]
use adaptation::measure;
#[cfg(all(feature = "inference", not(any(feature = "adaptation", feature = "quiet"))))]
use inference::measure;
#[cfg(feature = "quiet")]
use quiet::measure;

/// Nothing but the report.
#[cfg(not(any(feature = "inference", feature = "quiet")))]
fn measure(_: &mut [f32], console: &mut mps2::semihosting::Console, counter: &mps2::counter::Counter) -> Option<()> {
    console.figure("instructions", counter.instructions());
    Some(())
}
