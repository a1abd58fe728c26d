//! Neural network parts that only training needs; the networks themselves are described by the compiler.

mod init;

pub use init::initialise;
