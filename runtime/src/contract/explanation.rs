//! A contract error in words.

use core::fmt;

use super::{ContractError, ContractView, Interface, Side};

/// Displays a [`ContractError`] with what the image and the firmware each have in that place; see
/// [`ContractView::explain`].
#[derive(Clone, Copy, Debug)]
pub struct Explanation<'a> {
    contract: &'a ContractView<'a>,
    error: ContractError,
    wired: &'a Interface<'a>,
}

impl<'a> Explanation<'a> {
    pub(super) fn new(contract: &'a ContractView<'a>, error: ContractError, wired: &'a Interface<'a>) -> Self {
        Self { contract, error, wired }
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(formatter)?;
        let (contract, wired) = (self.contract, self.wired);
        match self.error {
            ContractError::ControlRate => write!(
                formatter,
                ": {} Hz in the image, {} Hz in the firmware",
                contract.control_rate_hz(),
                wired.control_rate_hz
            ),
            ContractError::Channel { side, index, .. } => {
                let index = usize::from(index);
                let (channel, port) = match side {
                    Side::Observation => (contract.observations().nth(index), wired.observations.get(index)),
                    Side::Action => (contract.actions().nth(index), wired.actions.get(index)),
                };
                formatter.write_str(": ")?;
                place(formatter, channel.map(|channel| (channel.name, channel.unit)), "image")?;
                formatter.write_str(", ")?;
                place(formatter, port.map(|port| (port.name, port.unit)), "firmware")
            }
            _ => Ok(()),
        }
    }
}

fn place(formatter: &mut fmt::Formatter<'_>, channel: Option<(&str, &str)>, whose: &str) -> fmt::Result {
    match channel {
        Some((name, "")) => write!(formatter, "`{name}` in the {whose}"),
        Some((name, unit)) => write!(formatter, "`{name}` in `{unit}` in the {whose}"),
        None => write!(formatter, "none in the {whose}"),
    }
}
