//! The small sections near the end of an image: digests, unreadable ranges, tracks.

use super::layout::{Digest, ErrorEntry, Errors, Hash, Sealed, SessionEntry, Sessions};
use super::scan::{Scan, Section, Weight};
use tintype_codec::checksum::adler32;
use tintype_core::{Error, Limits, Result};
use zerocopy::FromBytes;

/// Most ranges of an error table that are kept.
const MOST_ERRORS: u64 = 1 << 22;
/// Most tracks that are kept; a disc has 99.
const MOST_TRACKS: usize = 100;

impl Scan {
    pub(super) fn hash(&mut self, section: &Section<'_>) -> Result<()> {
        match Hash::parse(&section.head(size_of::<Hash>() as u64)?).filter(Sealed::intact) {
            Some(hash) if hash.md5 != [0; 16] => self.md5 = Some(hash.md5),
            Some(_) => {}
            None => self.note(Weight::Damage, &section.file.name, section.at, "the hash section is damaged"),
        }
        Ok(())
    }

    pub(super) fn digest(&mut self, section: &Section<'_>) -> Result<()> {
        match Digest::parse(&section.head(size_of::<Digest>() as u64)?).filter(Sealed::intact) {
            Some(digest) => {
                if digest.md5 != [0; 16] {
                    self.md5.get_or_insert(digest.md5);
                }
                if digest.sha1 != [0; 20] {
                    self.sha1 = Some(digest.sha1);
                }
            }
            None => self.note(Weight::Damage, &section.file.name, section.at, "the digest section is damaged"),
        }
        Ok(())
    }

    pub(super) fn errors(&mut self, section: &Section<'_>, limits: &Limits) -> Result<()> {
        let head = size_of::<Errors>() as u64;
        let header = Errors::parse(&section.head(head)?).filter(Sealed::intact);
        let Some(list) = header.and_then(|h| list(section, head, h.entries.get(), size_of::<ErrorEntry>(), limits))
        else {
            self.note(Weight::Damage, &section.file.name, section.at, "the error table is damaged");
            return Ok(());
        };
        let list = list?;
        if (self.errors.len() + list.len() / size_of::<ErrorEntry>()) as u64 > MOST_ERRORS {
            return Err(Error::limit(format!("the error table has more than {MOST_ERRORS} ranges")));
        }
        for bytes in list.chunks_exact(size_of::<ErrorEntry>()) {
            if let Ok(entry) = ErrorEntry::read_from_bytes(bytes) {
                self.errors.push((entry.start.get(), entry.sectors.get()));
            }
        }
        Ok(())
    }

    pub(super) fn sessions(&mut self, section: &Section<'_>, limits: &Limits) -> Result<()> {
        let head = size_of::<Sessions>() as u64;
        let header = Sessions::parse(&section.head(head)?).filter(Sealed::intact);
        let Some(list) = header.and_then(|h| list(section, head, h.entries.get(), size_of::<SessionEntry>(), limits))
        else {
            self.note(Weight::Damage, &section.file.name, section.at, "the session table is damaged");
            return Ok(());
        };
        for bytes in list?.chunks_exact(size_of::<SessionEntry>()).take(MOST_TRACKS) {
            if let Ok(entry) = SessionEntry::read_from_bytes(bytes) {
                self.tracks.push((entry.flags.get(), entry.start.get()));
            }
        }
        Ok(())
    }
}

/// The entries after the head of a list section; none if they do not fit or their checksum does not match.
fn list(section: &Section<'_>, head: u64, count: u32, size: usize, limits: &Limits) -> Option<Result<Vec<u8>>> {
    let len = u64::from(count) * size as u64;
    if head + len + 4 > section.len() {
        return None;
    }
    let read = || -> Result<Vec<u8>> {
        let want = limits.allocate("a list of ranges", head + len + 4)?;
        let mut bytes = section.head(want as u64)?;
        bytes.drain(..head as usize);
        Ok(bytes)
    };
    match read() {
        Ok(mut bytes) => {
            let stored = bytes.split_off(len as usize);
            let stored: [u8; 4] = stored.try_into().ok()?;
            (u32::from_le_bytes(stored) == adler32(&bytes)).then_some(Ok(bytes))
        }
        Err(e) => Some(Err(e)),
    }
}

/// Bytes from their hex form.
pub(super) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut out = [0; N];
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}
