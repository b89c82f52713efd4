//! The archive's directory, and the local header of its only file. From PKWARE's APPNOTE, sections 4.3 and 4.5.

use tintype_core::{Error, Limits, Result, Source};

/// The end record, without the comment of up to 65,535 bytes that may follow it.
const END: usize = 22;
/// The place of the 64-bit end record stands in so many bytes before the end record.
const LOCATOR: u64 = 20;
const END64: usize = 56;
const ENTRY: usize = 46;
const LOCAL: usize = 30;
const ENCRYPTED: u16 = 1;
const DESCRIPTOR: u16 = 8;

/// The only file of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Only {
    pub name: String,
    pub method: u16,
    pub crc32: u32,
    pub packed_len: u64,
    pub len: u64,
    /// Where its data begins.
    pub data: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u16::from_le_bytes(*b))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u32::from_le_bytes(*b))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |b| u64::from_le_bytes(*b))
}

fn read(source: &dyn Source, at: u64, len: usize, what: &str) -> Result<Vec<u8>> {
    if at.checked_add(len as u64).is_none_or(|end| end > source.len()) {
        return Err(Error::corrupt(format!("zip: {what} leaves the file")).at(at));
    }
    let mut bytes = vec![0; len];
    source.read_at(&mut bytes, at)?;
    Ok(bytes)
}

struct Directory {
    at: u64,
    len: u64,
    entries: u64,
    /// Bytes that stand before the archive, which its offsets do not count.
    shift: u64,
}

/// Finds the only file of the archive; `Unsupported` names what is there instead.
pub(super) fn only(source: &dyn Source, limits: &Limits) -> Result<Only> {
    let directory = directory(source)?;
    let len = limits.allocate("the directory of the zip archive", directory.len.max(1))?.min(directory.len as usize);
    let bytes = read(source, directory.at, len, "the directory")?;
    let mut files = Vec::new();
    let mut rest = &bytes[..];
    for _ in 0..directory.entries {
        let corrupt = |what: &str| Error::corrupt(format!("zip: {what}")).at(directory.at);
        if rest.len() < ENTRY || u32_at(rest, 0) != 0x0201_4b50 {
            return Err(corrupt("the directory has fewer entries than the end record says"));
        }
        let [name, extra, comment] = [28, 30, 32].map(|at| usize::from(u16_at(rest, at)));
        let all = ENTRY + name + extra + comment;
        if rest.len() < all {
            return Err(corrupt("an entry leaves the directory"));
        }
        let entry = &rest[..all];
        rest = &rest[all..];
        let name_bytes = &entry[ENTRY..ENTRY + name];
        if name_bytes.ends_with(b"/") {
            continue;
        }
        files.push((entry, name_bytes, &entry[ENTRY + name..ENTRY + name + extra]));
        if files.len() > 4 {
            break;
        }
    }
    if files.len() <= 1 && !rest.is_empty() {
        return Err(Error::corrupt("zip: the directory has more entries than the end record says").at(directory.at));
    }
    let [(entry, name, extra)] = files[..] else {
        let names: Vec<_> = files.iter().map(|(_, name, _)| String::from_utf8_lossy(name)).collect();
        let found = if names.is_empty() { "no file".to_owned() } else { format!("{} ...", names.join(", ")) };
        return Err(Error::unsupported(format!("a zip archive has to hold one file to be an image; it holds {found}")));
    };
    local(source, entry, name, extra, directory.shift)
}

