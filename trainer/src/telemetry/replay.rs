//! Does again what the learner on the device did, and compares it to the last bit.

use std::fmt;

use pliant_runtime::adapt::{AdaptReport, Reason};
use pliant_runtime::image::{Image, ImageError, crc32};
use pliant_runtime::noise::Noise;
use pliant_runtime::policy::{Actor, Learner, ObserveError, Policy, PolicyError, ResetKind, workspace_len};
use pliant_runtime::telemetry::{Adapted, FORMAT, FrameError, Record, Revert, Start, StepRecord};
use serde::Serialize;

use super::frames;

/// Most numbers of the exploration noise that are skipped to find the place of a step.
const MOST_SKIPPED: u32 = 10_000_000;

/// Why a log cannot be replayed at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The image is refused.
    #[error("the device image is refused: {0}")]
    Image(#[from] ImageError),
    /// The image is no policy.
    #[error("the device image is refused: {0}")]
    Policy(#[from] PolicyError),
    /// No start of a learner is in the log.
    #[error("the log holds no start of a learner: it is no telemetry of Pliant, or its beginning is missing")]
    NoStart,
    /// The log is another policy's.
    #[error(
        "the log is of an image with hash {log:016x}, this one has {image:016x}; give the bundle that ran on the device with --bundle"
    )]
    OtherImage {
        /// What the log says.
        log: u64,
        /// What the image's is.
        image: u64,
    },
}

/// Where and why a session was replayed no further.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stop {
    /// Everything was replayed.
    End,
    /// The log ends in the middle of a frame.
    Cut {
        /// Where that frame starts, bytes.
        offset: u64,
    },
    /// A frame is damaged.
    Damaged {
        /// Where that frame starts, bytes.
        offset: u64,
        /// What is wrong with it.
        error: String,
    },
    /// Records are missing: the device dropped them, or they were lost on the way.
    Lost {
        /// Where the first frame after them starts, bytes.
        offset: u64,
        /// How many.
        records: u32,
    },
    /// The learner did something else than the log says.
    Differs {
        /// Where the frame that says so starts, bytes.
        offset: u64,
        /// What differs.
        what: String,
    },
    /// The session cannot be replayed from its start.
    Unsupported {
        /// Where the frame that says so starts, bytes.
        offset: u64,
        /// Why.
        why: String,
    },
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("to its end"),
            Self::Cut { offset } => write!(f, "up to byte {offset}, where the log is cut off"),
            Self::Damaged { offset, error } => write!(f, "up to byte {offset}, where a frame is damaged: {error}"),
            Self::Lost { offset, records } => write!(f, "up to byte {offset}, where {records} records are missing"),
            Self::Differs { offset, what } => write!(f, "up to byte {offset}, where it differs: {what}"),
            Self::Unsupported { offset, why } => write!(f, "up to byte {offset}: {why}"),
        }
    }
}

/// One adaptation, on the device and again.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AdaptationCheck {
    /// Whether the device accepted it.
    pub accepted: bool,
    /// Why the device rejected it.
    pub reason: Option<Reason>,
    /// CRC-32 of the parameters afterwards, as the log says.
    pub parameters: u32,
    /// The same, replayed.
    pub replayed: u32,
    /// Whether the parameters and every figure of the report have the same bits.
    pub same: bool,
}

/// How many exploring actions came out the same again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ActionChecks {
    /// Action and log-probability have the same bits.
    pub same: u64,
    /// A bit differs.
    pub differ: u64,
    /// Taken with other parameters than those in use, or the state of the noise or the policy is not in the log.
    pub unchecked: u64,
}

/// What came of one session: from a start of the learner to the next, or to the end.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SessionReport {
    /// Records that were replayed.
    pub records: u64,
    /// Records after the place where it stopped.
    pub not_replayed: u64,
    /// Steps that the learner was given.
    pub steps: u64,
    /// Examples that the learner was given.
    pub examples: u64,
    /// Exploring actions, computed again.
    pub actions: ActionChecks,
    /// Each adaptation.
    pub adaptations: Vec<AdaptationCheck>,
    /// How far the replay went.
    pub stop: Stop,
}

