//! The places in a stream where decoding can be taken up.

use tintype_codec::deflate::{Compressor, Decompressor, Level};
use tintype_codec::stream::Checkpoint;
use tintype_core::{Error, Result};

/// How far apart the places are, and how many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grain {
    /// Bytes of content between two places, to begin with.
    pub spacing: u64,
    /// Most places; when there are more, every other one is given up and the distance doubled.
    pub most: usize,
    /// Streams with less content have no side-car: going through them again costs less.
    pub worth_keeping: u64,
}

/// At most this many places of at most 64 KiB of window each.
pub(super) const GRAIN: Grain = Grain { spacing: 4 << 20, most: 1024, worth_keeping: 64 << 20 };

/// One place; its window is packed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub in_offset: u64,
    pub in_bits: u8,
    pub out_offset: u64,
    pub extra: Vec<u8>,
    pub window_len: u32,
    pub window: Vec<u8>,
}

/// Largest window of any kind of stream.
pub(super) const WINDOW: usize = 64 << 10;

/// All places known, ascending; the start of the stream is always one and not among them.
pub(super) struct Points {
    grain: Grain,
    pub spacing: u64,
    pub list: Vec<Point>,
    packer: Option<Compressor>,
}

impl Points {
    pub fn new(grain: Grain) -> Self {
        Points { grain, spacing: grain.spacing, list: Vec::new(), packer: None }
    }

    /// Where the next place should lie, at the earliest.
    pub fn next(&self) -> u64 {
        self.list.last().map_or(0, |p| p.out_offset).saturating_add(self.spacing)
    }

    pub fn add(&mut self, place: Checkpoint) {
        let packer = self.packer.get_or_insert_with(|| Compressor::new(Level::Fast));
        let mut window = Vec::new();
        packer.raw(&place.window, &mut window);
        window.shrink_to_fit();
        self.list.push(Point {
            in_offset: place.in_offset,
            in_bits: place.in_bits,
            out_offset: place.out_offset,
            extra: place.extra,
            window_len: place.window.len() as u32,
            window,
        });
        if self.list.len() >= self.grain.most {
            let mut index = 0;
            self.list.retain(|_| {
                index += 1;
                index % 2 == 0
            });
            self.spacing = self.spacing.saturating_mul(2);
        }
    }

    /// The last place at or before `offset`; `None`: the start.
    pub fn before(&self, offset: u64) -> Option<&Point> {
        self.list[..self.list.partition_point(|p| p.out_offset <= offset)].last()
    }
}

impl Point {
    /// What the codec takes up decoding from.
    pub fn place(&self) -> Result<Checkpoint> {
        let mut window = vec![0; (self.window_len as usize).min(WINDOW)];
        let wrong = || Error::corrupt("a checkpoint's window cannot be unpacked");
        let progress = Decompressor::new().raw(&self.window, &mut window).map_err(|_| wrong())?;
        if progress.written != window.len() || window.len() != self.window_len as usize {
            return Err(wrong());
        }
        Ok(Checkpoint {
            in_offset: self.in_offset,
            in_bits: self.in_bits,
            out_offset: self.out_offset,
            window,
            extra: self.extra.clone(),
        })
    }
}
