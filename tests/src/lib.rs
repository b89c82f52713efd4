//! What the integration tests are made of: the program as a child process, other people's tools, drives that fail.
//!
//! The tests themselves are in `suite/`, one file a topic, all in one binary. A test is a plain function; what it needs of
//! the machine stands beside its name in the topic's list, see [`Need`]. Oracles are other programs or the bytes of the
//! source, never our own output of an earlier day.

#![forbid(unsafe_code)]

mod bytes;
mod deadline;
mod drive;
mod forge;
mod guest;
mod invocation;
mod loop_device;
mod map;
mod mount;
mod need;
pub mod qemu;
mod sample;
mod scratch;
mod suite;

pub use bytes::{assert_same, first_difference, read, runs_that_differ};
pub use deadline::Deadline;
pub use drive::{Behaviour, Drive};
pub use forge::{Forged, Order, crc32c};
pub use guest::{Bus, Guest, GuestDrive, Said};
pub use invocation::{Invocation, Run, Running, ours, tintype_binary, tool};
pub use loop_device::LoopDevice;
pub use map::check_map;
pub use mount::Mount;
pub use need::{Need, python};
pub use sample::{Layout, e01_name, sample, sample_file, write_sparse};
pub use scratch::Scratch;
pub use suite::{Case, run_suite};
