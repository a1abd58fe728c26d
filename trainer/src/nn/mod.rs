//! Neural network parts that only training needs; the networks themselves are described by the compiler.

mod init;
mod prepare;

pub use init::initialise;
pub use prepare::prepare;
