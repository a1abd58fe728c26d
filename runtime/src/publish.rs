//! Hands adapted parameters from the learner to the actor without a lock: the one module of this crate's policy side
//! that needs `unsafe`.
//!
//! There are three slots: the parameters of the image (read in place, never written) and two buffers in RAM. The
//! learner writes into the buffer that is not published while the actor reads the other, then publishes with one store.
//! Before it writes into a buffer again it must know that the actor has left it; the two agree by Dekker's algorithm,
//! which needs only sequentially consistent loads and stores and so works on cores without compare-and-swap
//! (Cortex-M0+):
//!
//! | actor ([`Reader::lease`]) | learner ([`Writer::claim`]) |
//! |---|---|
//! | `p = published` | `published = q` (an earlier publication, with a slot other than `p`'s) |
//! | `in_use = p` | `in_use` not in the slot to write: go ahead, else [`Busy`] |
//! | `published == p`: read slot of `p`, else retry | write |
//! | `in_use = IDLE` | `published = slot written` |
//!
//! All these are in one total order. If the learner's load of `in_use` does not see the actor's store, that store comes
//! later, so the actor's second load of `published` comes after the learner's publication and differs from `p` (each
//! publication carries a new generation number, so no value comes back). The actor therefore never reads what is being
//! written. Neither side waits: the learner reports [`Busy`] and is called again, the actor falls back to the image's
//! parameters when publications overtake it [`RETRIES`] times in a row.

#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

/// Times the actor tries to lease before it takes the image's parameters.
const RETRIES: usize = 4;

/// A generation (upper 30 bits) and the slot it is in (lower 2 bits).
type Version = u32;

/// The image's parameters.
const BASE: u32 = 0;
/// `in_use` while the actor reads no buffer; no slot has the number 3.
const IDLE: Version = u32::MAX;

const fn slot(version: Version) -> u32 {
    version & 3
}

/// Two buffers, the image's parameters, and which of them counts.
pub(crate) struct Exchange<'m> {
    shared: Shared<'m>,
    writer: WriterState,
}

struct Shared<'m> {
    base: &'m [f32],
    /// Slots 1 and 2, each `base.len()` values; `None` when nothing adapts.
    buffers: Option<[NonNull<f32>; 2]>,
    published: AtomicU32,
    in_use: AtomicU32,
    frozen: AtomicBool,
    owned: PhantomData<&'m mut [f32]>,
}

// SAFETY: the only thing shared that is not Sync by itself is what `buffers` points to. It was borrowed exclusively for
// 'm in `Exchange::new`, and is only reached through `Lease::deref` and `Writer`'s methods, which keep to the protocol
// above: no buffer is read by one side while the other writes it.
unsafe impl Sync for Shared<'_> {}
// SAFETY: as for Sync; f32 can be read and written from any thread, and the pointers stand for `&'m mut [f32]`, which
// is Send.
unsafe impl Send for Shared<'_> {}

#[derive(Clone, Copy)]
struct WriterState {
    /// The buffer that is claimed, 1 or 2.
    claimed: Option<u32>,
    /// What was published before, while it is intact.
    previous: Option<u32>,
}

/// The actor is reading the buffer that the learner wants to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl<'m> Exchange<'m> {
    /// Publishes `base`. `None` unless both buffers are as long as `base`.
    pub(crate) fn new(base: &'m [f32], first: &'m mut [f32], second: &'m mut [f32]) -> Option<Self> {
        if first.len() != base.len() || second.len() != base.len() {
            return None;
        }
        Some(Self::with_buffers(
            base,
            Some([NonNull::from(first).cast(), NonNull::from(second).cast()]),
        ))
    }

    /// Publishes `base` for good: nothing can be claimed.
    pub(crate) fn fixed(base: &'m [f32]) -> Self {
        Self::with_buffers(base, None)
    }

    fn with_buffers(base: &'m [f32], buffers: Option<[NonNull<f32>; 2]>) -> Self {
        Self {
            shared: Shared {
                base,
                buffers,
                published: AtomicU32::new(BASE),
                in_use: AtomicU32::new(IDLE),
                frozen: AtomicBool::new(false),
                owned: PhantomData,
            },
            writer: WriterState {
                claimed: None,
                previous: None,
            },
        }
    }

    /// The two ends. There is at most one of each at a time.
    pub(crate) fn split(&mut self) -> (Reader<'_, 'm>, Writer<'_, 'm>) {
        // A lease that was leaked (`mem::forget`) ended with the borrow of the reader it came from.
        *self.shared.in_use.get_mut() = IDLE;
        (
            Reader { shared: &self.shared },
            Writer {
                shared: &self.shared,
                state: &mut self.writer,
            },
        )
    }
}

