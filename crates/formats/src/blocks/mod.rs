//! What the block-mapped formats share: an image is cut into blocks of one size, and a table says where each block lies.
//!
//! ```text
//!  reading   Mapped (a Source) -> BlockMap::run_at -> Table (bounded windows of the table in the file)
//!                 |- Place::Host    the container's file, its holes and bad ranges kept
//!                 |- Place::Packed  BlockMap::unpack
//!                 |- Place::Absent  the image below, zeros beyond its end; zeros where there is none
//!                 `- Place::Zero
//!  writing   BlockSink -> Space: workers claim a slot for a block when its first byte that is no zero comes, and write in place;
//!                 the format writes its table from the slots at the end
//!  checking  overlaps: which blocks lie over each other, in bounded memory
//! ```
//!
//! Nothing here knows a format. All numbers are bytes unless they are called block, entry or slot.

mod bits;
mod findings;
mod host;
mod mapped;
mod overlap;
mod padding;
mod sink;
mod space;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use bits::Bits;
pub(crate) use findings::Findings;
pub(crate) use host::Side;
pub(crate) use mapped::{BlockMap, HostFile, Mapped, Place, Run};
pub(crate) use overlap::overlaps;
pub(crate) use padding::{padded, padding};
pub(crate) use sink::BlockSink;
pub(crate) use space::{Placement, Slots, Space};
pub(crate) use table::{Entry, Table};
