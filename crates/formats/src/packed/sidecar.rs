//! Side-cars: what one pass over a stream found out, kept beside it.
//!
//! ```text
//!   "TINTYPE3" kind u8 | packed length u64, sample 32 B | length u64, foreign data at u64, spacing u64, checked u8 | count u32
//!   count x { in u64, bits u8, out u64, extra u16 + bytes, window u32, packed window u32 + bytes } | BLAKE3 of all before
//! ```
//!
//! All numbers are little-endian. A side-car that does not fit is no error: the pass is made again.

use super::points::GRAIN;
use tintype_codec::digest::{Algorithm, Hasher};
use tintype_codec::stream::{Checkpoint, Kind, Window};
use tintype_core::{Error, File, Outlet, PARTIAL, Result, Source};

const MAGIC: &[u8; 8] = b"TINTYPE3";
const DIGEST: usize = 32;
/// Bytes of a place besides its window and what else the format needs.
const FIELDS: usize = 8 + 1 + 8 + 2 + 4 + 4;
/// No side-car that was written here is longer.
const LONGEST: u64 = (GRAIN.packed + GRAIN.most * FIELDS + 1024) as u64;
/// Bytes read and written at once: windows come one by one, never all of them once more.
const BUFFER: usize = 256 << 10;

/// What is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sidecar {
    /// Bytes of content.
    pub len: u64,
    /// Where in the compressed file something else begins, if anything follows.
    pub foreign: Option<u64>,
    /// Whether checksums cover all of the content.
    pub is_checked: bool,
    /// Distance of the places.
    pub spacing: u64,
    pub points: Vec<Checkpoint>,
}

/// The side-car's name for a stream called `name`.
pub(super) fn name(name: &str) -> String {
    format!("{name}.tintype-index")
}

/// What tells one compressed file from another: its length and a digest of samples of it, the head and the tail among
/// them.
fn identity(source: &dyn Source) -> Result<(u64, Vec<u8>)> {
    const SAMPLES: u64 = 32;
    const SAMPLE: u64 = 16 << 10;
    let len = source.len();
    let mut hasher = Hasher::new(Algorithm::Blake3);
    let mut buf = vec![0; SAMPLE.min(len) as usize];
    let last = len - buf.len() as u64;
    for i in 0..=SAMPLES {
        let at = (u128::from(last) * u128::from(i) / u128::from(SAMPLES)) as u64;
        source.read_at(&mut buf, at)?;
        hasher.update(&buf);
    }
    Ok((len, hasher.finish().as_bytes().to_vec()))
}

/// Reads the side-car of a stream; `None` if there is none that fits.
pub(super) fn load(outlet: &dyn Outlet, name: &str, kind: Kind, source: &dyn Source) -> Option<Sidecar> {
    if !outlet.exists(name).ok()? {
        return None;
    }
    let file = outlet.reopen(name).ok()?;
    let len = file.len().ok().filter(|len| *len <= LONGEST)?;
    Reader::new(&*file, len)?.sidecar(kind, &identity(source).ok()?)
}

/// Keeps a side-car, over whatever has its name.
pub(super) fn save(outlet: &dyn Outlet, name: &str, kind: Kind, source: &dyn Source, sidecar: &Sidecar) -> Result<()> {
    let identity = identity(source)?;
    let partial = format!("{name}{PARTIAL}");
    if outlet.exists(&partial)? {
        outlet.remove(&partial)?;
    }
    let file = outlet.create(&partial)?;
    Writer { file: &*file, at: 0, buf: Vec::new(), hasher: Hasher::new(Algorithm::Blake3) }
        .sidecar(sidecar, kind, &identity)?;
    file.sync()?;
    outlet.rename(&partial, name)?;
    outlet.sync()
}

fn kind_number(kind: Kind) -> u8 {
    Kind::ALL.iter().position(|k| *k == kind).map_or(u8::MAX, |i| i as u8)
}

struct Writer<'a> {
    file: &'a dyn File,
    at: u64,
    buf: Vec<u8>,
    hasher: Hasher,
}

