//! Golden steps: ordinary inputs, and what the plans make of them on the workstation.

use pliant_runtime::image::record::Space;
use pliant_runtime::image::{AdaptationSpec, Image, PlanKind, TestBench};

use super::writer::{ImageBuildError, golden_step};

/// Steps of `act` before and after the adaptation.
const ACT_STEPS: usize = 2;
/// Chunks in the adaptation.
const CHUNKS: usize = 2;

/// Ordinary inputs (SplitMix64), the same in every image.
struct Inputs(u64);

impl Inputs {
    /// Uniform in -1..1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (z >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// The bytes of the golden section: `act`, a whole adaptation and its score, `act` again.
pub(super) fn record(image: &Image<'_>) -> Result<Vec<u8>, ImageBuildError> {
    let mut memory = vec![0.0; image.self_test_len()];
    let mut bench = TestBench::new(image, &mut memory).map_err(ImageBuildError::Golden)?;
    let mut bytes = Vec::new();
    for (kind, input) in steps(image) {
        bytes.extend(golden_step(&mut bench, kind, &input)?);
    }
    Ok(bytes)
}

/// Which plans run, on what.
fn steps(image: &Image<'_>) -> Vec<(PlanKind, Vec<f32>)> {
    let mut inputs = Inputs(0);
    let act_len = image
        .plan(PlanKind::Act)
        .map_or(0, |plan| plan.sizes().get(Space::Input) as usize);
    let act = |inputs: &mut Inputs, steps: &mut Vec<(PlanKind, Vec<f32>)>| {
        steps.extend((0..ACT_STEPS).map(|_| (PlanKind::Act, inputs.values(act_len))));
    };
    let mut steps = Vec::new();
    act(&mut inputs, &mut steps);
    if let Some(spec) = image.adaptation() {
        steps.push((PlanKind::Begin, Vec::new()));
        steps.extend((0..CHUNKS).map(|_| (PlanKind::Accumulate, chunk(spec, &mut inputs))));
        // A small step: random rows are no support set, and what comes after it shall stay ordinary.
        let scale = 0.01 * spec.step_scales().first().copied().unwrap_or(1.0);
        steps.push((PlanKind::Apply, vec![scale]));
        steps.push((PlanKind::Begin, Vec::new()));
        steps.push((PlanKind::Score, chunk(spec, &mut inputs)));
        act(&mut inputs, &mut steps);
    }
    steps
}

/// Random rows; the last row is missing where there are several.
fn chunk(spec: &AdaptationSpec, inputs: &mut Inputs) -> Vec<f32> {
    let rows = spec.chunk_rows as usize;
    let mut chunk = Vec::with_capacity(spec.chunk_len() as usize);
    for field in spec.fields() {
        let width = field.width as usize;
        let first = chunk.len();
        chunk.extend(inputs.values(rows * width));
        if rows > 1 {
            chunk[first + (rows - 1) * width..].fill(0.0);
        }
    }
    chunk.resize(chunk.len() + rows, 1.0);
    if let Some(last) = chunk.last_mut().filter(|_| rows > 1) {
        *last = 0.0;
    }
    chunk
}