impl SessionReport {
    /// Whether everything was replayed and every bit is the same.
    pub fn is_exact(&self) -> bool {
        self.stop == Stop::End && self.actions.differ == 0 && self.adaptations.iter().all(|check| check.same)
    }
}

/// What came of a replay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplayReport {
    /// [`Image::hash`] of the policy, in hexadecimal.
    pub image: String,
    /// Records and damaged frames before the first start.
    pub before_start: u64,
    /// Each start of the learner.
    pub sessions: Vec<SessionReport>,
}

impl ReplayReport {
    /// Whether everything was replayed and every bit is the same.
    pub fn is_exact(&self) -> bool {
        self.sessions.iter().all(SessionReport::is_exact)
    }
}

/// Replays a log with the image that ran on the device.
///
/// A session that is cut off, damaged or has lost records is replayed up to there; the next start of a learner begins anew.
///
/// # Errors
/// The image is refused, or the log is not of this image.
pub fn replay(image: &[u8], log: &[u8]) -> Result<ReplayReport, ReplayError> {
    let image = Image::new_checked(image)?;
    let hash = image.hash();
    let mut memory = vec![0.0; workspace_len(image.bytes())];
    let mut report = ReplayReport {
        image: format!("{hash:016x}"),
        before_start: 0,
        sessions: Vec::new(),
    };
    let mut frames = frames(log).peekable();
    let is_start =
        |frame: &super::Located| matches!(&frame.frame, Some(Ok(frame)) if matches!(frame.record, Record::Start(_)));
    while frames.next_if(|frame| !is_start(frame)).is_some() {
        report.before_start += 1;
    }
    while let Some(first) = frames.next() {
        let Some(Ok(frame)) = first.frame else { continue };
        let Record::Start(start) = frame.record else { continue };
        if start.image != hash {
            return Err(ReplayError::OtherImage {
                log: start.image,
                image: hash,
            });
        }
        let mut policy = Policy::new(&image, None, &mut memory)?;
        let (actor, learner) = policy.split();
        let mut session = Session::new(actor, learner, &start, frame.sequence, !image.states().is_empty());
        session.start(&start, first.offset);
        while let Some(located) = frames.next_if(|frame| !is_start(frame)) {
            session.take(located);
        }
        report.sessions.push(session.report);
    }
    match report.sessions.is_empty() {
        true => Err(ReplayError::NoStart),
        false => Ok(report),
    }
}

/// A session under way.
struct Session<'p, 'm> {
    actor: Actor<'p, 'm>,
    learner: Learner<'p, 'm>,
    report: SessionReport,
    stopped: bool,
    next_sequence: u32,
    /// Publication in use on the device.
    device_version: u32,
    seed: u64,
    noise: Noise,
    recurrent: bool,
    /// Episode and index of the last step, while the recurrent state is known.
    last: Option<(u32, u32)>,
}

impl<'p, 'm> Session<'p, 'm> {
    fn new(actor: Actor<'p, 'm>, learner: Learner<'p, 'm>, start: &Start, sequence: u32, recurrent: bool) -> Self {
        Self {
            actor,
            learner,
            report: SessionReport {
                records: 1,
                not_replayed: 0,
                steps: 0,
                examples: 0,
                actions: ActionChecks::default(),
                adaptations: Vec::new(),
                stop: Stop::End,
            },
            stopped: false,
            next_sequence: sequence.wrapping_add(1),
            device_version: start.version,
            seed: start.seed,
            noise: Noise::seeded(start.seed),
            recurrent,
            last: None,
        }
    }

    fn start(&mut self, start: &Start, offset: u64) {
        let why = if start.format != FORMAT {
            format!("its records have format {}, this build reads {FORMAT}", start.format)
        } else if start.parameters != self.parameters() || start.steps != self.learner.steps() {
            "it starts from adapted parameters, which are not in the log".to_owned()
        } else {
            return;
        };
        self.stop(Stop::Unsupported { offset, why });
    }

