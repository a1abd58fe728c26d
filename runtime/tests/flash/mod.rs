//! NOR flash in memory that enforces the rules and loses power where it is told to.
//!
//! Rules (a breach panics): reads, writes and erases are aligned and in bounds; a word is written only once after its
//! page was erased *completely*. An erase that was cut leaves arbitrary bytes, blank-looking ones too, and the page must
//! be erased again. A write that was cut leaves any subset of its bits: of the word it was cut in, or, as in flash with
//! a page buffer, of all words of the call. A cut word may even look blank: then it is spoiled, and what is written there
//! comes out wrong, silently.
//!
//! Each word written and each page erased is a *step*. [`Flash::cut_at`] cuts the power in a step; from then on every
//! call fails and changes nothing, until [`Flash::power_on`].
#![allow(dead_code)] // Every test crate uses its own part.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use crate::support::Random;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Erased,
    Written,
    /// Its writing was cut, and it looks blank.
    Spoiled,
    /// Its page's erasing was cut.
    Unknown,
}

/// The flash.
#[derive(Clone)]
pub(crate) struct Flash<const READ: usize, const WRITE: usize, const ERASE: usize> {
    bytes: Vec<u8>,
    words: Vec<Word>,
    steps: u64,
    cut: Option<u64>,
    random: u64,
    off: bool,
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> Flash<READ, WRITE, ERASE> {
    /// As it may come: never erased.
    pub(crate) fn new(capacity: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        Self {
            bytes: (0..capacity).map(|_| random.next() as u8).collect(),
            words: vec![Word::Unknown; capacity / WRITE],
            steps: 0,
            cut: None,
            random: seed,
            off: false,
        }
    }

    /// With these contents, written.
    pub(crate) fn with_bytes(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            words: bytes
                .chunks(WRITE)
                .map(|word| match word.iter().all(|&byte| byte == 0xff) {
                    true => Word::Erased,
                    false => Word::Written,
                })
                .collect(),
            ..Self::new(0, 0)
        }
    }

    /// Steps done so far.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }

    /// Cuts the power in the step after `steps` more; `seed` decides what is left of it.
    pub(crate) fn cut_at(&mut self, steps: u64, seed: u64) {
        self.cut = Some(self.steps + steps);
        self.random = seed;
    }

    /// Whether the power is off.
    pub(crate) fn is_off(&self) -> bool {
        self.off
    }

    /// Switches the power on again.
    pub(crate) fn power_on(&mut self) {
        (self.off, self.cut) = (false, None);
    }

    /// What the flash holds.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Damages a byte, as age and radiation do.
    pub(crate) fn damage(&mut self, at: usize) {
        self.bytes[at] ^= 0x10;
    }

    /// Whether the power is cut in this step.
    fn step(&mut self) -> bool {
        let cut = self.cut == Some(self.steps);
        self.steps += 1;
        self.off |= cut;
        cut
    }

    /// Leaves some of the bits of a word written.
    fn tear(&mut self, random: &mut Random, word: usize, wanted: &[u8]) {
        let mode = random.below(6);
        let prefix = random.below(WRITE + 1);
        for (i, &value) in wanted.iter().enumerate() {
            let mask = match mode {
                0 => 0x00,
                1 => 0xff,
                2 if i < prefix => 0xff,
                2 => 0x00,
                3 if i == prefix => 0xff_u8 << random.below(8),
                3 => 0xff * u8::from(i < prefix),
                4 => random.next() as u8 & random.next() as u8,
                _ => random.next() as u8,
            };
            self.bytes[word * WRITE + i] &= value | !mask;
        }
        let blank = self.bytes[word * WRITE..][..WRITE].iter().all(|&byte| byte == 0xff);
        self.words[word] = if blank { Word::Spoiled } else { Word::Written };
    }

