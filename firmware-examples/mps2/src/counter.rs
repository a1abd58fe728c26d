//! Counts instructions, with SysTick.
//!
//! Under `-icount shift=0` an instruction takes one nanosecond of emulated time, and SysTick runs from the board's 25 MHz
//! clock: 40 instructions a tick. The program measures that with a loop of known length; it does not assume it. On a real
//! board the same counter gives clock cycles.

#![allow(unsafe_code)]

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;

/// Ticks until the 24-bit counter wraps.
const PERIOD: u32 = 1 << 24;

/// How often it has wrapped.
static WRAPS: AtomicU32 = AtomicU32::new(0);

/// The running counter.
pub struct Counter {
    per_tick: u32,
}

impl Counter {
    /// Starts SysTick and measures how many instructions a tick takes.
    pub fn start(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(PERIOD - 1);
        timer.clear_current();
        timer.enable_interrupt();
        timer.enable_counter();
        // Cleared, it stands at 0, as if a period were over, until the first tick loads it.
        while SYST::get_current() == 0 {}
        const ROUNDS: u32 = 200_000;
        let before = ticks();
        // SAFETY: counts a register down to zero; touches nothing but that register and the flags.
        unsafe {
            asm!("2:", "subs {rounds}, #1", "bne 2b", rounds = inout(reg) ROUNDS => _, options(nomem, nostack));
        }
        let passed = ticks().saturating_sub(before).max(1);
        // Two instructions a round; rounded.
        let instructions = 2 * u64::from(ROUNDS);
        Self {
            per_tick: ((instructions + passed / 2) / passed) as u32,
        }
    }

    /// Instructions of one tick.
    pub fn per_tick(&self) -> u32 {
        self.per_tick
    }

    /// Instructions since the start, to within one tick.
    pub fn instructions(&self) -> u64 {
        ticks() * u64::from(self.per_tick)
    }
}

/// Ticks since the start.
fn ticks() -> u64 {
    loop {
        let wraps = WRAPS.load(Ordering::Relaxed);
        let left = SYST::get_current();
        // Not if the counter wrapped in between.
        if WRAPS.load(Ordering::Relaxed) == wraps {
            return u64::from(wraps) * u64::from(PERIOD) + u64::from((PERIOD - 1).saturating_sub(left));
        }
    }
}

#[exception]
fn SysTick() {
    WRAPS.fetch_add(1, Ordering::Relaxed);
}