impl Shared<'_> {
    /// The first value of slot 1 or 2; `None` for the image's parameters.
    fn buffer(&self, slot: u32) -> Option<NonNull<f32>> {
        match (slot, self.buffers) {
            (1, Some([first, _])) => Some(first),
            (2, Some([_, second])) => Some(second),
            _ => None,
        }
    }
}

/// The actor's end.
pub(crate) struct Reader<'p, 'm> {
    shared: &'p Shared<'m>,
}

impl<'m> Reader<'_, 'm> {
    /// The published parameters, which stay as they are until the lease is dropped; the image's while frozen.
    pub(crate) fn lease(&mut self) -> Lease<'_, 'm> {
        if self.shared.buffers.is_none() {
            // Nothing is ever written, so nobody needs to know.
            return Lease {
                shared: self.shared,
                version: BASE,
            };
        }
        if !self.is_frozen() {
            for _ in 0..RETRIES {
                let version = self.shared.published.load(SeqCst);
                self.shared.in_use.store(version, SeqCst);
                if self.shared.published.load(SeqCst) == version {
                    return Lease {
                        shared: self.shared,
                        version,
                    };
                }
            }
        }
        self.shared.in_use.store(IDLE, SeqCst);
        Lease {
            shared: self.shared,
            version: IDLE,
        }
    }

    pub(crate) fn freeze(&self, frozen: bool) {
        self.shared.frozen.store(frozen, SeqCst);
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.shared.frozen.load(SeqCst)
    }
}

/// Parameters in use by the actor.
pub(crate) struct Lease<'r, 'm> {
    shared: &'r Shared<'m>,
    version: Version,
}

impl Lease<'_, '_> {
    /// Which publication this is; `u32::MAX` for the image's parameters in place of what is published.
    pub(crate) fn version(&self) -> Version {
        self.version
    }
}

impl Deref for Lease<'_, '_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        let Some(buffer) = self.shared.buffer(slot(self.version)) else {
            return self.shared.base;
        };
        // SAFETY: the buffer holds `base.len()` initialised values, borrowed exclusively for 'm by the exchange. The
        // learner does not write it: `in_use` holds this slot since before `published` was seen to hold it, and does
        // until this lease is dropped (see the module's table). The writer's own reads of it are shared like this one.
        unsafe { core::slice::from_raw_parts(buffer.as_ptr(), self.shared.base.len()) }
    }
}

impl Drop for Lease<'_, '_> {
    fn drop(&mut self) {
        if self.shared.buffers.is_some() {
            self.shared.in_use.store(IDLE, SeqCst);
        }
    }
}

/// The learner's end.
pub(crate) struct Writer<'p, 'm> {
    shared: &'p Shared<'m>,
    state: &'p mut WriterState,
}

