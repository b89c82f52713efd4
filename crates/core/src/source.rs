//! The reading side: everything readable is a [`Source`].

use crate::{Detail, Error, Extent, Facts, Result, State};

/// How a source likes to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Logical sector in bytes: the smallest unit the medium addresses.
    pub sector: u32,
    /// Physical sector in bytes, a multiple of `sector`: the smallest unit the medium reads.
    pub physical: u32,
    /// Best unit of reads in bytes; a failed or corrupt read spoils at most this much when reads keep to it.
    pub unit: u32,
    /// Useful reads in flight. 1 means: in order, one at a time, anything else is slow.
    pub in_flight: u32,
    /// True if buffers, offsets and lengths have to be multiples of `sector` for the fast path (direct I/O).
    pub direct: bool,
}

impl Default for Shape {
    fn default() -> Self {
        Shape { sector: 512, physical: 512, unit: 64 << 10, in_flight: 64, direct: false }
    }
}

/// Bytes that can be read by position, and what is known about them.
pub trait Source: Send + Sync {
    /// Bytes in all; fixed for life.
    fn len(&self) -> u64;

    /// True if there is not one byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Fills `buf` with the bytes from `offset`, also inside [`State::Bad`] extents where the container stores a fill.
    ///
    /// Fails with [`crate::Kind::Unreadable`] where no bytes exist, with `Corrupt` where a stored checksum does not
    /// match, with `Usage` if the range leaves the source. May be called from several threads at once.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()>;

    /// The extent that starts at `offset < len()`. It may be shorter than the true run. Costs at most one table lookup.
    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len(), offset, 1)?;
        Ok(Extent::new(offset, self.len() - offset, State::Data))
    }

    /// Where the byte at `offset` lies in its container, where the container can tell.
    fn detail_at(&self, offset: u64) -> Result<Option<Detail>> {
        let _ = offset;
        Ok(None)
    }

    /// How it likes to be read.
    fn shape(&self) -> Shape {
        Shape::default()
    }

    /// What is known about the medium and the acquisition.
    fn facts(&self) -> &Facts {
        Facts::none()
    }
}

/// Refuses a range of `len` bytes at `offset` that leaves a source of `size` bytes.
pub fn in_range(size: u64, offset: u64, len: u64) -> Result<()> {
    match offset.checked_add(len) {
        Some(end) if end <= size => Ok(()),
        _ => Err(Error::usage(format!("{len} bytes from {offset} are outside a source of {size} bytes")).at(offset)),
    }
}

/// Walks the extents of `[from, to)`, neighbours of one state joined; ends after the first error.
pub fn extents(source: &dyn Source, from: u64, to: u64) -> Extents<'_> {
    Extents { source, at: from, end: to.min(source.len()) }
}

/// The iterator of [`extents`].
pub struct Extents<'a> {
    source: &'a dyn Source,
    at: u64,
    end: u64,
}

impl Extents<'_> {
    fn next_piece(&mut self) -> Result<Option<Extent>> {
        if self.at >= self.end {
            return Ok(None);
        }
        let extent = self.source.extent_at(self.at)?;
        match extent.clip(self.at, self.end) {
            Some(piece) if extent.offset <= self.at => Ok(Some(piece)),
            _ => Err(Error::corrupt("extent does not cover the offset that was asked for").at(self.at)),
        }
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut run = match self.next_piece() {
            Ok(Some(piece)) => piece,
            Ok(None) => return None,
            Err(e) => {
                self.at = self.end;
                return Some(Err(e));
            }
        };
        self.at = run.end();
        // An error while looking for the end of the run is met again, and told, by the next call.
        while let Ok(Some(piece)) = self.next_piece() {
            if piece.state != run.state {
                break;
            }
            run.len += piece.len;
            self.at = piece.end();
        }
        Some(Ok(run))
    }
}
