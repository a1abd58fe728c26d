//! A program that runs once, says what it takes, and ends.

use core::hint::black_box;

use crate::counter::Counter;
use crate::memory;
use crate::semihosting::{self, Console};

/// Runs `body` with its working memory, which the compiler cannot know; then reports bytes of memory, of what is static, of
/// stack and of flash, and exits: with 0, 1 where it was started twice, or 2 where `body` gives `None`.
#[inline(always)]
pub fn run(workspace: &mut [f32], body: impl FnOnce(&mut [f32], &mut Console, &Counter) -> Option<()>) -> ! {
    memory::paint_stack();
    let Some(core) = cortex_m::Peripherals::take() else {
        semihosting::exit(1)
    };
    let mut console = Console::open();
    let counter = Counter::start(core.SYST);
    console.figure("memory bytes", size_of_val(workspace) as u64);
    let done = body(black_box(workspace), &mut console, &counter);
    console.figure("static bytes", memory::static_bytes().into());
    console.figure("stack bytes", memory::stack_bytes().into());
    console.figure("flash bytes", memory::flash_bytes().into());
    semihosting::exit(if done.is_some() { 0 } else { 2 })
}
