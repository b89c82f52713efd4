//! What is on a disk: partition tables, and which file system a partition holds.
//!
//! Everything is read from a [`tintype_core::Source`] and nothing is ever written. Start with [`tables::read`] and
//! [`recognise`].

#![forbid(unsafe_code)]

mod field;
mod recognise;
pub mod tables;

pub use recognise::recognise;
