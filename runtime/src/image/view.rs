//! A view over the bytes of an image: checked once, panic-free after.

use bytemuck::AnyBitPattern;

use super::crc::{FNV_START, fnv1a};
use super::record::{Record, Space};
use super::{
    AdaptationSpec, AdaptationSpecError, BankHeader, CRC_START, ChoiceNode, Choices, FORMAT_VERSION, GoldenSteps,
    Header, ImageError, MAGIC, Objective, PlanHeader, PlanKind, SECTION_ALIGNMENT, SectionEntry, SectionKind,
    SignatureSection, StateEntry, Workspace, crc32,
};
use crate::contract::is_utf8;
use crate::plan::{Plan, PlanError, SpaceSizes};

/// A device image, checked. Everything is read in place.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    header: &'a Header,
    table: &'a [SectionEntry],
    contract: &'a [u8],
    constants: &'a [f32],
    adapted_initial: &'a [f32],
    plans: [Option<Plan<'a>>; PlanKind::COUNT],
    states: &'a [StateEntry],
    adaptation: Option<&'a AdaptationSpec>,
    bank: Bank<'a>,
    choice: Option<&'a [ChoiceNode]>,
    golden: &'a [u8],
    /// UTF-8.
    card: Option<&'a [u8]>,
    signature: Option<(u32, &'a SignatureSection)>,
}

/// Per-task heads and embeddings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bank<'a> {
    tasks: u32,
    slice: u32,
    values: &'a [f32],
}

impl<'a> Bank<'a> {
    /// Number of tasks; 0 without a bank.
    pub fn tasks(&self) -> u32 {
        self.tasks
    }

    /// The slice of one task, if there is such a task.
    pub fn task(&self, task: u32) -> Option<&'a [f32]> {
        if task >= self.tasks {
            return None;
        }
        let slice = self.slice as usize;
        let start = (task as usize).checked_mul(slice)?;
        self.values.get(start..start.checked_add(slice)?)
    }
}

/// Views bytes as values; `None` if the length or the alignment does not fit.
fn values<T: AnyBitPattern>(bytes: &[u8]) -> Option<&[T]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// Views bytes as one value; `None` if the length or the alignment does not fit.
fn one<T: AnyBitPattern>(bytes: &[u8]) -> Option<&T> {
    bytemuck::try_from_bytes(bytes).ok()
}

/// An [`ImageError`] in one register, made in many places: without what only one of them knows.
#[derive(Clone, Copy)]
enum Refusal {
    Truncated,
    Misaligned,
    Magic,
    Version,
    Length,
    Crc,
    Reserved,
    UnknownRequired(u16),
    Section(u16),
    Duplicate(SectionKind),
    Missing(SectionKind),
    MissingPlan(PlanKind),
    Contents(SectionKind),
    PlanHeader(PlanKind),
    Plan(PlanKind),
    Adaptation(AdaptationSpecError),
    Workspace,
}

impl Refusal {
    /// With the rest: the version in the bytes, and what is wrong with the plan.
    #[inline(never)]
    fn error(self, bytes: &[u8], plan: Option<PlanError>) -> ImageError {
        match self {
            Self::Truncated => ImageError::Truncated,
            Self::Misaligned => ImageError::Misaligned,
            Self::Magic => ImageError::Magic,
            Self::Version => {
                let version = bytes.get(VERSION_AT..).and_then(<[u8]>::first_chunk);
                ImageError::Version(version.map_or(0, |bytes| u32::from_le_bytes(*bytes)))
            }
            Self::Length => ImageError::Length,
            Self::Crc => ImageError::Crc,
            Self::Reserved => ImageError::Reserved,
            Self::UnknownRequired(kind) => ImageError::UnknownRequired(kind),
            Self::Section(index) => ImageError::Section(index),
            Self::Duplicate(kind) => ImageError::Duplicate(kind),
            Self::Missing(kind) => ImageError::Missing(kind),
            Self::MissingPlan(kind) => ImageError::MissingPlan(kind),
            Self::Contents(kind) => ImageError::Contents(kind),
            Self::PlanHeader(kind) => ImageError::PlanHeader(kind),
            Self::Plan(kind) => ImageError::Plan(kind, plan.unwrap_or(PlanError::Range)),
            Self::Adaptation(error) => ImageError::Adaptation(error),
            Self::Workspace => ImageError::Workspace,
        }
    }
}

