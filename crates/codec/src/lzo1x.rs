//! Decoder of LZO1X blocks, as every LZO1X encoder (-1, -1(15), -999) writes them.
//!
//! Written from the description of the stream format in the Linux kernel's documentation (`staging/lzo.rst`).

use crate::error::{Error, Result};

/// Decodes one whole block into the start of `dst`; returns how many bytes there were.
///
/// [`Error::TooLarge`] when they do not fit.
pub fn decode(src: &[u8], dst: &mut [u8]) -> Result<usize> {
    let mut block = Block { src, pos: 0, dst, out: 0 };
    block.run()?;
    Ok(block.out)
}

struct Block<'a> {
    src: &'a [u8],
    pos: usize,
    dst: &'a mut [u8],
    out: usize,
}

/// How many literals the previous instruction ended with; after a long run the short instructions mean something else.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    Literals(usize),
    LongRun,
}

impl Block<'_> {
    fn run(&mut self) -> Result<()> {
        let first = *self.src.first().ok_or(Error::Truncated)?;
        let mut before = Before::Literals(0);
        if first > 17 {
            self.pos = 1;
            let len = usize::from(first) - 17;
            self.literals(len)?;
            before = if len < 4 { Before::Literals(len) } else { Before::LongRun };
        }
        loop {
            let op = self.byte()?;
            let bits = usize::from(op);
            let (distance, len, literals) = match op {
                0..16 if before == Before::Literals(0) => {
                    let len = 3 + self.len(bits, 15)?;
                    self.literals(len)?;
                    before = Before::LongRun;
                    continue;
                }
                0..16 => {
                    let high = usize::from(self.byte()?) << 2;
                    let near = high + (bits >> 2) + 1;
                    if before == Before::LongRun { (near + 2048, 3, bits & 3) } else { (near, 2, bits & 3) }
                }
                16..32 => {
                    let len = 2 + self.len(bits & 7, 7)?;
                    let low = self.word()?;
                    let distance = ((bits & 8) << 11) + (low >> 2);
                    if distance == 0 {
                        // The end mark is a copy of three bytes from the impossible distance; it closes the block.
                        return if len == 3 && self.pos == self.src.len() {
                            Ok(())
                        } else {
                            Err(Error::corrupt("lzo: the end is not at the end"))
                        };
                    }
                    (distance + 16384, len, low & 3)
                }
                32..64 => {
                    let len = 2 + self.len(bits & 31, 31)?;
                    let low = self.word()?;
                    ((low >> 2) + 1, len, low & 3)
                }
                64..=255 => {
                    let len = if op < 128 { 3 + ((bits >> 5) & 1) } else { 5 + ((bits >> 5) & 3) };
                    ((usize::from(self.byte()?) << 3) + ((bits >> 2) & 7) + 1, len, bits & 3)
                }
            };
            self.copy(distance, len)?;
            self.literals(literals)?;
            before = Before::Literals(literals);
        }
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.src.get(self.pos).ok_or(Error::Truncated)?;
        self.pos += 1;
        Ok(byte)
    }

    fn word(&mut self) -> Result<usize> {
        Ok(usize::from(self.byte()?) | usize::from(self.byte()?) << 8)
    }

    /// A length that is `short` unless that is 0; then it goes on from `most` in further bytes.
    fn len(&mut self, short: usize, most: usize) -> Result<usize> {
        if short != 0 {
            return Ok(short);
        }
        let mut len = most;
        loop {
            match self.byte()? {
                // Each zero took a byte of input, so the sum stays far from overflowing.
                0 => len += 255,
                last => return Ok(len + usize::from(last)),
            }
        }
    }

    fn literals(&mut self, len: usize) -> Result<()> {
        let from = self.src.get(self.pos..).and_then(|rest| rest.get(..len)).ok_or(Error::Truncated)?;
        let to = self.dst[self.out..].get_mut(..len).ok_or(too_large())?;
        to.copy_from_slice(from);
        self.pos += len;
        self.out += len;
        Ok(())
    }

    fn copy(&mut self, distance: usize, len: usize) -> Result<()> {
        if distance > self.out {
            return Err(Error::corrupt("lzo: distance reaches before the start"));
        }
        if len > self.dst.len() - self.out {
            return Err(too_large());
        }
        let from = self.out - distance;
        if distance >= len {
            self.dst.copy_within(from..from + len, self.out);
        } else {
            let span = &mut self.dst[from..self.out + len];
            for at in distance..span.len() {
                span[at] = span[at - distance];
            }
        }
        self.out += len;
        Ok(())
    }
}

fn too_large() -> Error {
    Error::too_large("the output does not fit its buffer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_matches_and_the_end() {
        // "ab" (first byte 17 + 2), then a near copy of 3 from distance 2, then the end.
        let src = [19, b'a', b'b', 0x40 | 1 << 2, 0, 0x11, 0, 0];
        let mut dst = [0; 16];
        assert_eq!(decode(&src, &mut dst).unwrap(), 5);
        assert_eq!(&dst[..5], b"ababa");
        assert!(matches!(decode(&src, &mut dst[..4]), Err(Error::TooLarge(_))));
        for end in 0..src.len() {
            assert!(decode(&src[..end], &mut dst).is_err());
        }
        assert!(decode(&[0x40, 0, 0x11, 0, 0], &mut dst).is_err());
    }
}
