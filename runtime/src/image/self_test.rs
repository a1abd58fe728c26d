//! A board checks itself: runs the golden steps of an image and compares every bit.

use core::fmt;

use super::{Image, PlanKind, StateEntry, crc32};
use crate::image::record::Space;
use crate::plan::{AdaptedRef, Exact, PlanError, Spaces};

/// The first golden step that did not come out, or why the steps could not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum SelfTestError {
    /// The memory is too short, in `f32` values.
    Memory {
        /// What [`Image::self_test_len`] gives.
        needed: usize,
        /// What there is.
        given: usize,
    },
    /// The image has no such plan.
    Plan(PlanKind),
    /// A plan did not run: its input is too short.
    Run(PlanKind, PlanError),
    /// A result differs: this core, or what compiled for it, does not compute what the workstation did.
    Differs {
        /// Which golden step, from 0.
        step: u32,
        /// Its plan.
        plan: PlanKind,
        /// The space whose contents differ.
        space: Space,
    },
}

impl fmt::Display for SelfTestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory { needed, given } => {
                write!(
                    formatter,
                    "the self-test needs {needed} values of memory, {given} given"
                )
            }
            Self::Plan(kind) => write!(formatter, "the image has no plan {kind:?}"),
            Self::Run(kind, error) => write!(formatter, "plan {kind:?}: {error}"),
            Self::Differs { step, plan, space } => {
                write!(formatter, "golden step {step} (plan {plan:?}): {space:?} differs")
            }
        }
    }
}

impl core::error::Error for SelfTestError {}

/// Runs the plans of an image one after the other, memory carrying over, as golden steps are defined: from the initial
/// adapted parameters, the initial states, an accumulator of zeros, and the bank's task 0.
///
/// Both sides use it: the compiler to record golden steps, the device to check them.
#[derive(Debug)]
pub struct TestBench<'a, 'm> {
    image: Image<'a>,
    adapted: &'m mut [f32],
    state: &'m mut [f32],
    accumulator: &'m mut [f32],
    output: &'m mut [f32],
    arena: &'m mut [f32],
}

impl<'a, 'm> TestBench<'a, 'm> {
    /// Puts everything in its initial state, in memory of [`Image::self_test_len`] values.
    ///
    /// # Errors
    /// [`SelfTestError::Memory`].
    pub fn new(image: &Image<'a>, memory: &'m mut [f32]) -> Result<Self, SelfTestError> {
        let needed = image.self_test_len();
        let short = SelfTestError::Memory {
            needed,
            given: memory.len(),
        };
        let [adapted, state, accumulator, output, arena] = image.self_test_parts();
        let (adapted, rest) = memory.split_at_mut_checked(adapted).ok_or(short)?;
        let (state, rest) = rest.split_at_mut_checked(state).ok_or(short)?;
        let (accumulator, rest) = rest.split_at_mut_checked(accumulator).ok_or(short)?;
        let (output, rest) = rest.split_at_mut_checked(output).ok_or(short)?;
        let arena = rest.get_mut(..arena).ok_or(short)?;
        for (to, from) in adapted.iter_mut().zip(image.adapted_initial()) {
            *to = *from;
        }
        state.fill(0.0);
        accumulator.fill(0.0);
        for entry in image.states().iter().filter(|entry| entry.initial != StateEntry::ZERO) {
            let initial = image.constants().get(entry.initial as usize..).unwrap_or(&[]);
            let places = state.get_mut(entry.offset as usize..).unwrap_or(&mut []);
            let count = entry.elements().unwrap_or(0) as usize;
            for (to, from) in places.iter_mut().zip(initial).take(count) {
                *to = *from;
            }
        }
        Ok(Self {
            image: *image,
            adapted,
            state,
            accumulator,
            output,
            arena,
        })
    }