impl Writer<'_> {
    fn sidecar(mut self, sidecar: &Sidecar, kind: Kind, (len, sample): &(u64, Vec<u8>)) -> Result<()> {
        self.put(MAGIC)?;
        self.put(&[kind_number(kind)])?;
        self.put(&len.to_le_bytes())?;
        self.put(sample)?;
        for number in [sidecar.len, sidecar.foreign.unwrap_or(u64::MAX), sidecar.spacing] {
            self.put(&number.to_le_bytes())?;
        }
        self.put(&[sidecar.is_checked.into()])?;
        self.put(&(sidecar.points.len() as u32).to_le_bytes())?;
        for point in &sidecar.points {
            self.put(&point.in_offset.to_le_bytes())?;
            self.put(&[point.in_bits])?;
            self.put(&point.out_offset.to_le_bytes())?;
            self.put(&(point.extra.len() as u16).to_le_bytes())?;
            self.put(&point.extra)?;
            self.put(&(point.window.len() as u32).to_le_bytes())?;
            self.put(&(point.window.packed().len() as u32).to_le_bytes())?;
            self.put(point.window.packed())?;
        }
        self.flush()?;
        self.file.write_at(self.hasher.finish().as_bytes(), self.at)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.buf.extend_from_slice(bytes);
        if self.buf.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.hasher.update(&self.buf);
        self.file.write_at(&self.buf, self.at)?;
        self.at += self.buf.len() as u64;
        self.buf.clear();
        Ok(())
    }
}

struct Reader<'a> {
    file: &'a dyn File,
    /// Where the next byte to be fetched lies, and how many there are before the digest.
    at: u64,
    end: u64,
    buf: Vec<u8>,
    taken: usize,
    hasher: Hasher,
}

impl<'a> Reader<'a> {
    fn new(file: &'a dyn File, len: u64) -> Option<Self> {
        let end = len.checked_sub(DIGEST as u64)?;
        Some(Reader { file, at: 0, end, buf: Vec::new(), taken: 0, hasher: Hasher::new(Algorithm::Blake3) })
    }

    fn fill(&mut self, mut out: &mut [u8]) -> Option<()> {
        while !out.is_empty() {
            if self.taken == self.buf.len() {
                let n = (self.end - self.at).min(BUFFER as u64) as usize;
                self.buf.resize(n, 0);
                self.taken = 0;
                self.file.read_at(&mut self.buf, self.at).ok().filter(|()| n > 0)?;
                self.hasher.update(&self.buf);
                self.at += n as u64;
            }
            let n = out.len().min(self.buf.len() - self.taken);
            let (now, later) = out.split_at_mut(n);
            now.copy_from_slice(&self.buf[self.taken..self.taken + n]);
            self.taken += n;
            out = later;
        }
        Some(())
    }

    fn bytes(&mut self, n: usize) -> Option<Vec<u8>> {
        // More than the file has left is not worth the memory.
        let left = (self.end - self.at) as usize + self.buf.len() - self.taken;
        let mut bytes = vec![0; Some(n).filter(|n| *n <= left)?];
        self.fill(&mut bytes)?;
        Some(bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Some(bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn sidecar(mut self, kind: Kind, identity: &(u64, Vec<u8>)) -> Option<Sidecar> {
        let fits = &self.array()? == MAGIC
            && self.array()? == [kind_number(kind)]
            && self.u64()? == identity.0
            && self.bytes(identity.1.len())? == identity.1;
        if !fits {
            return None;
        }
        let (len, foreign, spacing) = (self.u64()?, self.u64()?, self.u64()?);
        let is_checked = self.array()? == [1];
        let count = self.u32()?;
        let mut points: Vec<Checkpoint> = Vec::new();
        for _ in 0..count {
            let (in_offset, [in_bits], out_offset) = (self.u64()?, self.array()?, self.u64()?);
            let extra = self.array().map(u16::from_le_bytes)?.into();
            let extra = self.bytes(extra)?;
            let (window_len, packed) = (self.u32()?, self.u32()?);
            let window = Window::from_packed(window_len, self.bytes(packed as usize)?).ok()?;
            let ascends = points.last().is_none_or(|p| p.out_offset < out_offset);
            if !ascends || out_offset > len || in_offset > identity.0 || in_bits > 7 {
                return None;
            }
            points.push(Checkpoint { in_offset, in_bits, out_offset, extra, window });
        }
        let at_end = self.at == self.end && self.taken == self.buf.len();
        let mut stored = [0; DIGEST];
        self.file.read_at(&mut stored, self.end).ok()?;
        let is_whole = at_end && self.hasher.finish().as_bytes() == stored;
        let foreign = (foreign != u64::MAX).then_some(foreign);
        (is_whole && spacing > 0 && len <= i64::MAX as u64).then_some(Sidecar {
            len,
            foreign,
            is_checked,
            spacing,
            points,
        })
    }
}

/// What a failure to keep a side-car means.
pub(super) fn not_kept(e: &Error) -> String {
    format!("what the pass found out could not be kept, and will be found out again next time: {e}")
}
