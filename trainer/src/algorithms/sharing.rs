//! Whether work is worth more threads than one: found out by trying both.

use std::time::{Duration, Instant};

use super::maml_policy_gradient::share_out;
use crate::error::TrainError;

/// Calls of each way before one is chosen.
const TRIALS: u32 = 6;

/// Work that is done again and again, on one thread or on several, whichever takes less time. The results must not depend on
/// the number of threads, and do not where items are worked on apart and put together in order.
///
/// To start a thread takes some tens of microseconds, and far longer where the machine has other work: a small minibatch
/// is not worth it, a long window is.
pub(super) struct Sharing {
    threads: usize,
    calls: u32,
    /// Time of the trials alone, and with all threads.
    times: [Duration; 2],
}

impl Sharing {
    /// At most `threads` threads.
    pub(super) fn new(threads: usize) -> Self {
        Self {
            threads,
            calls: 0,
            times: [Duration::ZERO; 2],
        }
    }

    /// Whether the next call uses all threads.
    fn shared(&self) -> bool {
        if self.calls < 2 * TRIALS {
            self.calls % 2 == 1
        } else {
            self.times[1] < self.times[0]
        }
    }

    /// Does the work on every item.
    pub(super) fn run<I: Send>(
        &mut self,
        items: &mut [I],
        work: impl Fn(&mut I) -> Result<(), TrainError> + Sync,
    ) -> Result<(), TrainError> {
        let shared = self.threads > 1 && self.shared();
        let threads = if shared { self.threads.min(items.len()) } else { 1 };
        let start = Instant::now();
        share_out(&mut vec![(); threads], items, |(), _, item| work(item))?;
        // The first call of each way finds the caches cold.
        if (2..2 * TRIALS).contains(&self.calls) {
            self.times[usize::from(shared)] += start.elapsed();
        }
        self.calls = self.calls.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_waits_is_shared_and_work_that_is_nothing_is_not() {
        let threads_of = |work: fn(&mut u32) -> Result<(), TrainError>| {
            let mut sharing = Sharing::new(4);
            let mut items = [0u32; 4];
            for _ in 0..2 * TRIALS {
                sharing.run(&mut items, work).unwrap();
            }
            assert_eq!(items, [2 * TRIALS; 4], "every item, every time");
            sharing.shared()
        };
        assert!(threads_of(|item| {
            *item += 1;
            std::thread::sleep(Duration::from_millis(5));
            Ok(())
        }));
        assert!(!threads_of(|item| {
            *item += 1;
            Ok(())
        }));
    }

    #[test]
    fn an_error_is_handed_on() {
        let mut sharing = Sharing::new(2);
        let fail = |_: &mut ()| {
            Err(TrainError::Diverged {
                iteration: 1,
                what: "a test".to_owned(),
            })
        };
        for _ in 0..3 {
            assert!(sharing.run(&mut [(), ()], fail).is_err());
        }
    }
}