    fn tear_erase(&mut self, random: &mut Random, page: usize) {
        let mode = random.below(5);
        let edge = random.below(ERASE + 1);
        for i in 0..ERASE {
            let byte = &mut self.bytes[page + i];
            *byte = match mode {
                0 => *byte,
                1 => 0xff,
                2 if i < edge => 0xff,
                2 => *byte,
                3 => *byte | random.next() as u8,
                _ => random.next() as u8,
            };
        }
        self.words[page / WRITE..][..ERASE / WRITE].fill(Word::Unknown);
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ErrorType for Flash<READ, WRITE, ERASE> {
    type Error = NorFlashErrorKind;
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> ReadNorFlash for Flash<READ, WRITE, ERASE> {
    const READ_SIZE: usize = READ;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len()).expect("a read within the rules");
        if self.off {
            return Err(NorFlashErrorKind::Other);
        }
        bytes.copy_from_slice(&self.bytes[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> NorFlash for Flash<READ, WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to).expect("an erase within the rules");
        for page in (from as usize..to as usize).step_by(ERASE) {
            if self.off {
                return Err(NorFlashErrorKind::Other);
            }
            if self.step() {
                let mut random = Random(self.random);
                self.tear_erase(&mut random, page);
                return Err(NorFlashErrorKind::Other);
            }
            self.bytes[page..page + ERASE].fill(0xff);
            self.words[page / WRITE..][..ERASE / WRITE].fill(Word::Erased);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len()).expect("a write within the rules");
        if self.off {
            return Err(NorFlashErrorKind::Other);
        }
        let first = offset as usize / WRITE;
        for (i, word) in bytes.chunks(WRITE).enumerate() {
            let state = self.words[first + i];
            assert!(
                matches!(state, Word::Erased | Word::Spoiled),
                "wrote to a word that is not erased ({state:?}) at {}",
                (first + i) * WRITE
            );
            if self.step() {
                let mut random = Random(self.random);
                if random.below(4) == 0 {
                    // The whole page buffer was on its way.
                    for (j, word) in bytes.chunks(WRITE).enumerate().skip(i) {
                        self.tear(&mut random, first + j, word);
                    }
                } else {
                    self.tear(&mut random, first + i, word);
                }
                return Err(NorFlashErrorKind::Other);
            }
            self.bytes[(first + i) * WRITE..][..WRITE].copy_from_slice(word);
            if state == Word::Spoiled {
                self.bytes[(first + i) * WRITE] ^= 0x55;
            }
            self.words[first + i] = Word::Written;
        }
        Ok(())
    }
}

/// A flash that a power cut can be tried on.
pub(crate) trait Cuttable: NorFlash<Error = NorFlashErrorKind> + Clone {
    /// Never written.
    fn with_capacity(capacity: usize, seed: u64, journal_end: u32) -> Self;
    fn steps(&self) -> u64;
    fn cut_at(&mut self, steps: u64, seed: u64);
    fn is_off(&self) -> bool;
    /// The power comes back.
    fn power_on(&mut self);
}

impl<const READ: usize, const WRITE: usize, const ERASE: usize> Cuttable for Flash<READ, WRITE, ERASE> {
    fn with_capacity(capacity: usize, seed: u64, _: u32) -> Self {
        Self::new(capacity, seed)
    }

    fn steps(&self) -> u64 {
        self.steps()
    }

    fn cut_at(&mut self, steps: u64, seed: u64) {
        self.cut_at(steps, seed);
    }

    fn is_off(&self) -> bool {
        self.is_off()
    }

    fn power_on(&mut self) {
        self.power_on();
    }
}

/// What is done in the wrong order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The journal's record, which makes a slot count, reaches the flash before the slot's contents.
    MarkerFirst,
    /// The journal's record reaches the flash only with the next one.
    MarkerLate,
}

/// A flash behind which the order of writes is wrong: the planted fault. Without a power cut nobody notices.
#[derive(Clone)]
pub(crate) struct Reordered<F, const FAULT: bool> {
    real: F,
    /// What it would be in the right order.
    seen: F,
    journal_end: u32,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Erase(u32, u32),
    Write(u32, Vec<u8>),
}

impl<F: Cuttable, const FAULT: bool> Reordered<F, FAULT> {
    const FAULT: Fault = if FAULT { Fault::MarkerFirst } else { Fault::MarkerLate };

    fn apply(&mut self, operation: &Pending) -> Result<(), NorFlashErrorKind> {
        match operation {
            Pending::Erase(from, to) => self.real.erase(*from, *to),
            Pending::Write(offset, bytes) => self.real.write(*offset, bytes),
        }
    }

    fn apply_pending(&mut self) -> Result<(), NorFlashErrorKind> {
        for operation in core::mem::take(&mut self.pending) {
            self.apply(&operation)?;
        }
        Ok(())
    }

    fn take(&mut self, offset: u32, operation: Pending) -> Result<(), NorFlashErrorKind> {
        if self.real.is_off() {
            return Err(NorFlashErrorKind::Other);
        }
        let in_journal = offset < self.journal_end;
        match Self::FAULT {
            Fault::MarkerFirst if in_journal => {
                self.apply(&operation)?;
                self.apply_pending()?;
            }
            Fault::MarkerLate if in_journal => {
                self.apply_pending()?;
                self.pending.push(operation);
                return Ok(());
            }
            Fault::MarkerFirst => {
                self.pending.push(operation);
                return Ok(());
            }
            Fault::MarkerLate => self.apply(&operation)?,
        }
        Ok(())
    }
}

impl<F: Cuttable, const FAULT: bool> ErrorType for Reordered<F, FAULT> {
    type Error = NorFlashErrorKind;
}

impl<F: Cuttable, const FAULT: bool> ReadNorFlash for Reordered<F, FAULT> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        if self.real.is_off() {
            return Err(NorFlashErrorKind::Other);
        }
        self.seen.read(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.real.capacity()
    }
}

impl<F: Cuttable, const FAULT: bool> NorFlash for Reordered<F, FAULT> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.seen.erase(from, to)?;
        self.take(from, Pending::Erase(from, to))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.seen.write(offset, bytes)?;
        self.take(offset, Pending::Write(offset, bytes.to_vec()))
    }
}

impl<F: Cuttable, const FAULT: bool> Cuttable for Reordered<F, FAULT> {
    fn with_capacity(capacity: usize, seed: u64, journal_end: u32) -> Self {
        let real = F::with_capacity(capacity, seed, journal_end);
        Self {
            seen: real.clone(),
            real,
            journal_end,
            pending: Vec::new(),
        }
    }

    fn steps(&self) -> u64 {
        self.real.steps()
    }

    fn cut_at(&mut self, steps: u64, seed: u64) {
        self.real.cut_at(steps, seed);
    }

    fn is_off(&self) -> bool {
        self.real.is_off()
    }

    fn power_on(&mut self) {
        self.real.power_on();
        // What had not reached the flash is gone.
        self.pending.clear();
        self.seen = self.real.clone();
    }
}
