//! All blocks of a file, found without decoding.

use super::{BlockDecoder, BlockHeader, Check, parse_number, parse_stream_footer, parse_stream_header};
use crate::checksum::crc32;
use crate::error::{Error, Result};
use crate::stream::Input;

/// Bytes decoded at a time: they stay in the processor's cache until they are copied.
const PIECE: usize = 64 << 10;

/// One block: where it is, and what it becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Where it starts in the compressed file.
    pub in_offset: u64,
    /// Its length there without padding: header, data and check.
    pub unpadded_len: u64,
    /// Where its content starts in the output.
    pub out_offset: u64,
    /// The length of its content.
    pub len: u64,
    check: u8,
}

/// All blocks of all streams of a file, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    /// The blocks, gapless in the output; those without content are left out.
    pub blocks: Vec<Block>,
    /// The length of the whole output.
    pub len: u64,
}

impl Index {
    /// Reads the indexes of all streams of a file of `file_len` bytes, the last first.
    ///
    /// [`Error::TooLarge`] when the file has more than `max_blocks`.
    pub fn read(input: &mut dyn Input, file_len: u64, max_blocks: usize) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut end = file_len;
        if end == 0 {
            return Err(Error::Truncated);
        }
        while end > 0 {
            end = skip_padding(input, end)?;
            end = read_stream(input, end, max_blocks, &mut blocks)?;
        }
        // Streams and, within them, blocks were gathered backwards.
        blocks.reverse();
        let mut len = 0_u64;
        for block in &mut blocks {
            block.out_offset = len;
            len = len.checked_add(block.len).ok_or(Error::corrupt("xz: the index claims too much"))?;
        }
        Ok(Self { blocks, len })
    }

    /// The block that holds the byte at this offset of the output.
    pub fn find(&self, out_offset: u64) -> Option<&Block> {
        let after = self.blocks.partition_point(|block| block.out_offset <= out_offset);
        self.blocks[..after].last().filter(|block| out_offset - block.out_offset < block.len)
    }
}

impl Block {
    /// Decodes the block into `out`, which must be exactly `len` bytes, and verifies its check.
    ///
    /// No more than `memory` bytes of history are kept. For blocks too large for one buffer resume a stream at the block instead
    /// ([`Block::checkpoint`]).
    pub fn decode(&self, input: &mut dyn Input, memory: u64, out: &mut [u8]) -> Result<()> {
        let check = Check(self.check);
        if out.len() as u64 != self.len {
            return Err(Error::too_large("xz: the buffer does not have the size of the block"));
        }
        let mut head = [0; BlockHeader::MAX];
        let header = BlockHeader::parse(read_up_to(input, self.in_offset, &mut head)?)?;
        let mut decoder = BlockDecoder::new(&header, self.len, memory)?;
        let data_len = self.unpadded_len.checked_sub((header.len + check.len()) as u64);
        let data_len = data_len.ok_or(Error::corrupt("xz: block shorter than its header"))?;
        let wrong_end = || Error::corrupt("xz: block does not end where it should");
        // What was fetched of the data and is not used yet lies in `fetched[from..to]`.
        let mut fetched = vec![0; (2 * BlockDecoder::ENOUGH_INPUT).min(data_len.min(1 << 20) as usize)];
        let (mut from, mut to) = (0, 0);
        let (mut pos, mut written) = (0, 0);
        loop {
            let at = self.in_offset + header.len as u64 + pos + (to - from) as u64;
            let left = data_len - pos - (to - from) as u64;
            if to - from < BlockDecoder::ENOUGH_INPUT && left > 0 {
                fetched.copy_within(from..to, 0);
                (from, to) = (0, to - from);
                let n = left.min((fetched.len() - to) as u64) as usize;
                let got = read_up_to(input, at, &mut fetched[to..to + n])?.len();
                to += got;
                if got < n {
                    return Err(Error::Truncated);
                }
            }
            let step = decoder.step(&fetched[from..to], PIECE)?;
            from += step.consumed;
            pos += step.consumed as u64;
            let target = out.get_mut(written..written + step.written).ok_or_else(wrong_end)?;
            target.copy_from_slice(decoder.tail(step.written));
            written += step.written;
            if step.ended {
                break;
            }
            if step.consumed == 0 && step.written == 0 {
                return Err(wrong_end());
            }
        }
        let mut stored = [0; 64];
        let padded = pos.next_multiple_of(4);
        let stored = read_up_to(input, self.in_offset + header.len as u64 + padded, &mut stored[..check.len()])?;
        let mut running = check.start();
        running.update(out);
        if pos != data_len || written != out.len() {
            return Err(wrong_end());
        }
        if !running.matches(stored) {
            return Err(Error::corrupt("xz: check of a block does not match"));
        }
        Ok(())
    }

    /// Whether the block has a check that [`decode`](Self::decode) verifies.
    pub fn is_checked(&self) -> bool {
        Check(self.check).is_known()
    }

