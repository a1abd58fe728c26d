//! Checks that keep the documents true.

pub(crate) mod figures;
pub(crate) mod map;
pub(crate) mod measure;

use crate::error::Error;

/// The page with this text between its markers.
pub(crate) fn between(page: &str, markers: [&str; 2], text: &str) -> Result<String, Error> {
    let parts = page.split_once(markers[0]);
    let parts = parts.and_then(|(before, rest)| Some((before, rest.split_once(markers[1])?.1)));
    match parts {
        Some((before, after)) => Ok([before, markers[0], text, markers[1], after].concat()),
        None => Err(Error::Check(format!(
            "the page has no {} ... {}",
            markers[0].trim(),
            markers[1]
        ))),
    }
}
