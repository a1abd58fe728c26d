//! Tasks from logged data: files of rows become tables for multi-task learning, or a family to learn to learn from.

#[cfg(feature = "columnar")]
mod arrow;
mod column;
mod error;
mod family;
mod frame;
#[cfg(feature = "columnar")]
mod guard;
#[cfg(feature = "columnar")]
mod parquet;
mod source;
mod tables;
#[cfg(all(test, feature = "columnar"))]
mod tests;
mod text;

pub use error::DataError;
pub use family::LoggedFamily;
pub(crate) use tables::logged_tables;

use pliant_runtime::contract::{Channel, Contract};

use super::TaskTable;
use crate::deployment::DeploymentError;

/// Channels of tasks that share an image: of the columns where all have the same, otherwise by number.
///
/// # Errors
/// More channels than a contract can have.
pub(crate) fn tables_contract(tables: &[TaskTable]) -> Result<Contract, DeploymentError> {
    let mut contract = Contract::new(1.0);
    let Some(first) = tables.first() else {
        return Ok(contract);
    };
    let same = tables.iter().all(|table| table.channels() == first.channels());
    let inputs = tables.iter().map(|table| table.channels().len()).max().unwrap_or(0);
    for index in 0..inputs {
        let name = match same {
            true => first.channels()[index].clone(),
            false => format!("input {index}"),
        };
        contract.observe(Channel::observation(&name, ""))?;
        let substitute = first.prepared.as_ref().and_then(|prepared| prepared.substitutes[index]);
        if let (true, Some(value)) = (same, substitute) {
            contract.substitute(value)?;
        }
    }
    let outputs = tables.iter().map(|table| table.outputs).max().unwrap_or(0);
    for index in 0..outputs {
        contract.actuate(Channel::action(&format!("output {index}"), ""))?;
    }
    Ok(contract)
}
