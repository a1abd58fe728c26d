//! How much RAM and flash the program takes.

#![allow(unsafe_code)]

use core::ptr::{addr_of, addr_of_mut};

/// What unused stack is filled with.
const PAINT: u32 = 0x5afe_57ac;

/// Bytes below the stack pointer that are left alone while painting: the frames of the painter itself.
const MARGIN: usize = 512;

unsafe extern "C" {
    // Defined by the linker script of cortex-m-rt; only their addresses mean anything.
    static mut __sheap: u32;
    static _stack_start: u32;
    static __sdata: u32;
    static __edata: u32;
    static __sidata: u32;
    static __vector_table: u32;
    static _ram_start: u32;
}

/// Fills the unused part of the stack, so that [`stack_bytes`] can see how far it grew.
pub fn paint_stack() {
    let bottom = addr_of_mut!(__sheap);
    let top = cortex_m::register::msp::read() as usize - MARGIN;
    let words = top.saturating_sub(bottom.addr()) / size_of::<u32>();
    for index in 0..words {
        // SAFETY: from the end of the statics up to below the stack pointer lies RAM that nothing uses yet; there is no
        // heap. Interrupts, which push to the stack, are not enabled yet.
        unsafe { bottom.add(index).write_volatile(PAINT) };
    }
}

/// The greatest size of the stack since [`paint_stack`], in bytes.
pub fn stack_bytes() -> u32 {
    let bottom = addr_of_mut!(__sheap);
    let top = addr_of!(_stack_start).addr();
    let mut word = bottom;
    // SAFETY: reads RAM words between the end of the statics and the top of the stack.
    while word.addr() < top && unsafe { word.read_volatile() } == PAINT {
        word = word.wrapping_add(1);
    }
    (top - word.addr()) as u32
}

/// RAM of all static variables, in bytes.
pub fn static_bytes() -> u32 {
    (addr_of_mut!(__sheap).addr() - addr_of!(_ram_start).addr()) as u32
}

/// Flash of code, constants, the image and initial values, in bytes.
pub fn flash_bytes() -> u32 {
    let initial_values = addr_of!(__edata).addr() - addr_of!(__sdata).addr();
    (addr_of!(__sidata).addr() + initial_values - addr_of!(__vector_table).addr()) as u32
}
