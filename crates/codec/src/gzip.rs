//! The header of a gzip member (RFC 1952).

use crate::checksum::crc32;
use crate::error::{Error, Result};

/// A parsed member header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its length; compressed data follows.
    pub len: usize,
    /// Seconds since 1970, 0 when unknown.
    pub mtime: u32,
    /// The extra field's content, a list of subfields.
    pub extra: Option<Vec<u8>>,
    /// The original file's name, in the encoding of its time.
    pub name: Option<Vec<u8>>,
    /// The comment.
    pub comment: Option<Vec<u8>>,
}

impl Header {
    /// The content of the extra subfield with this identifier.
    pub fn subfield(&self, id: [u8; 2]) -> Option<&[u8]> {
        let mut rest = self.extra.as_deref()?;
        while let [a, b, low, high, tail @ ..] = rest {
            let len = usize::from(u16::from_le_bytes([*low, *high]));
            let content = tail.get(..len)?;
            if [*a, *b] == id {
                return Some(content);
            }
            rest = &tail[len..];
        }
        None
    }
}

/// The member header at the start of `bytes`.
///
/// [`Error::Truncated`] when it does not end within them.
pub fn parse_header(bytes: &[u8]) -> Result<Header> {
    const HEADER_CRC: u8 = 2;
    const EXTRA: u8 = 4;
    const NAME: u8 = 8;
    const COMMENT: u8 = 16;
    let Some([magic0, magic1, method, flags, mtime @ ..]) = bytes.first_chunk::<8>() else {
        return Err(if bytes.starts_with(&[0x1f, 0x8b]) || bytes.len() < 2 {
            Error::Truncated
        } else {
            Error::corrupt("gzip: not a member")
        });
    };
    if [*magic0, *magic1] != [0x1f, 0x8b] {
        return Err(Error::corrupt("gzip: not a member"));
    }
    if *method != 8 || flags & 0xe0 != 0 {
        return Err(Error::unsupported("gzip: unknown method or flags"));
    }
    let mut len = 10;
    let extra = if flags & EXTRA != 0 {
        let size: &[u8; 2] = bytes.get(len..).and_then(<[u8]>::first_chunk).ok_or(Error::Truncated)?;
        let size = usize::from(u16::from_le_bytes(*size));
        let extra = bytes.get(len + 2..len + 2 + size).ok_or(Error::Truncated)?;
        len += 2 + size;
        Some(extra.to_vec())
    } else {
        None
    };
    let mut text = |present: bool| -> Result<Option<Vec<u8>>> {
        if !present {
            return Ok(None);
        }
        let rest = bytes.get(len..).ok_or(Error::Truncated)?;
        let end = rest.iter().position(|b| *b == 0).ok_or(Error::Truncated)?;
        len += end + 1;
        Ok(Some(rest[..end].to_vec()))
    };
    let name = text(flags & NAME != 0)?;
    let comment = text(flags & COMMENT != 0)?;
    if flags & HEADER_CRC != 0 {
        let stored: &[u8; 2] = bytes.get(len..).and_then(<[u8]>::first_chunk).ok_or(Error::Truncated)?;
        if u16::from_le_bytes(*stored) != crc32(&bytes[..len]) as u16 {
            return Err(Error::corrupt("gzip: header checksum does not match"));
        }
        len += 2;
    }
    if bytes.len() < len {
        return Err(Error::Truncated);
    }
    Ok(Header { len, mtime: u32::from_le_bytes(*mtime), extra, name, comment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_found() {
        let mut bytes = vec![0x1f, 0x8b, 8, 2 | 4 | 8 | 16, 1, 0, 0, 0, 0, 255];
        bytes.extend_from_slice(&[10, 0, b'x', b'y', 0, 0, b'B', b'C', 2, 0, 7, 9]);
        bytes.extend_from_slice(b"name\0comment\0");
        let crc = crc32(&bytes) as u16;
        bytes.extend_from_slice(&crc.to_le_bytes());
        let header = parse_header(&[&bytes[..], b"data"].concat()).unwrap();
        assert_eq!(header.len, bytes.len());
        assert_eq!(header.mtime, 1);
        assert_eq!(header.name.as_deref(), Some(&b"name"[..]));
        assert_eq!(header.comment.as_deref(), Some(&b"comment"[..]));
        assert_eq!(header.subfield(*b"BC"), Some(&[7, 9][..]));
        assert_eq!(header.subfield(*b"zz"), None);
        for end in 0..bytes.len() {
            assert!(matches!(parse_header(&bytes[..end]), Err(Error::Truncated)), "{end}");
        }
        bytes[20] ^= 1;
        assert!(matches!(parse_header(&bytes), Err(Error::Corrupt(_))));
    }
}
