//! Which frame holds an offset.

use crate::packed::{Block, Input, LARGEST_BLOCK, Layout, lift};
use std::sync::{Mutex, PoisonError};
use tintype_codec::checksum::xxh64;
use tintype_codec::stream::Input as _;
use tintype_codec::zstd::{Decompressor, Frame, FrameHeader, Frames, parse_frame_header};
use tintype_codec::zstd_seekable::{self, Entry};
use tintype_core::{Error, Event, Limits, Result, Watch};

/// A sum is kept for every so many frames.
const STRIDE: usize = 64;

/// Where frames are. Skippable ones are frames without content.
pub(super) struct Table {
    input: Input,
    // Packed length and length of each; sums of both before every `STRIDE`th.
    frames: Vec<(u32, u32)>,
    sums: Vec<(u64, u64)>,
    /// From the seek table: one for each frame, or none at all.
    checksums: Vec<u32>,
    /// Every frame has a checksum here, or has to have one of its own.
    checked: bool,
    len: u64,
    packed_len: u64,
    largest: u32,
    decoders: Mutex<Vec<Decompressor>>,
}

/// How a look through all frame headers ended.
pub(super) enum Scan {
    /// All frames say their length, and are small enough to be decoded whole.
    Whole { table: Table, foreign: Option<u64> },
    /// One frame that says its length but is large, and nothing else with content.
    One { len: u64, is_checked: bool },
    /// Anything else.
    Other,
}

impl Table {
    pub fn new(input: Input) -> Self {
        Table {
            input,
            frames: Vec::new(),
            sums: Vec::new(),
            checksums: Vec::new(),
            checked: true,
            len: 0,
            packed_len: 0,
            largest: 0,
            decoders: Mutex::new(Vec::new()),
        }
    }

    /// Adds the next frame; `Limit` beyond 2^63 bytes.
    pub fn push(&mut self, packed_len: u32, len: u32) -> Result<()> {
        if self.frames.len().is_multiple_of(STRIDE) {
            self.sums.push((self.packed_len, self.len));
        }
        self.frames.push((packed_len, len));
        self.packed_len += u64::from(packed_len);
        self.len += u64::from(len);
        self.largest = self.largest.max(len);
        if self.len > i64::MAX as u64 { Err(Error::limit("the frames hold more than 2^63 bytes")) } else { Ok(()) }
    }

    /// Frames in the table.
    pub fn count(&self) -> usize {
        self.frames.len()
    }

    /// The content of the largest frame.
    pub fn largest(&self) -> u64 {
        self.largest.into()
    }

    /// Whether every frame that is decoded was verified by a checksum.
    pub fn is_checked(&self) -> bool {
        self.checked
    }

    /// Bytes of all frames in the file.
    pub fn packed_len(&self) -> u64 {
        self.packed_len
    }

    /// The frames that the seek table lists; `None` without one.
    pub fn seekable(input: &Input, limits: &Limits) -> Result<Option<Table>> {
        let most = usize::try_from(limits.tables / size_of::<Entry>() as u64 / 2).unwrap_or(usize::MAX);
        let len = input.source.len() - input.start;
        let Some(entries) = zstd_seekable::read_table(&mut input.clone(), len, most).map_err(lift)? else {
            return Ok(None);
        };
        let mut table = Table::new(input.clone());
        for entry in &entries {
            table.push(entry.packed_len, entry.len)?;
            table.checksums.extend(entry.checksum);
        }
        // A frame that is listed without content would be left out.
        let empty = entries.iter().enumerate().filter(|(_, e)| e.len == 0).map(|(index, _)| index);
        for (n, index) in empty.enumerate() {
            if n >= MOST_EMPTY || !table.is_honest(index)? {
                return Err(Error::corrupt("seekable zstd: the table lists frames without content that have some"));
            }
        }
        if table.checksums.is_empty() {
            // One writer made all of them: they are like the first, and a frame that is not is told of when it is decoded.
            let first = entries.iter().position(|e| e.len > 0);
            table.checked = first.map_or(Ok(true), |index| table.says_checksum(index))?;
        }
        Ok(Some(table))
    }

    /// Looks at all frame and block headers.
    pub fn scan(input: &Input, limits: &Limits, watch: &dyn Watch) -> Result<Scan> {
        let most = limits.tables / size_of::<(u32, u32)>() as u64 / 2;
        let mut table = Table::new(input.clone());
        let (mut with_content, mut large, mut checked) = (0u64, None, true);
        let mut foreign = None;
        for frame in Frames::new(Box::new(input.clone())) {
            let frame = match frame {
                Ok(frame) => frame,
                Err(tintype_codec::Error::Trailing { offset }) => {
                    foreign = Some(offset);
                    break;
                }
                // The decoder gets as far as it can, and says it better.
                Err(tintype_codec::Error::Io(e)) => return Err(lift(e.into())),
                Err(_) => return Ok(Scan::Other),
            };
            if watch.cancelled() {
                return Err(Error::cancelled());
            }
            watch.event(&Event::Progress { done: frame.offset, lost: 0 });
            let len = match frame.header {
                None => 0,
                Some(header) => match header.content {
                    // A length that the blocks cannot hold is a lie; the decoder finds out.
                    Some(0) if !is_empty(&frame, &header) => return Ok(Scan::Other),
                    Some(len) if len <= frame.content_bound => {
                        checked &= len == 0 || header.checksum;
                        len
                    }
                    _ => return Ok(Scan::Other),
                },
            };
            with_content += u64::from(len > 0);
            if frame.header.is_some() && (len > LARGEST_BLOCK || frame.len > longest(len)) {
                large = Some(len);
            }
            if large.is_some() && with_content > 1 || table.count() as u64 >= most {
                return Ok(Scan::Other);
            }
            match (u32::try_from(frame.len), u32::try_from(len)) {
                (Ok(packed_len), Ok(len)) => table.push(packed_len, len)?,
                _ if large.is_none() => return Ok(Scan::Other),
                _ => {}
            }
        }
        Ok(match large {
            None => Scan::Whole { table: Table { checked, ..table }, foreign },
            Some(len) if foreign.is_none() => Scan::One { len, is_checked: checked },
            Some(_) => Scan::Other,
        })
    }

