//! Which BGZF block holds an offset.

use crate::packed::{Block, Input, LARGEST_BLOCK, Layout, lift};
use std::sync::{Mutex, PoisonError};
use tintype_codec::bgzf;
use tintype_codec::deflate::Decompressor;
use tintype_codec::stream::Input as _;
use tintype_core::{Care, Error, Event, Kind, Result, Watch};

/// Most blocks whose places are kept; of longer files only every second, fourth ... one.
const MARKS: usize = 1 << 20;
/// Places just behind recent reads.
const RECENT: usize = 16;

/// Where blocks are: some of them are known, those between are found by hopping from header to header.
pub(super) struct Bgzf {
    input: Input,
    len: u64,
    // Offsets of blocks and of their content, ascending.
    marks: Vec<(u64, u64)>,
    recent: Mutex<Vec<(u64, u64)>>,
    care: Care,
    decoders: Mutex<Vec<Decompressor>>,
}

/// How a look through all headers ended.
pub(super) enum Scan {
    /// All members are BGZF blocks.
    Whole {
        blocks: Bgzf,
        /// Where something else begins, if anything follows.
        foreign: Option<u64>,
        /// Where the last block begins in the file.
        last: u64,
    },
    /// Some member is not a BGZF block.
    Other,
}

impl Bgzf {
    /// Looks at all block headers.
    pub fn scan(input: &Input, care: Care, watch: &dyn Watch) -> Result<Scan> {
        let mut marks: Vec<(u64, u64)> = Vec::new();
        let (mut stride, mut count, mut len, mut last) = (1u64, 0u64, 0u64, 0u64);
        let mut foreign = None;
        for block in bgzf::Blocks::new(Box::new(input.clone())) {
            let block = match block {
                Ok(block) => block,
                Err(tintype_codec::Error::Trailing { offset }) => {
                    foreign = Some(offset);
                    break;
                }
                Err(tintype_codec::Error::Unsupported(_)) => return Ok(Scan::Other),
                Err(e) => {
                    let e = lift(e);
                    let what = format!("{}; the first {len} bytes can be read", e.what());
                    return Err(if e.kind() == Kind::Corrupt { Error::corrupt(what).at(len) } else { e });
                }
            };
            if count.is_multiple_of(stride) {
                marks.push((block.in_offset, block.out_offset));
                if marks.len() >= MARKS {
                    let mut index = 0;
                    marks.retain(|_| {
                        index += 1;
                        index % 2 == 1
                    });
                    stride *= 2;
                }
            }
            count += 1;
            len = block.out_offset + u64::from(block.len);
            last = block.in_offset;
            if count.is_multiple_of(4096) {
                if watch.cancelled() {
                    return Err(Error::cancelled());
                }
                watch.event(&Event::Progress { done: block.in_offset, lost: 0 });
            }
        }
        let blocks = Bgzf {
            input: input.clone(),
            len,
            marks,
            recent: Mutex::new(Vec::new()),
            care,
            decoders: Mutex::new(Vec::new()),
        };
        Ok(Scan::Whole { blocks, foreign, last })
    }

    fn remember(&self, place: (u64, u64)) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.retain(|p| *p != place);
        if recent.len() >= RECENT {
            recent.remove(0);
        }
        recent.push(place);
    }
}

impl Layout for Bgzf {
    fn len(&self) -> u64 {
        self.len
    }

    fn find(&self, offset: u64) -> Result<Block> {
        let changed = || Error::corrupt("a block is not where it was when the file was opened").at(offset);
        let mark = self.marks.partition_point(|(_, out)| *out <= offset).checked_sub(1).ok_or_else(changed)?;
        let mut from = self.marks[mark];
        for place in self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            if place.1 <= offset && place.1 > from.1 {
                from = *place;
            }
        }
        let input = Input { source: self.input.source.clone(), start: self.input.start + from.0 };
        for block in bgzf::Blocks::new(Box::new(input)) {
            let block = block.map_err(lift)?;
            let (out_offset, len) = (from.1 + block.out_offset, u64::from(block.len));
            if offset < out_offset + len {
                let in_offset = from.0 + block.in_offset;
                self.remember((in_offset + u64::from(block.in_len), out_offset + len));
                return Ok(Block { in_offset, in_len: block.in_len.into(), out_offset, len });
            }
        }
        Err(changed())
    }

    fn decode(&self, block: &Block, out: &mut [u8]) -> Result<()> {
        let mut stored = vec![0; block.in_len.min(LARGEST_BLOCK) as usize];
        let mut filled = 0;
        while filled < stored.len() {
            let mut input = self.input.clone();
            match input.read_at(&mut stored[filled..], block.in_offset + filled as u64) {
                Ok(0) => return Err(lift(tintype_codec::Error::Truncated)),
                Ok(n) => filled += n,
                Err(e) => return Err(lift(e.into())),
            }
        }
        let pooled = self.decoders.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut decoder = pooled.unwrap_or_else(|| crate::decoder::decompressor(self.care));
        let result = bgzf::decode_block(&mut decoder, &stored, out).map_err(lift);
        self.decoders.lock().unwrap_or_else(PoisonError::into_inner).push(decoder);
        result
    }

    fn unit(&self) -> u32 {
        1 << 20
    }
}
