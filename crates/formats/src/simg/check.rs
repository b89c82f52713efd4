//! Checks the structure, and the checksums where there are any.

use super::layout::{CRC, Chunk, Header};
use super::read::{Content, Parsed, parse};
use crate::blocks::Findings;
use tintype_codec::checksum::Crc32;
use tintype_core::{Error, Finding, OpenRequest, Result};
use zerocopy::FromBytes;

/// Bytes that are read at once.
const STEP: u64 = 1 << 20;

pub(super) fn check(request: &OpenRequest) -> Result<Vec<Finding>> {
    // Everything that can be wrong with chunks is an error of its own.
    let parsed = parse(request)?;
    let mut findings = Findings::new(&request.entry.name);
    let file = parsed.host.source.len();
    if file > parsed.end {
        findings.warning(format!("{} bytes after the last chunk belong to nothing", file - parsed.end), parsed.end);
    }
    if parsed.checksums > 0 {
        checksums(request, &parsed, &mut findings)?;
    }
    Ok(findings.finish())
}

/// Compares every checksum chunk with the bytes of the disk in front of it.
fn checksums(request: &OpenRequest, parsed: &Parsed, findings: &mut Findings) -> Result<()> {
    let source = &*parsed.host.source;
    let mut head = [0; Header::LEN as usize];
    source.read_at(&mut head, 0)?;
    let header = Header::read_from_bytes(&head).map_err(|_| Error::corrupt("the header is too short"))?;
    let (mut sum, mut done, mut end) = (Crc32::new(), 0, 0u64);
    let mut at = u64::from(header.header_size.get());
    for _ in 0..header.chunks.get() {
        let mut chunk = [0; Chunk::LEN as usize];
        source.read_at(&mut chunk, at)?;
        let chunk = Chunk::read_from_bytes(&chunk).map_err(|_| Error::corrupt("a chunk is too short"))?;
        if chunk.kind.get() != CRC {
            end += u64::from(chunk.blocks.get()) * parsed.block;
        } else {
            add(&mut sum, parsed, done, end, request)?;
            done = end;
            let mut stored = [0; 4];
            source.read_at(&mut stored, at + u64::from(header.chunk_header_size.get()))?;
            if u32::from_le_bytes(stored) != sum.value() {
                let what = || format!("the checksum of the first {end} bytes does not match");
                findings.each("checksums that do not match", what, at, Some((0, end)));
            }
        }
        at += u64::from(chunk.total_size.get());
    }
    Ok(())
}

/// Adds the bytes of the disk from `from` to `to` to a checksum; those that are not in the file cost nothing, however many they are.
fn add(sum: &mut Crc32, parsed: &Parsed, from: u64, to: u64, request: &OpenRequest) -> Result<()> {
    let mut bytes = vec![0; STEP as usize];
    let mut at = from;
    while at < to {
        if request.watch.cancelled() {
            return Err(Error::cancelled());
        }
        let (piece, start) = parsed.piece_at(at)?;
        let end = piece.end.min(to);
        match piece.content {
            // Blocks are whole words.
            Content::Fill(word, _) => sum.repeat(&word, (end - at) / 4),
            Content::Skip => sum.repeat(&[0; 4], (end - at) / 4),
            Content::Raw(place) => {
                let now = &mut bytes[..STEP.min(end - at) as usize];
                parsed.host.source.read_at(now, place + (at - start))?;
                sum.update(now);
                at += now.len() as u64;
                continue;
            }
        }
        at = end;
    }
    Ok(())
}
