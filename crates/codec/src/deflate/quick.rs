//! A deflate encoder for speed: independent chunks, one probe for every place, and a code of its own for every block.

mod block;
mod codes;
#[cfg(test)]
mod tests;
mod tokens;

use super::Wrap;
use crate::checksum::adler32;
use block::Writer;
use tokens::{BLOCK, Parser};

/// A reusable encoder. What it writes depends on the plain bytes alone.
pub(super) struct Encoder {
    parser: Parser,
    writer: Writer,
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { parser: Parser::new(), writer: Writer::new() }
    }

    /// Appends at most `max_len` bytes, or nothing at all.
    pub(super) fn encode(&mut self, wrap: Wrap, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Option<usize> {
        let start = out.len();
        let (header, trailer): (&[u8], usize) = match wrap {
            Wrap::Raw => (&[], 0),
            // A window of 32 KiB, the fastest level.
            Wrap::Zlib => (&[0x78, 0x01], 4),
        };
        let max_blocks = max_len.checked_sub(header.len() + trailer)?;
        out.extend_from_slice(header);
        if self.blocks(plain, max_blocks, out).is_none() {
            out.truncate(start);
            return None;
        }
        if matches!(wrap, Wrap::Zlib) {
            out.extend_from_slice(&adler32(plain).to_be_bytes());
        }
        Some(out.len() - start)
    }

    fn blocks(&mut self, plain: &[u8], max_len: usize, out: &mut Vec<u8>) -> Option<()> {
        self.writer.start(out.len(), max_len);
        self.parser.start();
        let mut at = 0;
        loop {
            let end = plain.len().min(at + BLOCK);
            let tokens = self.parser.parse(plain, at..end);
            self.writer.block(tokens, &plain[at..end], end == plain.len(), out)?;
            at = end;
            if at == plain.len() {
                break;
            }
        }
        self.writer.end(out);
        Some(())
    }
}
