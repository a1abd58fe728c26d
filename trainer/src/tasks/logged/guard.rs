//! The readers of Parquet and Arrow are large and meet damaged files: where one panics, the file is refused.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

use super::DataError;

thread_local! {
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `read` gives, and a panic in it as an error; nothing is printed. A program that aborts on panic aborts.
pub(super) fn caught<T>(path: &Path, read: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            if !CAUGHT.get() {
                before(panic);
            }
        }));
    });
    let outer = CAUGHT.replace(true);
    // Whatever a panic leaves half done is dropped with the reader.
    let result = catch_unwind(AssertUnwindSafe(read));
    CAUGHT.set(outer);
    result.unwrap_or_else(|panic| {
        let said = (panic.downcast_ref::<String>().map(String::as_str)).or(panic.downcast_ref::<&str>().copied());
        Err(damaged(path, said.unwrap_or("it is no such file")))
    })
}

/// What a reader says of a file that is not whole.
pub(super) fn damaged(path: &Path, problem: impl std::fmt::Display) -> DataError {
    DataError::Format {
        path: path.to_owned(),
        problem: format!("the file is damaged or not whole ({problem}); copy or write it anew"),
    }
}