impl<'m> Writer<'_, 'm> {
    /// The image's parameters.
    pub(crate) fn base(&self) -> &'m [f32] {
        self.shared.base
    }

    /// Which publication counts now.
    pub(crate) fn version(&self) -> Version {
        self.shared.published.load(SeqCst)
    }

    /// Whether the image's parameters are published.
    pub(crate) fn is_base(&self) -> bool {
        slot(self.version()) == BASE
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.shared.frozen.load(SeqCst)
    }

    /// Claims the buffer that is not published, so that [`shadow`](Self::shadow) gives it. What it held (the previous
    /// parameters, perhaps) can no longer be restored. Claiming again keeps the claim.
    pub(crate) fn claim(&mut self) -> Result<(), Busy> {
        if self.state.claimed.is_some() {
            return Ok(());
        }
        let published = slot(self.shared.published.load(SeqCst));
        // Of two free buffers the one that does not hold the previous parameters.
        let target = match (published, self.state.previous) {
            (1, _) | (BASE, Some(1)) => 2,
            _ => 1,
        };
        if self.shared.buffers.is_none() || slot(self.shared.in_use.load(SeqCst)) == target {
            return Err(Busy);
        }
        if self.state.previous == Some(target) {
            self.state.previous = None;
        }
        self.state.claimed = Some(target);
        Ok(())
    }

    /// Whether a buffer is claimed.
    pub(crate) fn has_claimed(&self) -> bool {
        self.state.claimed.is_some()
    }

    /// The published parameters.
    pub(crate) fn current(&self) -> &[f32] {
        let Some(buffer) = self.shared.buffer(slot(self.version())) else {
            return self.shared.base;
        };
        // SAFETY: the buffer holds `base.len()` initialised values, borrowed exclusively for 'm by the exchange. Only
        // this writer writes buffers, never the published one, and it is borrowed here.
        unsafe { core::slice::from_raw_parts(buffer.as_ptr(), self.shared.base.len()) }
    }

    /// The claimed buffer to write, and the published parameters beside it.
    pub(crate) fn shadow(&mut self) -> Option<(&mut [f32], &[f32])> {
        let claimed = self.state.claimed.filter(|claimed| *claimed != slot(self.version()))?;
        let buffer = self.shared.buffer(claimed)?;
        // SAFETY: the buffer holds `base.len()` initialised values, borrowed exclusively for 'm by the exchange.
        // `claim` found it neither published nor in use, and it has not been published since (that ends the claim), so
        // no lease on it can have been granted (see the module's table). There is one writer, which is borrowed mutably
        // for as long as this slice, and what `current` gives is another buffer.
        let shadow = unsafe { core::slice::from_raw_parts_mut(buffer.as_ptr(), self.shared.base.len()) };
        Some((shadow, self.current()))
    }

    /// Gives the claim up: what was written is never seen by the actor.
    pub(crate) fn discard(&mut self) {
        self.state.claimed = None;
    }

    /// Makes the claimed buffer the one that counts. Gives whether there was one.
    pub(crate) fn publish(&mut self) -> bool {
        let Some(claimed) = self.state.claimed.take() else {
            return false;
        };
        self.state.previous = Some(slot(self.version()));
        self.store(claimed);
        true
    }

    /// Publishes the parameters before the last publication, if they are intact, and gives whether they were. They can
    /// be restored once.
    pub(crate) fn restore_previous(&mut self) -> bool {
        let Some(previous) = self.state.previous.take() else {
            return false;
        };
        self.state.claimed = None;
        self.store(previous);
        true
    }

    /// Publishes the image's parameters.
    pub(crate) fn restore_base(&mut self) {
        self.state.claimed = None;
        self.state.previous = None;
        if !self.is_base() {
            self.store(BASE);
        }
    }

    fn store(&mut self, slot: u32) {
        let generation = (self.version() >> 2).wrapping_add(1);
        self.shared.published.store(generation << 2 | slot, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::sync::atomic::AtomicUsize;

    use super::*;

    const LENGTH: usize = 16;

    fn accept(writer: &mut Writer<'_, '_>, value: f32) {
        writer.claim().unwrap();
        writer.shadow().unwrap().0.fill(value);
        assert!(writer.publish());
    }

    #[test]
    fn publishes_discards_and_restores() {
        let base = [1.0; LENGTH];
        let (mut first, mut second) = ([0.0; LENGTH], [0.0; LENGTH]);
        let mut exchange = Exchange::new(&base, &mut first, &mut second).unwrap();
        let (mut reader, mut writer) = exchange.split();
        assert_eq!(reader.lease()[0], 1.0);
        assert!(writer.shadow().is_none());

        writer.claim().unwrap();
        writer.shadow().unwrap().0.fill(9.0);
        assert_eq!(reader.lease()[0], 1.0, "not published yet");
        writer.discard();
        assert!(!writer.publish());

        accept(&mut writer, 2.0);
        assert_eq!(reader.lease()[0], 2.0);
        accept(&mut writer, 3.0);
        assert_eq!(reader.lease()[0], 3.0);
        assert!(writer.restore_previous());
        assert_eq!(reader.lease()[0], 2.0);
        assert!(!writer.restore_previous(), "only once");

        accept(&mut writer, 4.0);
        writer.claim().unwrap();
        writer.discard();
        assert!(!writer.restore_previous(), "overwritten by the claim");
        writer.restore_base();
        assert_eq!(reader.lease()[0], 1.0);
    }

    #[test]
    fn buffers_of_another_length_are_refused_and_what_is_fixed_is_never_claimed() {
        let base = [1.0; LENGTH];
        let (mut first, mut second, mut short) = ([0.0; LENGTH], [0.0; LENGTH], [0.0; LENGTH - 1]);
        assert!(Exchange::new(&base, &mut short, &mut second).is_none());
        assert!(Exchange::new(&base, &mut first, &mut short).is_none());
        let mut exchange = Exchange::fixed(&base);
        let (mut reader, mut writer) = exchange.split();
        assert_eq!(writer.claim(), Err(Busy));
        assert!(writer.shadow().is_none() && !writer.publish() && !writer.restore_previous());
        writer.restore_base();
        assert_eq!((reader.lease()[0], writer.version()), (1.0, 0));

        let mut exchange = Exchange::new(&base, &mut first, &mut second).unwrap();
        let (mut reader, mut writer) = exchange.split();
        writer.claim().unwrap();
        writer.shadow().unwrap().0.fill(2.0);
        // Claiming again keeps the buffer and what is in it.
        writer.claim().unwrap();
        assert!(writer.has_claimed() && writer.publish());
        assert_eq!(reader.lease()[..], [2.0; LENGTH]);
    }

    #[test]
    fn a_leased_buffer_is_not_claimed() {
        let base = [1.0; LENGTH];
        let (mut first, mut second) = ([0.0; LENGTH], [0.0; LENGTH]);
        let mut exchange = Exchange::new(&base, &mut first, &mut second).unwrap();
        let (mut reader, mut writer) = exchange.split();
        accept(&mut writer, 2.0);
        let lease = reader.lease();
        accept(&mut writer, 3.0);
        assert_eq!(writer.claim(), Err(Busy));
        assert_eq!(lease[0], 2.0);
        drop(lease);
        assert_eq!(writer.claim(), Ok(()));
    }

    #[test]
    fn frozen_reads_the_image() {
        let base = [1.0; LENGTH];
        let (mut first, mut second) = ([0.0; LENGTH], [0.0; LENGTH]);
        let mut exchange = Exchange::new(&base, &mut first, &mut second).unwrap();
        let (mut reader, mut writer) = exchange.split();
        accept(&mut writer, 2.0);
        reader.freeze(true);
        let lease = reader.lease();
        assert_eq!((lease[0], lease.version()), (1.0, IDLE));
        drop(lease);
        reader.freeze(false);
        assert_eq!(reader.lease()[0], 2.0);
    }

    /// Every lease sees one publication, whole: run under miri this also shows that no read races with a write.
    #[test]
    fn a_reader_thread_never_sees_a_half_written_buffer() {
        let publications: usize = if cfg!(miri) { 50 } else { 20_000 };
        let base = [0.0; LENGTH];
        let (mut first, mut second) = ([0.0; LENGTH], [0.0; LENGTH]);
        let mut exchange = Exchange::new(&base, &mut first, &mut second).unwrap();
        let (mut reader, mut writer) = exchange.split();
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            let reading = scope.spawn(|| {
                let (mut leases, mut last) = (0, 0.0);
                while done.load(SeqCst) == 0 || leases == 0 {
                    let lease = reader.lease();
                    let value = lease[0];
                    assert!(lease.iter().all(|other| *other == value));
                    assert!(value >= last || lease.version() == IDLE, "{value} after {last}");
                    last = if lease.version() == IDLE { last } else { value };
                    leases += 1;
                }
                last
            });
            let mut written = 0;
            while written < publications {
                match writer.claim() {
                    Ok(()) => {
                        written += 1;
                        writer
                            .shadow()
                            .unwrap()
                            .0
                            .iter_mut()
                            .for_each(|value| *value = written as f32);
                        assert!(writer.publish());
                    }
                    Err(Busy) => std::thread::yield_now(),
                }
            }
            done.store(1, SeqCst);
            assert!(reading.join().unwrap() <= publications as f32);
        });
    }
}
