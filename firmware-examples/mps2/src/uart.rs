//! The board's first serial port (Arm CMSDK APB UART, "Cortex-M System Design Kit Technical Reference Manual", 4.3).

#![allow(unsafe_code)]

use core::ptr::with_exposed_provenance_mut;

const BASE: usize = 0x4000_4000;
const DATA: usize = 0x0;
const STATE: usize = 0x4;
const CONTROL: usize = 0x8;
const DIVIDER: usize = 0x10;

/// `STATE`: the byte before has not left yet.
const FULL: u32 = 1;
/// `STATE`: a byte has come.
const COME: u32 = 2;
/// `CONTROL`: sends and receives.
const SEND_AND_RECEIVE: u32 = 3;
/// The least divider the port accepts: as fast as it gets.
const FASTEST: u32 = 16;
/// How often to look whether there is room for the next byte of a frame that has begun.
const PATIENCE: u32 = 100_000;

/// The port.
pub struct Uart(());

impl Uart {
    /// Turns it on.
    pub fn open() -> Self {
        write(DIVIDER, FASTEST);
        write(CONTROL, SEND_AND_RECEIVE);
        Self(())
    }

    /// Sends all of it, or nothing where the port is busy, and says which. The port has no queue: on a real board a queue
    /// that its interrupt empties would stand in front of it.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        if read(STATE) & FULL != 0 {
            return false;
        }
        for byte in bytes {
            let mut patience = PATIENCE;
            while read(STATE) & FULL != 0 && patience > 0 {
                patience -= 1;
            }
            write(DATA, u32::from(*byte));
        }
        true
    }

    /// Sends all of it, however long it takes.
    pub fn send_all(&mut self, bytes: &[u8]) {
        for byte in bytes {
            while read(STATE) & FULL != 0 {}
            write(DATA, u32::from(*byte));
        }
    }

    /// Waits for a byte.
    pub fn receive(&mut self) -> u8 {
        while read(STATE) & COME == 0 {}
        read(DATA) as u8
    }
}

fn read(register: usize) -> u32 {
    // SAFETY: a register of the port, which is always there on this board; reading one changes nothing but the port.
    unsafe { with_exposed_provenance_mut::<u32>(BASE + register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: a register of the port, which is always there on this board; it touches no memory of the program.
    unsafe { with_exposed_provenance_mut::<u32>(BASE + register).write_volatile(value) }
}
