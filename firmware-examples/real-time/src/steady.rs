//! The same number of instructions, whatever the data.

use core::hint::black_box;

use mps2::semihosting::Console;
use pliant_runtime::adapt::Progress;
use pliant_runtime::contract::MAX_ACTIONS;
use pliant_runtime::policy::{Actor, Learner, Status};

use crate::Failure;
use crate::data::{Channels, Data};
use crate::timer::{PER_TICK, Timer};

/// Calls of `act`, each with other data.
const CALLS: u32 = 1000;

/// Adaptations, each to other examples: every slice of a chunk is repeated for each of the chunks, too.
const ADAPTATIONS: u32 = 100;

/// Slices of an adaptation that are told apart.
pub const SLICES: usize = 4096;

/// Greatest difference in instructions: one SysTick tick of the emulator at an instruction a nanosecond.
const TOLERANCE: u32 = 40;

/// The least and the greatest of what was measured, in ticks.
#[derive(Clone, Copy)]
pub struct Range {
    least: u32,
    greatest: u32,
}

impl Range {
    /// Of nothing.
    pub const EMPTY: Self = Self {
        least: u32::MAX,
        greatest: 0,
    };

    fn add(&mut self, ticks: u32) {
        self.least = self.least.min(ticks);
        self.greatest = self.greatest.max(ticks);
    }

    /// In instructions.
    fn spread(&self) -> u32 {
        PER_TICK * self.greatest.saturating_sub(self.least)
    }
}

/// Measures `act`.
pub fn act(actor: &mut Actor<'_, '_>, channels: Channels, timer: &Timer, console: &mut Console) -> Result<(), Failure> {
    let mut data = Data::seeded(1);
    let mut range = Range::EMPTY;
    let mut action = [0.0; MAX_ACTIONS];
    let action = action.get_mut(..channels.actions).ok_or(Failure::Policy)?;
    for _ in 0..CALLS {
        let observation = data.observation(channels);
        let mut status = Status::Acted;
        range.add(timer.ticks_of(|| status = actor.act(black_box(observation), action)));
        if status != Status::Acted || !sound(action) {
            return Err(Failure::Refused);
        }
    }
    console.figure("calls of act with different data", CALLS.into());
    console.figure("instructions of act", (PER_TICK * range.greatest).into());
    console.figure("instructions by which they differ", range.spread().into());
    if range.spread() > TOLERANCE {
        return Err(Failure::Unsteady);
    }
    Ok(())
}

/// Measures every slice of an adaptation, as small as slices can be.
pub fn adapt(
    learner: &mut Learner<'_, '_>,
    channels: Channels,
    timer: &Timer,
    ranges: &mut [Range; SLICES],
    console: &mut Console,
) -> Result<(), Failure> {
    let mut data = Data::seeded(2);
    let (mut slices, mut total) = (0, 0u64);
    for _ in 0..ADAPTATIONS {
        refill(learner, &mut data, channels)?;
        let mut index = 0;
        loop {
            let mut progress = Progress::Working;
            let ticks = timer.ticks_of(|| progress = learner.adapt_some(black_box(1)));
            ranges.get_mut(index).ok_or(Failure::Policy)?.add(ticks);
            total += u64::from(ticks);
            index += 1;
            if let Progress::Done(report) = progress {
                if !report.is_accepted() {
                    return Err(Failure::Refused);
                }
                break;
            }
        }
        slices = index;
    }
    let measured = ranges.get(..slices).unwrap_or(&[]);
    let spread = measured.iter().map(Range::spread).max().unwrap_or(0);
    let longest = measured.iter().map(|range| range.greatest).max().unwrap_or(0);
    console.figure("adaptations to different data", ADAPTATIONS.into());
    console.figure("slices of an adaptation", slices as u64);
    console.figure(
        "instructions of an adaptation",
        total * u64::from(PER_TICK) / u64::from(ADAPTATIONS),
    );
    console.figure("instructions of the longest slice", (PER_TICK * longest).into());
    console.figure("instructions by which a slice differs at most", spread.into());
    if spread > TOLERANCE {
        for (index, range) in measured
            .iter()
            .enumerate()
            .filter(|(_, range)| range.spread() > TOLERANCE)
        {
            console.figure("  slice", index as u64);
            console.figure("    from", (PER_TICK * range.least).into());
            console.figure("    to", (PER_TICK * range.greatest).into());
        }
        return Err(Failure::Unsteady);
    }
    Ok(())
}

/// Fills the support set with new examples.
pub fn refill(learner: &mut Learner<'_, '_>, data: &mut Data, channels: Channels) -> Result<(), Failure> {
    let before = learner.support_len();
    learner.clear();
    let mut rows = 0;
    while rows == learner.support_len() && (before == 0 || rows < before) {
        let (observation, target) = data.example(channels);
        learner
            .observe_example(observation, target)
            .map_err(|_| Failure::Refused)?;
        rows += 1;
    }
    Ok(())
}

/// Whether every action is a number inside the range of the contract.
pub fn sound(action: &[f32]) -> bool {
    action.iter().all(|value| value.abs() <= 1.0)
}
