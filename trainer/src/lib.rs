//! The trainer of Pliant.
