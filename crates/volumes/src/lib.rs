//! What is on a disk: partition tables, and file systems.
//!
//! Everything is read from a [`tintype_core::Source`] and nothing is ever written. Start with [`tables::read`], [`recognise`] and
//! [`filesystems::open`].

#![forbid(unsafe_code)]

mod field;
pub mod filesystems;
mod recognise;
pub mod tables;

pub use recognise::recognise;