    /// Runs a plan and returns its output.
    ///
    /// # Errors
    /// [`SelfTestError::Plan`], and [`SelfTestError::Run`] where `input` is shorter than the plan's.
    pub fn run(&mut self, kind: PlanKind, input: &[f32]) -> Result<&[f32], SelfTestError> {
        let plan = self.image.plan(kind).ok_or(SelfTestError::Plan(kind))?;
        let mut spaces = Spaces {
            constants: self.image.constants(),
            input,
            bank: self.image.bank().task(0).unwrap_or(&[]),
            adapted: if self.adapted.is_empty() {
                AdaptedRef::Shared(self.image.adapted_initial())
            } else {
                AdaptedRef::Exclusive(self.adapted)
            },
            arena: self.arena,
            state: self.state,
            output: self.output,
            accumulator: self.accumulator,
        };
        plan.run::<Exact>(&mut spaces)
            .map_err(|error| SelfTestError::Run(kind, error))?;
        Ok(self
            .output
            .get(..plan.sizes().get(Space::Output) as usize)
            .unwrap_or(&[]))
    }

    /// [`crc32`] of the bytes of the adapted, state and accumulator spaces, as a golden step holds them.
    pub fn checksums(&self) -> [u32; 3] {
        let adapted = if self.adapted.is_empty() {
            self.image.adapted_initial()
        } else {
            &*self.adapted
        };
        [adapted, &*self.state, &*self.accumulator].map(|values| crc32(bytemuck::cast_slice(values)))
    }
}

impl<'a> Image<'a> {
    /// Runs the golden steps in `memory` and compares outputs and memory to the last bit; returns how many there are.
    ///
    /// For start-up, before the memory is given to a policy: [`workspace_len`](crate::policy::workspace_len) is enough where the
    /// image adapts.
    ///
    /// ```no_run
    /// use pliant_runtime::image::Image;
    ///
    /// # let bytes: &[u8] = &[];
    /// # let mut memory = [0.0; 1000];
    /// let image = Image::new_checked(bytes)?;
    /// let steps = image.self_test(&mut memory)?;
    /// assert!(steps > 0, "the image brings no golden steps");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`SelfTestError::Differs`] with the first step that does not come out; [`SelfTestError::Memory`].
    pub fn self_test(&self, memory: &mut [f32]) -> Result<u32, SelfTestError> {
        let mut bench = TestBench::new(self, memory)?;
        let mut count = 0u32;
        for golden in self.golden_steps() {
            let differs = |space| SelfTestError::Differs {
                step: count,
                plan: golden.plan,
                space,
            };
            if self.plan(golden.plan).is_none() {
                // Only where the image was read to act: an image that was read whole has every plan of its golden steps.
                break;
            }
            let output = bench.run(golden.plan, golden.input)?;
            let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
            if output.len() != golden.output.len() || !output.iter().zip(golden.output).all(same) {
                return Err(differs(Space::Output));
            }
            let expected = [golden.adapted_crc, golden.state_crc, golden.accumulator_crc];
            let spaces = [Space::Adapted, Space::State, Space::Accumulator];
            for ((found, expected), space) in bench.checksums().into_iter().zip(expected).zip(spaces) {
                if found != expected {
                    return Err(differs(space));
                }
            }
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// `f32` values of memory that [`self_test`](Self::self_test) needs.
    pub fn self_test_len(&self) -> usize {
        self.self_test_parts().into_iter().fold(0, usize::saturating_add)
    }

    /// Lengths of adapted, state, accumulator, output and arena.
    fn self_test_parts(&self) -> [usize; 5] {
        let sizes = self.workspace();
        // Parameters that no plan writes are read in place.
        let adapted = if self.plan(PlanKind::Apply).is_some() {
            sizes.adapted
        } else {
            0
        };
        let output = sizes.act_output.max(sizes.learn_output);
        let arena = sizes.act_arena.max(sizes.learn_arena);
        [adapted, sizes.state, sizes.accumulator, output, arena].map(|elements| elements as usize)
    }
}
