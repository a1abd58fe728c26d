//! The compiler of Pliant.
