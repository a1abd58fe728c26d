//! Ctrl-C: the first asks the training loop to save and stop, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts listening (for SIGINT, and SIGTERM where there is one).
pub(super) fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::Relaxed) {
            // The saved checkpoints are whole at any moment.
            std::process::exit(130);
        }
        eprintln!("\nstopping: saving a checkpoint (Ctrl-C again ends at once, keeping the one before)");
    })
}

/// Whether the user asked to stop.
pub(super) fn requested() -> bool {
    ASKED.load(Ordering::Relaxed)
}