    /// The place for [`resume`](crate::stream::resume) to decode a stream from this block on.
    pub fn checkpoint(&self) -> crate::stream::Checkpoint {
        crate::stream::Checkpoint {
            in_offset: self.in_offset,
            in_bits: 0,
            out_offset: self.out_offset,
            window: crate::stream::Window::default(),
            extra: vec![self.check],
        }
    }
}

/// Where the stream ends before whose padding `end` lies.
fn skip_padding(input: &mut dyn Input, mut end: u64) -> Result<u64> {
    let mut buf = [0; 4096];
    loop {
        let n = end.min(buf.len() as u64);
        let bytes = read_exact(input, end - n, &mut buf[..n as usize])?;
        let zeros = bytes.iter().rev().take_while(|b| **b == 0).count() as u64;
        end -= zeros;
        if zeros < n {
            // A footer ends in letters, so padding is exactly the zeros.
            return Ok(end);
        }
        if end == 0 {
            return Err(Error::corrupt("xz: nothing but padding"));
        }
    }
}

/// Adds the blocks of the stream that ends at `end`, the last first; returns where the stream starts.
fn read_stream(input: &mut dyn Input, end: u64, max_blocks: usize, blocks: &mut Vec<Block>) -> Result<u64> {
    let inconsistent = || Error::corrupt("xz: index does not fit the file");
    let footer_at = end.checked_sub(12).ok_or(Error::Truncated)?;
    let mut twelve = [0; 12];
    read_exact(input, footer_at, &mut twelve)?;
    let (check, index_len) = parse_stream_footer(&twelve)?;
    let index_at = footer_at.checked_sub(index_len).ok_or_else(inconsistent)?;
    let records = read_index(input, index_at, index_len, max_blocks.saturating_sub(blocks.len()))?;
    let mut block_end = index_at;
    for (unpadded_len, len) in records.into_iter().rev() {
        let padded = unpadded_len.checked_next_multiple_of(4).ok_or_else(inconsistent)?;
        let in_offset = block_end.checked_sub(padded).ok_or_else(inconsistent)?;
        block_end = in_offset;
        if len > 0 {
            blocks.push(Block { in_offset, unpadded_len, out_offset: 0, len, check: check.0 });
        }
    }
    let start = block_end.checked_sub(12).ok_or_else(inconsistent)?;
    read_exact(input, start, &mut twelve)?;
    if parse_stream_header(&twelve)? != check {
        return Err(Error::corrupt("xz: stream header and footer disagree"));
    }
    Ok(start)
}

fn read_index(input: &mut dyn Input, at: u64, len: u64, max_blocks: usize) -> Result<Vec<(u64, u64)>> {
    // A record has two numbers of at most nine bytes; a longer index holds more blocks than allowed.
    let longest = (max_blocks as u64).saturating_mul(18).saturating_add(32);
    if len > longest {
        return Err(Error::too_large("xz: more blocks than allowed"));
    }
    let mut bytes = Vec::new();
    let mut buf = [0; 4096];
    while (bytes.len() as u64) < len {
        // In pieces, so that memory grows with what is really there.
        let n = (len - bytes.len() as u64).min(buf.len() as u64) as usize;
        bytes.extend_from_slice(read_exact(input, at + bytes.len() as u64, &mut buf[..n])?);
    }
    let (body, crc) = bytes.split_last_chunk().ok_or(Error::Truncated)?;
    if u32::from_le_bytes(*crc) != crc32(body) {
        return Err(Error::corrupt("xz: index's checksum does not match"));
    }
    let [0, rest @ ..] = body else { return Err(Error::corrupt("xz: no index")) };
    let (count, mut rest) = parse_number(rest)?;
    if count > max_blocks as u64 {
        return Err(Error::too_large("xz: more blocks than allowed"));
    }
    let mut records = Vec::new();
    for _ in 0..count {
        let (unpadded, tail) = parse_number(rest)?;
        let (len, tail) = parse_number(tail)?;
        if unpadded < 5 {
            return Err(Error::corrupt("xz: impossible block in the index"));
        }
        records.push((unpadded, len));
        rest = tail;
    }
    if rest.len() > 3 || rest.iter().any(|b| *b != 0) {
        return Err(Error::corrupt("xz: something after the index"));
    }
    Ok(records)
}

fn read_exact<'b>(input: &mut dyn Input, offset: u64, buf: &'b mut [u8]) -> Result<&'b [u8]> {
    let len = buf.len();
    let got = read_up_to(input, offset, buf)?;
    if got.len() == len { Ok(got) } else { Err(Error::Truncated) }
}

fn read_up_to<'b>(input: &mut dyn Input, offset: u64, buf: &'b mut [u8]) -> Result<&'b [u8]> {
    let mut filled = 0;
    while filled < buf.len() {
        match input.read_at(&mut buf[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n.min(buf.len() - filled),
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::Io(e)),
        }
    }
    Ok(&buf[..filled])
}
