//! The control loop in the interrupt, the adaptation in the background.

use core::cell::{Cell, RefCell};

use cortex_m::interrupt::{self, Mutex};
use cortex_m_rt::exception;
use mps2::semihosting::Console;
use pliant_runtime::adapt::Progress;
use pliant_runtime::contract::MAX_ACTIONS;
use pliant_runtime::policy::{Actor, Learner, Status};

use crate::Failure;
use crate::data::{Channels, Data};
use crate::steady::{refill, sound};
use crate::timer::{self, PER_TICK, TICKS_PER_MILLISECOND, Timer};

/// What the image's contract must state.
pub const RATE_HZ: f32 = 1000.0;

/// Simulated time, in milliseconds.
const DURATION: u32 = 60_000;

/// Milliseconds from the start of an adaptation to that of the next, at least.
const PERIOD: u32 = 250;

/// Multiply-accumulates of a slice at most (or one record).
const SLICE_MACS: u64 = 10_000;

/// Publications that are told apart.
const PUBLICATIONS: usize = 300;

/// What the interrupt works with.
struct Control {
    actor: Actor<'static, 'static>,
    channels: Channels,
    data: Data,
    seen: Checksums,
    report: Report,
}

/// What the interrupt measured, in ticks.
#[derive(Clone, Copy, Default)]
struct Report {
    calls: u32,
    refused: u32,
    latest_start: u32,
    latest_end: u32,
    missed: u32,
}

/// Checksums of parameters, each different from the one before.
struct Checksums {
    values: [u32; PUBLICATIONS],
    len: usize,
}

impl Checksums {
    const EMPTY: Self = Self {
        values: [0; PUBLICATIONS],
        len: 0,
    };

    fn push(&mut self, value: u32) {
        if self.values().last() == Some(&value) {
            return;
        }
        if let Some(place) = self.values.get_mut(self.len) {
            *place = value;
            self.len += 1;
        }
    }

    fn values(&self) -> &[u32] {
        self.values.get(..self.len).unwrap_or(&[])
    }

    /// How many of these are not among the others, in their order.
    fn not_in(&self, others: &Self) -> usize {
        let mut rest = others.values().iter();
        self.values()
            .iter()
            .filter(|value| {
                let mut ahead = rest.clone();
                let found = ahead.any(|other| other == *value);
                if found {
                    rest = ahead;
                }
                !found
            })
            .count()
    }
}

static CONTROL: Mutex<RefCell<Option<Control>>> = Mutex::new(RefCell::new(None));

/// Periods since the start.
static PERIODS: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

/// Every millisecond: sense, act, and check what acted.
#[exception]
fn SysTick() {
    interrupt::free(|section| {
        let periods = PERIODS.borrow(section);
        periods.set(periods.get().wrapping_add(1));
        if let Ok(mut control) = CONTROL.borrow(section).try_borrow_mut()
            && let Some(control) = control.as_mut()
        {
            control.step();
        }
    });
}

impl Control {
    fn step(&mut self) {
        let start = timer::into_period();
        let mut action = [0.0; MAX_ACTIONS];
        let action = action.get_mut(..self.channels.actions).unwrap_or_default();
        let status = self.actor.act(self.data.observation(self.channels), action);
        // The parameters that this call acted with: nothing can be published before the interrupt returns.
        self.seen.push(self.actor.with_parameters(checksum));
        let late = timer::next_is_due();
        self.actor.note_deadline(late);
        let end = timer::into_period();
        let report = &mut self.report;
        report.calls += 1;
        report.refused += u32::from(status != Status::Acted || !sound(action));
        report.latest_start = report.latest_start.max(start);
        report.latest_end = report.latest_end.max(end);
        report.missed += u32::from(late);
    }
}

/// A checksum in few instructions, of the order as well.
fn checksum(parameters: &[f32]) -> u32 {
    parameters
        .iter()
        .fold(0, |sum: u32, value| sum.rotate_left(1) ^ value.to_bits())
}

/// Milliseconds since the start.
fn now() -> u32 {
    interrupt::free(|section| PERIODS.borrow(section).get())
}

/// Runs both for the whole duration, and checks what came of it.
pub fn run(
    actor: Actor<'static, 'static>,
    mut learner: Learner<'static, 'static>,
    channels: Channels,
    timer: &mut Timer,
    console: &mut Console,
) -> Result<(), Failure> {
    let control = Control {
        actor,
        channels,
        data: Data::seeded(3),
        seen: Checksums::EMPTY,
        report: Report::default(),
    };
    interrupt::free(|section| {
        if let Ok(mut place) = CONTROL.borrow(section).try_borrow_mut() {
            *place = Some(control);
        }
    });
    let mut published = Checksums::EMPTY;
    published.push(checksum(learner.parameters()));
    let mut data = Data::seeded(4);
    let (mut adaptations, mut slices, mut longest) = (0u32, 0u32, 0u32);
    timer.interrupt_every_millisecond();
    while now() < DURATION {
        let start = now();
        refill(&mut learner, &mut data, channels)?;
        loop {
            slices += 1;
            if let Progress::Done(report) = learner.adapt_some(SLICE_MACS) {
                if !report.is_accepted() {
                    return Err(Failure::Refused);
                }
                break;
            }
        }
        published.push(checksum(learner.parameters()));
        adaptations += 1;
        longest = longest.max(now() - start);
        while now() - start < PERIOD {
            cortex_m::asm::wfi();
        }
    }
    timer.stop();
    let control = interrupt::free(|section| CONTROL.borrow(section).try_borrow_mut().ok().and_then(|mut c| c.take()));
    let Control { seen, report, .. } = control.ok_or(Failure::Board)?;

    let instructions = |ticks: u32| u64::from(PER_TICK * ticks);
    let mixtures = seen.not_in(&published);
    console.figure("simulated milliseconds", DURATION.into());
    console.figure("calls of act in the interrupt", report.calls.into());
    console.figure("adaptations in the background", adaptations.into());
    console.figure(
        "slices of an adaptation in the background",
        u64::from(slices / adaptations.max(1)),
    );
    console.figure("milliseconds of the longest adaptation", longest.into());
    console.figure("publications that acted", seen.values().len() as u64);
    console.figure(
        "instructions until the interrupt begins, at most",
        instructions(report.latest_start),
    );
    console.figure(
        "instructions until it is done, at most",
        instructions(report.latest_end),
    );
    console.figure("missed deadlines", report.missed.into());
    console.figure("mixtures of parameters seen", mixtures as u64);
    if report.refused > 0 {
        return Err(Failure::Refused);
    }
    if report.missed > 0 || report.calls < DURATION || report.latest_end >= TICKS_PER_MILLISECOND {
        return Err(Failure::Deadline);
    }
    if mixtures > 0 {
        return Err(Failure::Mixture);
    }
    if adaptations < DURATION / PERIOD / 2 || seen.values().len() < adaptations as usize {
        return Err(Failure::Idle);
    }
    Ok(())
}
