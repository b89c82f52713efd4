//! Sources made of sources, and the sink made of a disk.

mod concat;
mod disk_sink;
mod faulty;
mod masked;
mod placed;
mod slice;

pub use concat::Concat;
pub use disk_sink::{DiskSink, Unused};
pub use faulty::{Fault, Faulty};
pub use masked::Masked;
pub use placed::Placed;
pub use slice::Slice;
