//! The archive: POSIX's ustar, with what GNU and pax have added for long names and large files.

use std::collections::BTreeMap;
use tintype_core::{Error, Limits, Result, Source};

pub(super) const BLOCK: u64 = 512;
/// Longest name or attribute that is read.
const LONGEST: u64 = 64 << 10;
/// Most bytes that the names of all files have together.
const NAMES: usize = 16 << 20;

/// A file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) len: u64,
}

/// The name of the first file of an archive that begins with `head`; none if that is no archive.
pub(super) fn first_name(head: &[u8]) -> Option<String> {
    let header: &[u8; BLOCK as usize] = head.first_chunk()?;
    sound(header).then(|| name(header))
}

/// Every file in the archive. A name that comes twice is that of the last file of it.
pub(super) fn members(archive: &dyn Source, limits: &Limits) -> Result<Vec<Member>> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    let mut list: Vec<Member> = Vec::new();
    let mut next = Next::default();
    let mut at = 0;
    let mut headers = 0u64;
    let mut names = 0;
    while at + BLOCK <= archive.len() {
        let mut header = [0; BLOCK as usize];
        archive.read_at(&mut header, at)?;
        if header.iter().all(|b| *b == 0) {
            return Ok(list);
        }
        let wrong = |what: &str| Error::corrupt(format!("tar: {what}")).at(at);
        if !sound(&header) {
            return Err(wrong("a header is damaged"));
        }
        headers += 1;
        if headers > 3 * u64::from(limits.files) {
            return Err(Error::limit(format!("tar: more than {} files", limits.files)).at(at));
        }
        let len = next.len.unwrap_or(number(&header[124..136]).ok_or_else(|| wrong("a length is no number"))?);
        let offset = at + BLOCK;
        let end = offset.checked_add(len).filter(|end| *end <= archive.len());
        let end = end.ok_or_else(|| wrong("a file leaves the archive: it was cut off"))?;
        let text = || -> Result<Vec<u8>> {
            if len > LONGEST {
                return Err(Error::limit(format!("tar: an attribute of {len} bytes")).at(at));
            }
            let mut bytes = vec![0; len as usize];
            archive.read_at(&mut bytes, offset)?;
            Ok(bytes)
        };
        match header[156] {
            b'L' => next.name = Some(until_nul(&text()?)),
            b'x' => {
                next.take(&text()?);
                if next.sparse {
                    return Err(sparse(at));
                }
            }
            // Attributes of all that follows, and long names of links, say nothing about where bytes are.
            b'g' | b'K' => {}
            b'0' | 0 | b'7' => {
                let name = next.name.take().unwrap_or_else(|| name(&header));
                let name = name.strip_prefix("./").unwrap_or(&name).to_owned();
                next = Next::default();
                names += name.len();
                if names > NAMES {
                    return Err(Error::limit(format!("tar: the names of files have more than {NAMES} bytes")).at(at));
                }
                let member = Member { name: name.clone(), offset, len };
                match found.get(&name) {
                    Some(&i) => list[i] = member,
                    None => {
                        found.insert(name, list.len());
                        list.push(member);
                    }
                }
            }
            b'S' => return Err(sparse(at)),
            _ => next = Next::default(),
        }
        at = end.next_multiple_of(BLOCK);
    }
    // Nothing says that this is the end, but everything that was begun is here.
    Ok(list)
}

fn sparse(at: u64) -> Error {
    Error::unsupported("tar: a sparse file").at(at)
}

/// What was said about the next file before its header.
#[derive(Default)]
struct Next {
    name: Option<String>,
    len: Option<u64>,
    // Its holes are left out, and a map in front of its bytes or in its attributes tells where they were.
    sparse: bool,
}

impl Next {
    /// Attributes of pax: `LENGTH KEY=VALUE` and a new line.
    fn take(&mut self, mut bytes: &[u8]) {
        while let Some(space) = bytes.iter().position(|b| *b == b' ') {
            let len = std::str::from_utf8(&bytes[..space]).ok().and_then(|t| t.parse::<usize>().ok());
            let Some(record) = len.and_then(|len| bytes.get(space + 1..len)) else { return };
            if let Some(equals) = record.iter().position(|b| *b == b'=') {
                let value = String::from_utf8_lossy(&record[equals + 1..]).trim_end_matches('\n').to_owned();
                match &record[..equals] {
                    b"path" => self.name = Some(value),
                    key if key.starts_with(b"GNU.sparse.") => self.sparse = true,
                    b"size" => self.len = value.parse().ok(),
                    _ => {}
                }
            }
            bytes = &bytes[len.unwrap_or(bytes.len())..];
        }
    }
}

fn sound(header: &[u8; BLOCK as usize]) -> bool {
    let stored = number(&header[148..156]);
    stored == Some(u64::from(sum(header)))
}

/// The sum of all bytes, those of the sum itself counted as blanks.
fn sum(header: &[u8; BLOCK as usize]) -> u32 {
    let blank = 8 * u32::from(b' ');
    header.iter().enumerate().map(|(i, b)| if (148..156).contains(&i) { 0 } else { u32::from(*b) }).sum::<u32>() + blank
}

/// A number: octal digits, or base 256 after a byte with the top bit set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        let digits = field.iter().enumerate().map(|(i, b)| if i == 0 { b & 0x7f } else { *b });
        return digits.into_iter().try_fold(0u64, |n, b| n.checked_mul(256)?.checked_add(u64::from(b)));
    }
    let text = std::str::from_utf8(field).ok()?;
    let text = text.trim_matches(['\0', ' ']);
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn name(header: &[u8; BLOCK as usize]) -> String {
    let own = until_nul(&header[..100]);
    let prefix = until_nul(&header[345..500]);
    match header[257..262] == *b"ustar" && header[262] == 0 && !prefix.is_empty() {
        true => format!("{prefix}/{own}"),
        false => own,
    }
}

fn until_nul(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned()
}

/// The header of a file that we write. `Usage` for a name that does not fit.
pub(super) fn header(name: &str, len: u64, seconds: u64) -> Result<[u8; BLOCK as usize]> {
    if name.len() > 100 {
        return Err(Error::usage(format!("{name}: a name in an OVA has at most 100 bytes")));
    }
    let mut header = [0; BLOCK as usize];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    // The owner that VMware's tools give.
    put(108, b"0000100\0");
    put(116, b"0000100\0");
    if len < 8 << 30 {
        put(124, format!("{len:011o}").as_bytes());
    } else {
        // Larger than POSIX knows; everybody reads it the way of GNU.
        put(124, &[0x80]);
        put(128, &len.to_be_bytes());
    }
    put(136, format!("{seconds:011o}").as_bytes());
    put(156, b"0");
    put(257, b"ustar\0");
    put(263, b"00");
    put(265, b"someone");
    put(297, b"someone");
    let sum = format!("{:06o}\0 ", sum(&header));
    header[148..156].copy_from_slice(sum.as_bytes());
    Ok(header)
}
