//! There are no panics: the handler calls a symbol that nothing defines, so linking fails, and names it, when a panic is
//! reachable.

#![allow(unsafe_code)]

use core::panic::PanicInfo;

unsafe extern "C" {
    safe fn pliant_error_a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    pliant_error_a_panic_is_reachable()
}
