//! Opening zstd.

use super::layout::{Scan, Table};
use crate::packed::{Blocks, Known, LARGEST_BLOCK, Packed, Spec, WINDOW, foreign_data, image, streamed};
use std::sync::Arc;
use tintype_codec::stream::Kind;
use tintype_codec::zstd::{FrameHeader, parse_frame_header};
use tintype_core::{Checksums, Event, Image, OpenRequest, Result, human_size};

/// Windows above this are told of.
const LARGE: u64 = 128 << 20;

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let mut packed = Packed::new(request)?;
    let input = packed.input();
    let first = first_header(&packed)?;
    if first.is_some_and(|header| !header.checksum) {
        packed.warnings.push("its frames have no checksums; damage inside them may go unnoticed".into());
    }
    if let Some(header) =
        first.filter(|header| header.content.is_none_or(|len| len > LARGEST_BLOCK) && header.window > LARGE)
    {
        let window = human_size(header.window);
        packed.warnings.push(format!("it was compressed with a window of {window}, which reading it takes as memory"));
    }
    match Table::seekable(&input, &request.limits) {
        Ok(Some(table)) if table.largest() <= LARGEST_BLOCK => {
            return Ok(blocks(packed, "seekable", table));
        }
        Ok(_) => {}
        Err(e) if e.kind() == tintype_core::Kind::Io => return Err(e),
        // Frames do not need the table.
        Err(e) => packed.warnings.push(format!("{}; it is not used", e.what())),
    }
    let title = format!("looking for the frames of {}", request.entry.name);
    request.watch.event(&Event::Begin { title, total: Some(packed.source.len()) });
    let scan = Table::scan(&input, &request.limits, &*request.watch);
    request.watch.event(&Event::End);
    let known = match scan? {
        Scan::Whole { table, foreign } => {
            packed.damage.extend(foreign.map(|offset| foreign_data(&packed, offset)));
            return Ok(blocks(packed, "frames", table));
        }
        Scan::One { len, is_checked } => Some(Known { len, crc32: None, is_checked }),
        Scan::Other => None,
    };
    let spec = Spec { kind: Kind::Zstd, memory: WINDOW, live: live(first) };
    streamed(request, packed, "stream", "zstd", spec, known)
}

fn blocks(packed: Packed, variant: &str, table: Table) -> Image {
    let checksums = if table.is_checked() { Checksums::Every } else { Checksums::None };
    let disk = Arc::new(Blocks::new(table, &packed.files[0]));
    image(packed, variant, "zstd", disk, checksums)
}

fn first_header(packed: &Packed) -> Result<Option<FrameHeader>> {
    let mut head = vec![0; packed.source.len().min(18) as usize];
    packed.source.read_at(&mut head, 0)?;
    Ok(parse_frame_header(&head).ok())
}

/// Decoders that may be kept, by the window that each needs.
fn live(first: Option<FrameHeader>) -> usize {
    const TOGETHER: u64 = 32 << 20;
    let window = first.map_or(TOGETHER, |header| header.window);
    (TOGETHER / window.max(1)).clamp(1, 4) as usize
}
