//! What the formats of virtual disks share: an image is cut into blocks of one size, and tables say where each block lies.
//!
//! ```text
//!  reading   Mapped (a Source) -> BlockMap::run_at -> Table, or Levels and what their entries mean -> Tables (windows, holes)
//!                 |- Place::At      the image's file, its holes and bad ranges kept; Cipher
//!                 |- Place::Packed  several read at once, BlockMap::unpack, Coding
//!                 |- Place::Absent  the image below, zeros beyond its end; zeros where there is none
//!                 `- Place::Zero, Place::Unused
//!  writing   BlockSink -> Space: workers claim a slot for a block when its first byte that is no zero comes, and write in place;
//!                 the format writes its table from the slots at the end
//!                 Judge: what differs from what a new image stands on
//!  checking  scan: tables from start to end; overlaps: which blocks lie over each other, wherever they begin; References: how often
//!                 clusters are referred to, where that may be more than once; Findings: what is told of all that
//! ```
//!
//! Here a block is what a table has an entry for: the cluster, the grain or the extent of a format. Nothing here knows a format. All
//! numbers are bytes unless they are called block, entry or slot. What is kept for later is bounded for all images of the program
//! together.

mod backing;
mod bits;
mod cipher;
mod coding;
mod findings;
mod host;
mod judge;
mod levels;
mod mapped;
mod numbers;
mod overlap;
mod packed;
mod padding;
mod place;
mod references;
mod scan;
mod shelf;
mod sink;
mod space;
mod table;
#[cfg(test)]
mod tests;
mod windows;
mod zeros;

pub(crate) use backing::{Candidate, Footing, LONGEST_NAME, backing, backing_name, parent, relative};
pub(crate) use bits::Bits;
pub(crate) use cipher::{Cipher, Numbered};
pub(crate) use coding::Coding;
pub(crate) use findings::{Findings, share};
pub(crate) use host::{HostFile, holds, read};
pub(crate) use judge::{Content, Judge, Known, blank_to};
pub(crate) use levels::{Levels, Meaning, Step};
pub(crate) use mapped::Mapped;
pub(crate) use numbers::{be16, be32, be64};
pub(crate) use overlap::overlaps;
pub(crate) use padding::{padded, padding};
pub(crate) use place::{BlockMap, Packed, Place, Run, Straight, Unpacked};
pub(crate) use references::References;
pub(crate) use scan::nonzero;
pub(crate) use sink::BlockSink;
pub(crate) use space::{Placement, Slots, Space};
pub(crate) use table::Table;
pub(crate) use windows::{Entries, Entry, Tables};
pub(crate) use zeros::Zeros;
