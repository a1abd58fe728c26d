//! How much memory a policy needs and how it is divided.

use crate::contract::{ActionScaling, ObservationScales};
use crate::experience::baseline_scratch;
use crate::experience::support::row_stride;
use crate::image::{Header, Objective, SectionEntry, SectionKind, Workspace};

/// Lengths of the parts of the caller's memory, in `f32` values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) observation_scales: usize,
    pub(crate) action_scales: usize,
    /// One of the two buffers of adapted parameters.
    pub(crate) buffer: usize,
    pub(crate) act_input: usize,
    pub(crate) act_arena: usize,
    pub(crate) act_output: usize,
    pub(crate) state: usize,
    pub(crate) learn_arena: usize,
    pub(crate) learn_input: usize,
    pub(crate) learn_output: usize,
    pub(crate) accumulator: usize,
    pub(crate) support: usize,
    /// For the baseline of a policy gradient.
    pub(crate) scratch: usize,
}

impl Layout {
    /// To adapt by `objective`, or to act only.
    pub(crate) const fn new(sizes: &Workspace, objective: Option<Objective>) -> Self {
        let act = Self {
            observation_scales: sizes.act_input as usize * ObservationScales::LEN,
            action_scales: sizes.act_output as usize * ActionScaling::LEN,
            buffer: 0,
            act_input: sizes.act_input as usize,
            act_arena: sizes.act_arena as usize,
            act_output: sizes.act_output as usize,
            state: sizes.state as usize,
            learn_arena: 0,
            learn_input: 0,
            learn_output: 0,
            accumulator: 0,
            support: 0,
            scratch: 0,
        };
        let Some(objective) = objective else { return act };
        let stride = row_stride(sizes.support_row_width as usize, objective);
        Self {
            buffer: sizes.adapted as usize,
            learn_arena: sizes.learn_arena as usize,
            learn_input: sizes.learn_input as usize,
            learn_output: sizes.learn_output as usize,
            accumulator: sizes.accumulator as usize,
            // Saturating, so that nonsense in a header asks for too much memory instead of too little.
            support: (sizes.support_rows as usize).saturating_mul(stride),
            scratch: match objective {
                Objective::Supervised => 0,
                Objective::PolicyGradient => baseline_scratch(sizes.act_input as usize),
            },
            ..act
        }
    }

    /// All parts together.
    pub(crate) const fn total(&self) -> usize {
        let parts = [
            self.observation_scales,
            self.action_scales,
            self.buffer,
            self.buffer,
            self.act_input,
            self.act_arena,
            self.act_output,
            self.state,
            self.learn_arena,
            self.learn_input,
            self.learn_output,
            self.accumulator,
            self.support,
            self.scratch,
        ];
        let (mut sum, mut index) = (0usize, 0);
        while index < parts.len() {
            sum = sum.saturating_add(parts[index]);
            index += 1;
        }
        sum
    }
}

/// Splits `length` values, or as many as there are, off the front of `rest`.
#[cfg_attr(not(target_pointer_width = "64"), inline(never))]
pub(crate) fn take<'m>(rest: &mut &'m mut [f32], length: usize) -> &'m mut [f32] {
    let whole = core::mem::take(rest);
    let length = length.min(whole.len());
    let (front, back) = whole.split_at_mut_checked(length).unwrap_or_default();
    *rest = back;
    front
}

/// `f32` values of memory that [`Policy::new`](super::Policy::new) needs for this image, in a constant expression too,
/// so that firmware can size a static array before anything is parsed:
///
/// ```
/// use pliant_runtime::policy::workspace_len;
///
/// const IMAGE: &[u8] = &[]; // include_image!("policy.pliant")
/// let mut memory = [0.0; workspace_len(IMAGE)];
/// ```
///
/// 0 for bytes that do not start like an image; whether they are one,
/// [`Image::new_checked`](crate::image::Image::new_checked) says.
pub const fn workspace_len(image: &[u8]) -> usize {
    match Workspace::of_image(image) {
        Some(sizes) => Layout::new(&sizes, objective_of(image)).total(),
        None => 0,
    }
}

/// As [`workspace_len`], for models in place of an image.
#[cfg(feature = "onnx")]
pub(crate) const fn workspace_of(sizes: &Workspace, objective: Option<Objective>) -> usize {
    Layout::new(sizes, objective).total()
}

/// As [`workspace_len`], for [`Policy::act_only`](super::Policy::act_only).
pub const fn act_workspace_len(image: &[u8]) -> usize {
    match Workspace::of_image(image) {
        Some(sizes) => Layout::new(&sizes, None).total(),
        None => 0,
    }
}

/// The objective in the adaptation section, if there is one.
const fn objective_of(image: &[u8]) -> Option<Objective> {
    /// Byte of the number of sections in the header, of kind and offset in a table entry, of the objective in the spec.
    const COUNT: usize = core::mem::offset_of!(Header, section_count);
    const OFFSET: usize = core::mem::offset_of!(SectionEntry, offset);
    const OBJECTIVE: usize = core::mem::offset_of!(crate::image::AdaptationSpec, objective);

    let count = word(image, COUNT) as usize;
    let mut index = 0;
    while index < count && index < image.len() / SectionEntry::BYTES {
        let entry = Header::BYTES + index * SectionEntry::BYTES;
        // The kind is the lower half of the first word.
        if word(image, entry) & 0xffff == SectionKind::Adaptation as u32 {
            return match word(image, (word(image, entry + OFFSET) as usize).saturating_add(OBJECTIVE)) {
                objective if objective == Objective::Supervised as u32 => Some(Objective::Supervised),
                objective if objective == Objective::PolicyGradient as u32 && cfg!(feature = "policy-gradient") => {
                    Some(Objective::PolicyGradient)
                }
                _ => None,
            };
        }
        index += 1;
    }
    None
}

/// The little-endian word at byte `at`; `u32::MAX` past the end.
const fn word(bytes: &[u8], at: usize) -> u32 {
    if bytes.len() < 4 || at > bytes.len() - 4 {
        return u32::MAX;
    }
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
