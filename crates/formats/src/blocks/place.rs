//! Where bytes are, and who knows it.

use tintype_core::{Error, Result};

/// Where a run of bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// As they are (or encrypted), from here on in the file with the blocks.
    At(u64),
    /// Packed, together with what else is in their block.
    Packed(Packed),
    /// Known zeros, whatever lies below.
    Zero,
    /// Zeros that stand for what nobody uses.
    Unused,
    /// Not in this image: what the image below has, zeros without one.
    Absent,
}

/// A block that is stored in fewer bytes than it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Where it lies in the file.
    pub(crate) at: u64,
    /// Bytes that it has there, as far as the table tells; what lies beyond the end of the file is left out.
    pub(crate) stored: u64,
    /// Logical offset of its first byte.
    pub(crate) block: u64,
    /// Bytes of it when it is unpacked.
    pub(crate) plain: u64,
}

/// A run of bytes in one place. `len` is never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Bytes; those of a [`Place::At`] lie together, those of a [`Place::Packed`] are of one block.
    pub(crate) len: u64,
    /// Where they are.
    pub(crate) place: Place,
}

impl Run {
    /// A run of `len` bytes.
    pub(crate) fn new(len: u64, place: Place) -> Self {
        Run { len, place }
    }
}

/// What unpacking came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unpacked {
    /// All of the block is there.
    Whole,
    /// It has so many bytes in the file, more than the table told.
    Needs(u64),
}

/// What a format knows: where bytes are. Called from several threads.
pub(crate) trait BlockMap: Send + Sync {
    /// The run that starts at `offset`, inside the image; it may end beyond it. As long as one look into each table shows, above all for
    /// what is absent: a whole window of the table, or a whole table that is not there. Nobody needs more than `most` bytes of it.
    ///
    /// `Corrupt` for what cannot be; what lies beyond the end of the file is told by whoever reads it.
    fn run_at(&self, offset: u64, most: u64) -> Result<Run>;

    /// Unpacks a block from what is stored into `out`, which is as long as the block is; `Corrupt` if it is not.
    fn unpack(&self, packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        let _ = (packed, stored, out);
        Err(Error::unsupported("compressed blocks are not known here"))
    }
}

/// All bytes in one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Straight {
    /// Offset of the first one.
    pub(crate) at: u64,
}

impl BlockMap for Straight {
    fn run_at(&self, offset: u64, _most: u64) -> Result<Run> {
        Ok(Run::new(u64::MAX - offset, Place::At(self.at.saturating_add(offset))))
    }
}
