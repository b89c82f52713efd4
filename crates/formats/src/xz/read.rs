//! Opening xz.

use crate::packed::{Block, Blocks, Input, Known, LARGEST_BLOCK, Layout, Packed, Spec, WINDOW, image, lift, streamed};
use std::sync::Arc;
use tintype_codec::stream::Kind;
use tintype_codec::xz;
use tintype_core::{Checksums, Error, Finding, Image, Limits, OpenRequest, Result};

/// The blocks that the indexes list.
struct Index {
    input: Input,
    index: xz::Index,
    unit: u32,
}

impl Layout for Index {
    fn len(&self) -> u64 {
        self.index.len
    }

    fn find(&self, offset: u64) -> Result<Block> {
        let block = self.index.find(offset).ok_or_else(|| Error::corrupt("no block holds this offset"))?;
        let (in_offset, in_len) = (block.in_offset, block.unpadded_len);
        Ok(Block { in_offset, in_len, out_offset: block.out_offset, len: block.len })
    }

    fn decode(&self, block: &Block, out: &mut [u8]) -> Result<()> {
        let block = self.index.find(block.out_offset).ok_or_else(|| Error::corrupt("no block holds this offset"))?;
        block.decode(&mut self.input.clone(), WINDOW, out).map_err(lift)
    }

    fn unit(&self) -> u32 {
        self.unit
    }
}

fn index(packed: &Packed, limits: &Limits) -> tintype_codec::Result<xz::Index> {
    let most = usize::try_from(limits.tables / size_of::<xz::Block>() as u64 / 2).unwrap_or(usize::MAX);
    xz::Index::read(&mut packed.input(), packed.source.len(), most)
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let packed = Packed::new(request)?;
    let mut known = None;
    match index(&packed, &request.limits) {
        Ok(index) if index.len <= i64::MAX as u64 => {
            let is_checked = index.blocks.iter().all(xz::Block::is_checked);
            let largest = index.blocks.iter().map(|b| b.len).max().unwrap_or(0);
            if largest <= LARGEST_BLOCK {
                let checksums = if is_checked { Checksums::Every } else { Checksums::None };
                let input = packed.input();
                let unit = largest.clamp(64 << 10, 4 << 20) as u32;
                let disk = Arc::new(Blocks::new(Index { input, index, unit }, &request.entry.name));
                return Ok(image(packed, "blocks", "lzma2", disk, checksums));
            }
            known = Some(Known { len: index.len, crc32: None, is_checked });
        }
        Err(tintype_codec::Error::Io(e)) => return Err(lift(e.into())),
        // Something follows, or the end is missing: the decoder gets as far as it can and says what is wrong.
        _ => {}
    }
    let spec = Spec { kind: Kind::Xz, memory: WINDOW, live: 2 };
    streamed(request, packed, "stream", "lzma2", spec, known)
}

/// Holds headers, footers and indexes of all streams against each other.
pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    let packed = Packed::new(request)?;
    let mut findings: Vec<Finding> = packed.warnings.iter().map(Finding::warning).collect();
    if let Err(e) = index(&packed, &request.limits) {
        let e = lift(e);
        match e.kind() {
            tintype_core::Kind::Corrupt => findings.push(Finding::damage(e.chain())),
            _ => return Err(e),
        }
    }
    Ok(findings)
}
