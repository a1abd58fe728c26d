//! SysTick as a counter of instructions, and as the source of the control interrupt.

#![allow(unsafe_code)]

use core::arch::asm;

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{SCB, SYST};

/// Instructions while SysTick counts one, under `-icount shift=3`.
pub const PER_TICK: u32 = 5;

/// SysTick counts 25 000 a millisecond.
pub const TICKS_PER_MILLISECOND: u32 = 25_000;

/// Instructions of a millisecond.
pub const PER_MILLISECOND: u32 = PER_TICK * TICKS_PER_MILLISECOND;

/// The greatest number SysTick can count down from.
const FREE: u32 = (1 << 24) - 1;

/// SysTick, at first counting freely.
pub struct Timer {
    timer: SYST,
}

impl Timer {
    /// Starts it; `None` when an instruction does not take the time that [`PER_TICK`] says.
    pub fn start(mut timer: SYST) -> Option<Self> {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(FREE);
        timer.clear_current();
        timer.enable_counter();
        while SYST::get_current() == 0 {}
        let timer = Self { timer };
        const ROUNDS: u32 = 100_000;
        let passed = timer.ticks_of(|| {
            // SAFETY: counts a register down to zero; touches nothing but that register and the flags.
            unsafe {
                asm!("2:", "subs {rounds}, #1", "bne 2b", rounds = inout(reg) ROUNDS => _, options(nomem, nostack));
            }
        });
        // Two instructions a round.
        (passed.abs_diff(2 * ROUNDS / PER_TICK) < 20).then_some(timer)
    }

    /// Ticks that a call takes; it must take less than 0.6 s.
    pub fn ticks_of(&self, call: impl FnOnce()) -> u32 {
        let before = SYST::get_current();
        call();
        before.wrapping_sub(SYST::get_current()) & FREE
    }

    /// From now on it interrupts every millisecond.
    pub fn interrupt_every_millisecond(&mut self) {
        self.timer.disable_counter();
        self.timer.set_reload(TICKS_PER_MILLISECOND - 1);
        self.timer.clear_current();
        self.timer.enable_interrupt();
        self.timer.enable_counter();
    }

    /// No more interrupts.
    pub fn stop(&mut self) {
        self.timer.disable_interrupt();
        self.timer.disable_counter();
    }
}

/// Ticks since the period of the control loop began.
pub fn into_period() -> u32 {
    (TICKS_PER_MILLISECOND - 1).saturating_sub(SYST::get_current())
}

/// Whether the next period has begun, while its interrupt has not been taken.
pub fn next_is_due() -> bool {
    SCB::is_pendst_pending()
}