/// Byte of the format version.
const VERSION_AT: usize = core::mem::offset_of!(Header, version);

fn ensure(condition: bool, refusal: Refusal) -> Result<(), Refusal> {
    if condition { Ok(()) } else { Err(refusal) }
}

impl<'a> Image<'a> {
    /// Checks header, checksum, section table, every section, every record of every plan, golden vectors and the
    /// workspace sizes. The contract's contents are checked by whoever decodes it.
    ///
    /// # Errors
    /// The first rule of `docs/device-image.md` the bytes break. Any byte string is accepted or refused; nothing panics.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, ImageError> {
        Self::checked(bytes, false)
    }

    /// As [`new_checked`](Self::new_checked), for firmware that only acts, of which it takes less flash: what is there for
    /// learning is neither looked at nor given out. So an image that adapts has no [`adaptation`](Self::adaptation) here, no
    /// [`plan`](Self::plan) but [`PlanKind::Act`], no [`card`](Self::card) and no [`signature`](Self::signature); its
    /// [`self_test`](Self::self_test) runs the golden steps before the first of another plan.
    ///
    /// # Errors
    /// As [`new_checked`](Self::new_checked), of what it looks at.
    pub fn new_to_act(bytes: &'a [u8]) -> Result<Self, ImageError> {
        Self::checked(bytes, true)
    }

    #[inline(always)]
    fn checked(bytes: &'a [u8], to_act: bool) -> Result<Self, ImageError> {
        let (bytes, header, table) = Self::open(bytes).map_err(|refusal| refusal.error(bytes, None))?;
        let mut image = Self {
            bytes,
            header,
            table,
            contract: &[],
            constants: &[],
            adapted_initial: &[],
            plans: [None; PlanKind::COUNT],
            states: &[],
            adaptation: None,
            bank: Bank::default(),
            choice: None,
            golden: &[],
            card: None,
            signature: None,
        };
        let mut plan = None;
        match image.read(to_act, &mut plan) {
            Ok(()) => Ok(image),
            Err(refusal) => Err(refusal.error(bytes, plan)),
        }
    }

    /// The image's own bytes, its header and its section table.
    #[allow(clippy::type_complexity)]
    fn open(bytes: &'a [u8]) -> Result<(&'a [u8], &'a Header, &'a [SectionEntry]), Refusal> {
        let (header_bytes, _) = bytes.split_at_checked(Header::BYTES).ok_or(Refusal::Truncated)?;
        let header: &Header = one(header_bytes).ok_or(Refusal::Misaligned)?;
        ensure(header.magic == MAGIC, Refusal::Magic)?;
        ensure(header.version == FORMAT_VERSION, Refusal::Version)?;
        let length = header.length as usize;
        ensure(
            length.is_multiple_of(SECTION_ALIGNMENT) && length >= Header::BYTES,
            Refusal::Length,
        )?;
        let bytes = bytes.get(..length).ok_or(Refusal::Truncated)?;
        let covered = bytes.get(CRC_START..).ok_or(Refusal::Truncated)?;
        ensure(crc32(covered) == header.crc, Refusal::Crc)?;
        let reserved = header.reserved.iter().chain(&header.reserved_end);
        let mut reserved = reserved.chain(&header.workspace.reserved);
        ensure(reserved.all(|&word| word == 0), Refusal::Reserved)?;

        let rest = bytes.get(Header::BYTES..).ok_or(Refusal::Truncated)?;
        let table_bytes = (header.section_count as usize)
            .checked_mul(SectionEntry::BYTES)
            .ok_or(Refusal::Length)?;
        let (table, _) = rest.split_at_checked(table_bytes).ok_or(Refusal::Length)?;
        Ok((bytes, header, values(table).ok_or(Refusal::Misaligned)?))
    }

    #[inline(always)]
    fn read(&mut self, to_act: bool, plan: &mut Option<PlanError>) -> Result<(), Refusal> {
        self.check_layout()?;
        self.read_sections(to_act)?;
        self.read_plans(to_act, plan)?;
        self.check_states()?;
        if !to_act {
            self.check_choice()?;
            self.check_golden()?;
        }
        self.check_complete()?;
        ensure(self.workspace_is_right(to_act), Refusal::Workspace)
    }

    /// Sections lie in the order of the table, aligned, without gaps but for zero padding, up to the end.
    fn check_layout(&self) -> Result<(), Refusal> {
        let table_end = Header::BYTES.saturating_add(size_of_val(self.table));
        let mut end = table_end;
        for (entry, index) in self.table.iter().zip(0u16..) {
            let bad = Refusal::Section(index);
            ensure(entry.flags & !SectionEntry::REQUIRED == 0, bad)?;
            ensure(
                end.checked_next_multiple_of(SECTION_ALIGNMENT) == Some(entry.offset as usize),
                bad,
            )?;
            self.check_padding(end, entry.offset as usize)?;
            end = (entry.offset as usize).checked_add(entry.length as usize).ok_or(bad)?;
            ensure(end <= self.bytes.len(), bad)?;
        }
        ensure(
            end.checked_next_multiple_of(SECTION_ALIGNMENT) == Some(self.bytes.len()),
            Refusal::Length,
        )?;
        self.check_padding(end, self.bytes.len())
    }

    fn check_padding(&self, from: usize, to: usize) -> Result<(), Refusal> {
        let padding = self.bytes.get(from..to).ok_or(Refusal::Length)?;
        ensure(padding.iter().all(|&byte| byte == 0), Refusal::Reserved)
    }

    fn section(&self, entry: &SectionEntry) -> &'a [u8] {
        let start = entry.offset as usize;
        self.bytes
            .get(start..start.saturating_add(entry.length as usize))
            .unwrap_or(&[])
    }

    #[inline(always)]
    fn read_sections(&mut self, to_act: bool) -> Result<(), Refusal> {
        for (index, entry) in self.table.iter().enumerate() {
            let Some(kind) = SectionKind::from_bits(entry.kind) else {
                ensure(
                    entry.flags & SectionEntry::REQUIRED == 0,
                    Refusal::UnknownRequired(entry.kind),
                )?;
                continue;
            };
            let instance_known = kind == SectionKind::Plan || entry.instance == 0;
            let flag_right = (entry.flags == SectionEntry::REQUIRED) == kind.required();
            ensure(instance_known && flag_right, Refusal::Section(index as u16))?;
            let mut before = self.table.iter().take(index);
            let twice = before.any(|other| other.kind == entry.kind && other.instance == entry.instance);
            ensure(!twice, Refusal::Duplicate(kind))?;
            let bytes = self.section(entry);
            let malformed = Refusal::Contents(kind);
            match kind {
                SectionKind::Contract => self.contract = bytes,
                SectionKind::Constants => self.constants = values(bytes).ok_or(malformed)?,
                SectionKind::AdaptedInitial => self.adapted_initial = values(bytes).ok_or(malformed)?,
                SectionKind::States => self.states = values(bytes).ok_or(malformed)?,
                // Who only acts needs none of these.
                SectionKind::Adaptation | SectionKind::Choice | SectionKind::Card | SectionKind::Signature
                    if to_act => {}
                SectionKind::Choice if !cfg!(feature = "choices") => {}
                SectionKind::Adaptation => {
                    let spec: &AdaptationSpec = one(bytes).ok_or(malformed)?;
                    spec.check().map_err(Refusal::Adaptation)?;
                    self.adaptation = Some(spec);
                }
                SectionKind::Bank => self.bank = Self::read_bank(bytes).ok_or(malformed)?,
                SectionKind::Choice => self.choice = Some(values(bytes).ok_or(malformed)?),
                SectionKind::Golden => self.golden = bytes,
                SectionKind::Card => {
                    ensure(is_utf8(bytes), malformed)?;
                    self.card = Some(bytes);
                }
                SectionKind::Signature => {
                    let section: &SignatureSection = one(bytes).ok_or(malformed)?;
                    ensure(section.algorithm == SignatureSection::ED25519, malformed)?;
                    self.signature = Some((entry.offset, section));
                }
                // Plans need the sizes of the other sections: read after them.
                SectionKind::Plan => {}
            }
        }
        Ok(())
    }

    fn read_bank(bytes: &'a [u8]) -> Option<Bank<'a>> {
        let (header, elements) = bytes.split_at_checked(BankHeader::BYTES)?;
        let header: &BankHeader = one(header)?;
        let elements = values::<f32>(elements)?;
        let total = u64::from(header.tasks) * u64::from(header.slice);
        let right = header.reserved == [0; 2] && total >= 1 && total == elements.len() as u64;
        right.then_some(Bank {
            tasks: header.tasks,
            slice: header.slice,
            values: elements,
        })
    }

    #[inline(always)]
    fn read_plans(&mut self, to_act: bool, fault: &mut Option<PlanError>) -> Result<(), Refusal> {
        for (entry, index) in self.table.iter().zip(0u16..) {
            if SectionKind::from_bits(entry.kind) != Some(SectionKind::Plan) {
                continue;
            }
            let kind = PlanKind::from_bits(u32::from(entry.instance)).ok_or(Refusal::Section(index))?;
            if to_act && kind != PlanKind::Act {
                continue;
            }
            let plan = self.read_plan(kind, self.section(entry), fault)?;
            if let Some(slot) = self.plans.get_mut(kind as usize) {
                *slot = Some(plan);
            }
        }
        Ok(())
    }

    fn read_plan(&self, kind: PlanKind, bytes: &'a [u8], fault: &mut Option<PlanError>) -> Result<Plan<'a>, Refusal> {
        let malformed = Refusal::PlanHeader(kind);
        let (header, records) = bytes.split_at_checked(PlanHeader::BYTES).ok_or(malformed)?;
        let header: &PlanHeader = one(header).ok_or(malformed)?;
        let records: &[Record] = values(records).ok_or(malformed)?;
        let count_right = !records.is_empty() && records.len() == header.records as usize;
        ensure(header.kind == kind as u32 && count_right, malformed)?;
        // Actor and learner run at the same time: the states are the one's, the accumulator is the other's.
        let workspace = &self.header.workspace;
        let (state, accumulator) = if kind == PlanKind::Act {
            (workspace.state, 0)
        } else {
            (0, workspace.accumulator)
        };
        let sizes = SpaceSizes::default()
            .with(Space::Const, self.constants.len() as u32)
            .with(Space::Adapted, self.adapted_initial.len() as u32)
            .with(Space::Arena, header.arena)
            .with(Space::State, state)
            .with(Space::Input, header.input)
            .with(Space::Output, header.output)
            .with(Space::Accumulator, accumulator)
            .with(Space::Bank, self.bank.slice);
        let plan = Plan::new_checked(records, sizes).map_err(|error| {
            *fault = Some(error);
            Refusal::Plan(kind)
        })?;
        let flags = if plan.writes_adapted() {
            PlanHeader::WRITES_ADAPTED
        } else {
            0
        };
        ensure(
            header.flags == flags && (flags == 0 || kind == PlanKind::Apply),
            malformed,
        )?;
        ensure(
            u64::from(header.macs[0]) | u64::from(header.macs[1]) << 32 == plan.macs(),
            malformed,
        )?;
        Ok(plan)
    }

    fn check_states(&self) -> Result<(), Refusal> {
        let malformed = Refusal::Contents(SectionKind::States);
        let mut end = 0u32;
        for state in self.states {
            let elements = state.elements().ok_or(malformed)?;
            ensure(
                state.dtype == 0 && state.reset_rule().is_some() && elements >= 1,
                malformed,
            )?;
            ensure(state.offset == end, malformed)?;
            end = end.checked_add(elements).ok_or(malformed)?;
            let initial_end = u64::from(state.initial) + u64::from(elements);
            ensure(
                state.initial == StateEntry::ZERO || initial_end <= self.constants.len() as u64,
                malformed,
            )?;
        }
        ensure(end == self.header.workspace.state, Refusal::Workspace)
    }

    /// A tree needs an adaptation to choose, and only a supervised one has steps to choose.
    fn check_choice(&self) -> Result<(), Refusal> {
        let spec = self.adaptation;
        let supervised = spec.is_some_and(|spec| spec.objective() == Some(Objective::Supervised));
        ensure(
            self.choice.is_none() || (supervised && self.choices().is_some()),
            Refusal::Contents(SectionKind::Choice),
        )
    }

    fn check_golden(&self) -> Result<(), Refusal> {
        let malformed = Refusal::Contents(SectionKind::Golden);
        let mut steps = self.golden_steps();
        for step in &mut steps {
            let plan = self.plan_ref(step.plan).ok_or(malformed)?;
            let fits = |space, values: &[f32]| plan.sizes_ref().get(space) as usize == values.len();
            ensure(
                fits(Space::Input, step.input) && fits(Space::Output, step.output),
                malformed,
            )?;
        }
        ensure(steps.rest().is_empty(), malformed)
    }

    fn check_complete(&self) -> Result<(), Refusal> {
        let has = |kind| {
            self.table
                .iter()
                .any(|entry| SectionKind::from_bits(entry.kind) == Some(kind))
        };
        ensure(has(SectionKind::Contract), Refusal::Missing(SectionKind::Contract))?;
        let needed: &[PlanKind] = match self.adaptation {
            Some(_) => &[
                PlanKind::Act,
                PlanKind::Begin,
                PlanKind::Accumulate,
                PlanKind::Apply,
                PlanKind::Score,
            ],
            None => &[PlanKind::Act],
        };
        for &kind in needed {
            ensure(self.plan_ref(kind).is_some(), Refusal::MissingPlan(kind))?;
        }
        Ok(())
    }

    /// Whether the workspace sizes in the header are those the sections have.
    #[inline(always)]
    fn workspace_is_right(&self, to_act: bool) -> bool {
        let stated = &self.header.workspace;
        let mut sizes = Workspace {
            constants: self.constants.len() as u32,
            adapted: self.adapted_initial.len() as u32,
            bank: self.bank.slice,
            // Checked against the states and by every record that uses them.
            state: self.header.workspace.state,
            accumulator: self.header.workspace.accumulator,
            support_rows: self.adaptation.map_or(0, |spec| spec.capacity),
            support_row_width: self.adaptation.map_or(0, AdaptationSpec::row_width),
            ..Workspace::default()
        };
        let [act, learn @ ..] = &self.plans;
        if let Some(plan) = act {
            let of = plan.sizes_ref();
            (sizes.act_arena, sizes.act_input) = (of.get(Space::Arena), of.get(Space::Input));
            sizes.act_output = of.get(Space::Output);
        }
        if to_act {
            // What was not looked at is not compared, and nothing that acts uses it.
            (sizes.learn_arena, sizes.learn_input, sizes.learn_output) =
                (stated.learn_arena, stated.learn_input, stated.learn_output);
            (sizes.support_rows, sizes.support_row_width) = (stated.support_rows, stated.support_row_width);
        } else {
            for plan in learn.iter().flatten() {
                let of = plan.sizes_ref();
                sizes.learn_arena = sizes.learn_arena.max(of.get(Space::Arena));
                sizes.learn_input = sizes.learn_input.max(of.get(Space::Input));
                sizes.learn_output = sizes.learn_output.max(of.get(Space::Output));
            }
        }
        // Word by word: comparing the bytes would bring `memcmp`.
        let words = |sizes| bytemuck::cast_ref::<Workspace, [u32; size_of::<Workspace>() / 4]>(sizes);
        words(&sizes)
            .iter()
            .zip(words(stated))
            .all(|(found, stated)| found == stated)
    }

    /// Exactly the bytes of the image, without what may follow it in flash.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The header.
    pub fn header(&self) -> &'a Header {
        self.header
    }

    /// How much memory the image needs.
    pub fn workspace(&self) -> &'a Workspace {
        &self.header.workspace
    }

    /// The section table.
    pub fn sections(&self) -> &'a [SectionEntry] {
        self.table
    }

    /// The postcard encoding of the contract.
    pub fn contract_bytes(&self) -> &'a [u8] {
        self.contract
    }

    /// The constants, the `const` space of every plan.
    pub fn constants(&self) -> &'a [f32] {
        self.constants
    }

    /// Initial values of the parameters that adapt.
    pub fn adapted_initial(&self) -> &'a [f32] {
        self.adapted_initial
    }

    fn plan_ref(&self, kind: PlanKind) -> Option<&Plan<'a>> {
        self.plans.get(kind as usize)?.as_ref()
    }

    /// A plan, checked; `None` if the image has none of this kind.
    pub fn plan(&self, kind: PlanKind) -> Option<Plan<'a>> {
        self.plan_ref(kind).copied()
    }

    /// The recurrent states.
    pub fn states(&self) -> &'a [StateEntry] {
        self.states
    }

    /// How the policy adapts, if it does.
    pub fn adaptation(&self) -> Option<&'a AdaptationSpec> {
        self.adaptation
    }

    /// Per-task heads and embeddings; empty without a bank.
    pub fn bank(&self) -> Bank<'a> {
        self.bank
    }

    /// The tree that chooses how to adapt; `None` for an image that always adapts as its spec says, and without the feature
    /// `choices`.
    pub fn choices(&self) -> Option<Choices<'a>> {
        if !cfg!(feature = "choices") {
            return None;
        }
        Choices::new_checked(self.choice?, self.adaptation?)
    }

    /// Golden steps, in the order in which they run.
    pub fn golden_steps(&self) -> GoldenSteps<'a> {
        GoldenSteps::new(self.golden)
    }

    /// What the policy was trained on and how it scores.
    pub fn card(&self) -> Option<&'a str> {
        self.card.and_then(|bytes| core::str::from_utf8(bytes).ok())
    }

    /// Byte at which the signature section starts, and the section; whether the signature is right, the feature
    /// `signatures` tells.
    pub fn signature(&self) -> Option<(u32, &'a SignatureSection)> {
        self.signature
    }

    /// Tells images apart: 64-bit FNV-1a of every required section. A stored adaptation is bound to it. Not a
    /// signature. Takes time in proportion to the image.
    pub fn hash(&self) -> u64 {
        self.table
            .iter()
            .filter(|entry| entry.flags & SectionEntry::REQUIRED != 0)
            .fold(FNV_START, |hash, entry| {
                let hash = fnv1a(hash, &entry.kind.to_le_bytes());
                let hash = fnv1a(hash, &entry.instance.to_le_bytes());
                let hash = fnv1a(hash, &entry.length.to_le_bytes());
                fnv1a(hash, self.section(entry))
            })
    }
}