fn directory(source: &dyn Source) -> Result<Directory> {
    let len = source.len();
    let tail_len = len.min((END + 0xffff) as u64) as usize;
    let tail = read(source, len - tail_len as u64, tail_len, "the end record")?;
    let end = (0..tail.len().saturating_sub(END - 1))
        .rev()
        .find(|at| u32_at(&tail, *at) == 0x0605_4b50 && at + END + usize::from(u16_at(&tail, at + 20)) <= tail.len())
        .ok_or_else(|| Error::corrupt("zip: the end record is missing; the file may have been cut off").at(len))?;
    let end_at = len - tail_len as u64 + end as u64;
    let end = &tail[end..];
    let (mut entries, mut size, mut at) =
        (u64::from(u16_at(end, 10)), u64::from(u32_at(end, 12)), u64::from(u32_at(end, 16)));
    let (mut disk, mut ends_at) = (u32::from(u16_at(end, 4)), end_at);
    if let Some(locator_at) = end_at.checked_sub(LOCATOR) {
        let locator = read(source, locator_at, LOCATOR as usize, "the end record")?;
        if u32_at(&locator, 0) == 0x0706_4b50 {
            let at64 = u64_at(&locator, 8);
            let end64 = read(source, at64, END64, "the 64-bit end record")?;
            if u32_at(&end64, 0) != 0x0606_4b50 {
                return Err(Error::corrupt("zip: there is no 64-bit end record where there should be one").at(at64));
            }
            (disk, ends_at) = (u32_at(&end64, 16), at64);
            (entries, size, at) = (u64_at(&end64, 32), u64_at(&end64, 40), u64_at(&end64, 48));
        }
    }
    if disk != 0 {
        return Err(Error::unsupported("a zip archive in several volumes"));
    }
    let shift = at
        .checked_add(size)
        .and_then(|end| ends_at.checked_sub(end))
        .ok_or_else(|| Error::corrupt("zip: the directory leaves the file").at(end_at))?;
    Ok(Directory { at: at + shift, len: size, entries, shift })
}

/// Holds the directory's entry against the local header.
fn local(source: &dyn Source, entry: &[u8], name: &[u8], extra: &[u8], shift: u64) -> Result<Only> {
    let shown = String::from_utf8_lossy(name).into_owned();
    let (flags, method, crc32) = (u16_at(entry, 8), u16_at(entry, 10), u32_at(entry, 16));
    if flags & ENCRYPTED != 0 {
        return Err(Error::unsupported(format!("{shown} is encrypted in its zip archive")));
    }
    let mut wide = wide_fields(extra);
    let mut number = |narrow: u32| if narrow == u32::MAX { wide.next().unwrap_or(u64::MAX) } else { narrow.into() };
    let len = number(u32_at(entry, 24));
    let packed_len = number(u32_at(entry, 20));
    let offset = number(u32_at(entry, 42));
    let at = offset.saturating_add(shift);
    let header = read(source, at, LOCAL, "the file's header")?;
    let differs = || Error::corrupt(format!("zip: the header of {shown} is not what the directory says")).at(at);
    let (name_len, extra_len) = (u16_at(&header, 26), u16_at(&header, 28));
    let names = read(source, at + LOCAL as u64, name_len.into(), "the file's name")?;
    if u32_at(&header, 0) != 0x0403_4b50 || u16_at(&header, 8) != method || names != name {
        return Err(differs());
    }
    let local_flags = u16_at(&header, 6);
    if local_flags & ENCRYPTED != 0 {
        return Err(differs());
    }
    if local_flags & DESCRIPTOR == 0 {
        let same = |narrow: u32, known: u64| narrow == u32::MAX || u64::from(narrow) == known;
        if u32_at(&header, 14) != crc32 || !same(u32_at(&header, 18), packed_len) || !same(u32_at(&header, 22), len) {
            return Err(differs());
        }
    }
    let data = at + (LOCAL as u64) + u64::from(name_len) + u64::from(extra_len);
    if data.checked_add(packed_len).is_none_or(|end| end > source.len()) {
        return Err(
            Error::corrupt(format!("zip: the data of {shown} leaves the file; it may have been cut off")).at(data)
        );
    }
    Ok(Only { name: shown, method, crc32, packed_len, len, data })
}

/// The numbers of the 64-bit extra field, in order.
fn wide_fields(mut extra: &[u8]) -> std::vec::IntoIter<u64> {
    while extra.len() >= 4 {
        let (id, len) = (u16_at(extra, 0), usize::from(u16_at(extra, 2)));
        let Some(field) = extra.get(4..4 + len) else { break };
        if id == 1 {
            return field.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b)).collect::<Vec<_>>().into_iter();
        }
        extra = &extra[4 + len..];
    }
    Vec::new().into_iter()
}
