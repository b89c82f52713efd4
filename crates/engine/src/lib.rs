//! The verbs, one file each, and the only pipeline.

#![forbid(unsafe_code)]

pub mod pipeline;
