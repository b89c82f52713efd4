//! Real drives of the kernel: loop devices. Needs root.
//!
//! Without root or loop devices these say so and pass, unless `TINTYPE_ROOT_TESTS=1` asks for them: then they fail.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod blocks;
mod faults;
mod guards;
mod rig;
mod targets;