    /// Whether the frame at `index` is what the table says, by its header alone.
    pub fn is_honest(&self, index: usize) -> Result<bool> {
        let (packed_len, len) = self.frames[index];
        let head = self.head(index)?;
        let header = parse_frame_header(&head);
        if len == 0 {
            let is_skippable = matches!(head[..], [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
            return Ok(is_skippable || packed_len == 0 || header.is_ok_and(|h| packed_len as usize <= h.len + EMPTY));
        }
        Ok(header.is_ok_and(|h| h.content.is_none_or(|c| c == u64::from(len))))
    }

    /// Whether the frame at `index` says that it has a checksum; one that says nothing cannot be decoded either.
    pub fn says_checksum(&self, index: usize) -> Result<bool> {
        Ok(parse_frame_header(&self.head(index)?).map_or(true, |header| header.checksum))
    }

    fn head(&self, index: usize) -> Result<Vec<u8>> {
        let mut head = vec![0; 18];
        let n = self.input.clone().read_at(&mut head, self.place(index).0).map_err(|e| lift(e.into()))?;
        head.truncate(n);
        Ok(head)
    }

    /// Where a frame and its content begin.
    pub fn place(&self, index: usize) -> (u64, u64) {
        let first = index / STRIDE * STRIDE;
        let start = self.sums[index / STRIDE];
        let add = |(at, out): (u64, u64), (packed, len): &(u32, u32)| (at + u64::from(*packed), out + u64::from(*len));
        self.frames[first..index].iter().fold(start, add)
    }

    fn index_of(&self, offset: u64) -> Option<usize> {
        let sum = self.sums.partition_point(|(_, out)| *out <= offset).checked_sub(1)?;
        // Several sums may stand at one offset where frames have no content; the last of them is the right one.
        let mut out = self.sums[sum].1;
        for (i, (_, len)) in self.frames.iter().enumerate().skip(sum * STRIDE) {
            out += u64::from(*len);
            if offset < out {
                return Some(i);
            }
        }
        None
    }
}

/// Most frames without content that a seek table may list.
const MOST_EMPTY: usize = 1024;
/// Bytes after the header of a frame without content: one block header, and a checksum.
const EMPTY: usize = 3 + 4;

/// Whether nothing is in a frame that says so.
fn is_empty(frame: &Frame, header: &FrameHeader) -> bool {
    frame.len <= (header.len + EMPTY) as u64
}

/// Bytes of the longest frame with `len` bytes of content that is decoded whole: incompressible data is hardly longer, and a
/// frame of empty blocks is nothing anybody writes.
fn longest(len: u64) -> u64 {
    len + len / 16 + (64 << 10)
}

impl Layout for Table {
    fn len(&self) -> u64 {
        self.len
    }

    fn find(&self, offset: u64) -> Result<Block> {
        let index = self.index_of(offset).ok_or_else(|| Error::corrupt("no frame holds this offset").at(offset))?;
        let (in_offset, out_offset) = self.place(index);
        let (in_len, len) = self.frames[index];
        Ok(Block { in_offset, in_len: in_len.into(), out_offset, len: len.into() })
    }

    fn decode(&self, block: &Block, out: &mut [u8]) -> Result<()> {
        if block.in_len > longest(block.len) {
            return Err(Error::corrupt(format!("a frame takes {} bytes to hold {}", block.in_len, block.len)));
        }
        let mut packed = vec![0; block.in_len as usize];
        let mut filled = 0;
        while filled < packed.len() {
            match self.input.clone().read_at(&mut packed[filled..], block.in_offset + filled as u64) {
                Ok(0) => return Err(lift(tintype_codec::Error::Truncated)),
                Ok(n) => filled += n,
                Err(e) => return Err(lift(e.into())),
            }
        }
        let index = self.index_of(block.out_offset);
        let stored = index.and_then(|index| self.checksums.get(index));
        let has_own = parse_frame_header(&packed).is_ok_and(|header| header.checksum);
        if self.checked && stored.is_none() && !has_own {
            return Err(Error::corrupt("a frame has no checksum where the others have one"));
        }
        let pooled = self.decoders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = match pooled {
            Some(decoder) => decoder,
            None => Decompressor::new().map_err(lift)?,
        };
        let result = decoder.frame(&packed, out);
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
        match result {
            Ok(n) if n == out.len() => {}
            Ok(n) => {
                let what = format!("a frame holds {n} bytes where {} were announced", out.len());
                return Err(Error::corrupt(what));
            }
            Err(tintype_codec::Error::TooLarge(_)) => {
                return Err(Error::corrupt(format!("a frame holds more than the {} bytes announced", out.len())));
            }
            Err(e) => return Err(lift(e)),
        }
        if stored.is_some_and(|stored| *stored != xxh64(out) as u32) {
            return Err(Error::corrupt("the checksum of a frame in the seek table does not match"));
        }
        Ok(())
    }

    fn unit(&self) -> u32 {
        self.largest.clamp(64 << 10, 4 << 20)
    }
}
