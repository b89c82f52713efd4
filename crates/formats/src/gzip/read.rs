//! Opening gzip.

use super::layout::{Bgzf, Scan};
use crate::packed::{Blocks, Packed, Spec, foreign_data, image, streamed};
use std::sync::Arc;
use tintype_codec::stream::Kind;
use tintype_codec::{bgzf, gzip};
use tintype_core::{Checksums, Event, Image, OpenRequest, Result};

/// What it means that the empty block is missing.
pub(super) const NO_END: &str = "the block that ends a BGZF file is missing; the file may have been cut off";

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let mut packed = Packed::new(request)?;
    if is_bgzf(&packed)? {
        let title = format!("looking for the blocks of {}", request.entry.name);
        request.watch.event(&Event::Begin { title, total: Some(packed.source.len()) });
        let scan = Bgzf::scan(&packed.input(), request.care, &*request.watch);
        request.watch.event(&Event::End);
        if let Scan::Whole { blocks, foreign, .. } = scan.map_err(|e| e.in_path(&request.entry.name))? {
            packed.damage.extend(foreign.map(|offset| foreign_data(&packed, offset)));
            if !ends_properly(&packed, foreign)? {
                packed.warnings.push(NO_END.into());
            }
            let disk = Arc::new(Blocks::new(blocks, &request.entry.name));
            return Ok(image(packed, "BGZF", "deflate", disk, Checksums::Every));
        }
    }
    let spec = Spec { kind: Kind::Gzip, memory: 0, live: 4 };
    streamed(request, packed, "gzip", "deflate", spec, None)
}

/// Whether the first member is a BGZF block.
pub(super) fn is_bgzf(packed: &Packed) -> Result<bool> {
    let mut head = vec![0; packed.source.len().min(4096) as usize];
    packed.source.read_at(&mut head, 0)?;
    Ok(gzip::parse_header(&head).is_ok_and(|header| header.subfield(*b"BC").is_some_and(|field| field.len() == 2)))
}

/// Whether the empty block stands at the end, zeros after it left aside.
pub(super) fn ends_properly(packed: &Packed, foreign: Option<u64>) -> Result<bool> {
    let end = foreign.unwrap_or(packed.source.len());
    let mut tail = [0; bgzf::END.len()];
    let Some(at) = end.checked_sub(tail.len() as u64) else { return Ok(false) };
    packed.source.read_at(&mut tail, at)?;
    // Some writers set the fields for the file system and the speed.
    Ok(tail[..4] == bgzf::END[..4] && tail[10..] == bgzf::END[10..])
}
