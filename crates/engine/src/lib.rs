//! The verbs, one file each, and the only pipeline.
//!
//! Start with [`pipeline`] for how bytes move, [`transfer`] for what `image`, `convert`, `restore` and `clone` share, and
//! [`open`] and [`target`] for its two ends. Nothing here prints: everything is told to a [`tintype_core::Watch`] or
//! comes back as a value.

#![forbid(unsafe_code)]

pub mod compare;
pub mod create;
pub mod files;
pub mod hash;
pub mod identity;
pub mod image;
pub mod info;
pub mod journal;
pub mod map;
pub mod open;
pub mod pipeline;
pub mod report;
pub mod rescue;
pub mod restore;
mod stream;
pub mod target;
pub mod transfer;
pub mod verify;
mod walk;