    fn stop(&mut self, stop: Stop) {
        self.report.stop = stop;
        self.stopped = true;
    }

    fn take(&mut self, located: super::Located) {
        if self.stopped {
            self.report.not_replayed += u64::from(matches!(located.frame, Some(Ok(_))));
            return;
        }
        let offset = located.offset;
        let frame = match located.frame {
            None => return self.stop(Stop::Cut { offset }),
            Some(Err(error)) => return self.stop(damaged(offset, error)),
            Some(Ok(frame)) => frame,
        };
        let lost = frame.sequence.wrapping_sub(self.next_sequence);
        if lost != 0 {
            self.report.not_replayed += 1;
            return self.stop(Stop::Lost { offset, records: lost });
        }
        self.next_sequence = frame.sequence.wrapping_add(1);
        match self.apply(&frame.record) {
            Ok(()) => self.report.records += 1,
            Err(what) => {
                self.report.not_replayed += 1;
                self.stop(Stop::Differs { offset, what });
            }
        }
    }

    /// Does what the record says was done; an error says what came out differently.
    fn apply(&mut self, record: &Record) -> Result<(), String> {
        match record {
            Record::Step(step) => self.step(step),
            Record::Example(example) => {
                self.report.examples += 1;
                self.work(example.refused == Some(ObserveError::Adapting));
                let taken = self.learner.observe_example(&example.input, &example.target);
                same_refusal("example", example.refused, taken.err())
            }
            Record::Adapted(adapted) => self.adapted(adapted),
            Record::Reverted(revert) => self.reverted(revert),
            Record::Cleared { claimed } => {
                self.claim(*claimed);
                self.learner.clear();
                Ok(())
            }
            Record::Cancelled { claimed } => {
                self.claim(*claimed);
                self.learner.cancel();
                Ok(())
            }
            Record::Seed(seed) => {
                self.seed = *seed;
                self.noise = Noise::seeded(*seed);
                Ok(())
            }
            Record::Reset(reset) => {
                self.actor.reset(reset.kind);
                Ok(())
            }
            Record::Frozen(frozen) => {
                self.actor.freeze(*frozen);
                Ok(())
            }
            Record::Watched(watched) => {
                self.learner.watch_with(watched.monitor());
                Ok(())
            }
            Record::Noted { score, adapting } => {
                self.work(*adapting);
                let _carried_out = self.learner.note(*score);
                Ok(())
            }
            Record::TakenBack { parameters, version } => {
                self.device_version = *version;
                self.same_parameters("taken back", *parameters)
            }
            Record::NewTask { claimed, version } => {
                self.claim(*claimed);
                self.learner.new_task();
                self.device_version = *version;
                Ok(())
            }
            // What the actor counts and the sink drops is no input of the learner; of records to come nothing is known.
            _ => Ok(()),
        }
    }

    fn step(&mut self, step: &StepRecord) -> Result<(), String> {
        self.report.steps += 1;
        let current = step.version == self.device_version;
        self.check_action(step, current);
        self.work(step.refused == Some(ObserveError::Adapting));
        // Publications are counted anew here: any other number stands for a stale one.
        let version = self.learner.version();
        let version = if current { version } else { !version };
        let taken = self.learner.observe(&step.to_step(version), step.reward, step.end);
        same_refusal("step", step.refused, taken.err())
    }

