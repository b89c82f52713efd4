//! Test doubles and the suites every format has to pass.

mod conformance;
mod damage;
mod memory;
mod model;
mod replay;

pub use conformance::{check_source, check_writer, create_request, feed_model, open_bytes, open_request};
pub use damage::{Damage, Seen, Sweep};
pub use memory::{Bytes, MemoryDisk, MemoryOutlet};
pub use model::Model;
pub use replay::{Recorder, Step};
