//! A deflate encoder: independent chunks, and a code of its own for every block. Matches are found with one probe for every place, for
//! speed; or near by, for readers that keep only 4 KiB.

mod block;
mod chains;
mod codes;
#[cfg(test)]
mod tests;
mod tokens;

use super::Wrap;
use crate::checksum::adler32;
use block::Writer;
use chains::Chains;
pub(super) use chains::Effort;
use std::ops::Range;
use tokens::{BLOCK, Parser, Tokens};

/// A reusable encoder. What it writes depends on the plain bytes alone.
pub(super) struct Encoder {
    parser: Finder,
    writer: Writer,
}

/// What finds matches.
enum Finder {
    /// One look for every place, 32 KiB back.
    Quick(Parser),
    /// Many, 4 KiB back.
    Near(Chains),
}

impl Finder {
    fn start(&mut self) {
        match self {
            Finder::Quick(parser) => parser.start(),
            Finder::Near(chains) => chains.start(),
        }
    }

    fn parse(&mut self, plain: &[u8], block: Range<usize>) -> &Tokens {
        match self {
            Finder::Quick(parser) => parser.parse(plain, block),
            Finder::Near(chains) => chains.parse(plain, block),
        }
    }
}

impl Encoder {
    pub(super) fn new() -> Self {
        Self { parser: Finder::Quick(Parser::new()), writer: Writer::new() }
    }

    /// One that refers at most 4 KiB back.
    pub(super) fn near(effort: Effort) -> Self {
        Self { parser: Finder::Near(Chains::new(effort)), writer: Writer::new() }
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