    /// Takes the step again: same observation, parameters, noise and recurrent state.
    fn check_action(&mut self, step: &StepRecord, current: bool) {
        let checks = &mut self.report.actions;
        let place = (step.episode, step.index);
        if step.index == 0 {
            self.actor.reset(ResetKind::Episode);
        } else if self.recurrent && self.last != Some((step.episode, step.index - 1)) {
            self.last = None;
            checks.unchecked += 1;
            return;
        }
        self.last = Some(place);
        let mut skip = step.noise.wrapping_sub(self.noise.drawn());
        if skip > MOST_SKIPPED {
            self.noise = Noise::seeded(self.seed);
            skip = step.noise;
        }
        if !current || skip > MOST_SKIPPED {
            // The recurrent state is no longer the device's.
            self.last = None;
            checks.unchecked += 1;
            return;
        }
        for _ in 0..skip {
            self.noise.gaussian();
        }
        let same = self
            .actor
            .replay(&step.to_step(0), self.noise.clone())
            .is_ok_and(|again| {
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                bits(again.action()) == bits(&step.action)
                    && again.log_probability().to_bits() == step.log_probability.to_bits()
            });
        *(if same { &mut checks.same } else { &mut checks.differ }) += 1;
    }

    fn adapted(&mut self, adapted: &Adapted) -> Result<(), String> {
        let logged = &adapted.report;
        let again = match (logged.reason(), logged.figures().macs) {
            // The actor was reading the buffer: nothing was done. Here it never is.
            (Some(Reason::Busy), _) => *logged,
            // Frozen while it worked: all that is left of it is the claim.
            (Some(Reason::Frozen), 1..) => {
                self.claim(true);
                self.learner.cancel();
                *logged
            }
            _ => self.learner.adapt(),
        };
        self.device_version = adapted.version;
        let (parameters, replayed) = (adapted.parameters, self.parameters());
        let same_report = bytes(logged) == bytes(&again);
        self.report.adaptations.push(AdaptationCheck {
            accepted: logged.is_accepted(),
            reason: logged.reason(),
            parameters,
            replayed,
            same: same_report && parameters == replayed,
        });
        self.same_parameters("adapted parameters", parameters)?;
        match same_report {
            true => Ok(()),
            false => Err(format!("adaptation: {logged:?} on the device, {again:?} here")),
        }
    }

    fn reverted(&mut self, revert: &Revert) -> Result<(), String> {
        self.claim(revert.claimed);
        let to = if revert.base_asked {
            self.learner.revert_to_base();
            revert.to
        } else {
            self.learner.revert()
        };
        self.device_version = revert.version;
        let replayed = self.parameters();
        if to != revert.to || replayed != revert.parameters {
            return Err(format!(
                "reverted to {:?} ({:#010x}) on the device, {to:?} ({replayed:#010x}) here",
                revert.to, revert.parameters
            ));
        }
        Ok(())
    }

    /// What a dropped adaptation leaves behind: the previous parameters are overwritten.
    fn claim(&mut self, claimed: bool) {
        self.work(claimed);
    }

    /// Begins an adaptation where one was under way on the device; its end comes later.
    fn work(&mut self, adapting: bool) {
        if adapting && !self.learner.is_adapting() {
            let _progress = self.learner.adapt_some(0);
        }
    }

    fn same_parameters(&self, what: &str, parameters: u32) -> Result<(), String> {
        let replayed = self.parameters();
        match parameters == replayed {
            true => Ok(()),
            false => Err(format!(
                "{what}: CRC-32 {parameters:#010x} on the device, {replayed:#010x} here"
            )),
        }
    }

    fn parameters(&self) -> u32 {
        crc32(bytemuck::cast_slice(self.learner.parameters()))
    }
}

fn damaged(offset: u64, error: FrameError) -> Stop {
    Stop::Damaged {
        offset,
        error: error.to_string(),
    }
}

fn same_refusal(what: &str, logged: Option<ObserveError>, again: Option<ObserveError>) -> Result<(), String> {
    let words = |refused: Option<ObserveError>| refused.map_or("taken".to_owned(), |error| error.to_string());
    match logged == again {
        true => Ok(()),
        false => Err(format!(
            "{what}: {} on the device, {} here",
            words(logged),
            words(again)
        )),
    }
}

/// The bits of a report: NaN figures are equal to themselves.
fn bytes(report: &AdaptReport) -> Vec<u8> {
    let mut buffer = [0; 128];
    postcard::to_slice(report, &mut buffer).map_or_else(|_| Vec::new(), |bytes| bytes.to_vec())
}
