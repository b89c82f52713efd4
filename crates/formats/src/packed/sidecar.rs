//! Side-cars: what one pass over a stream found out, kept beside it.
//!
//! ```text
//!   "TINTYPE2" kind u8 | packed length u64, sample 32 B | length u64, foreign data at u64, spacing u64, checked u8 | count u32
//!   count x { in u64, bits u8, out u64, extra u8 + bytes, window u32, packed window u32 + bytes } | BLAKE3 of all before
//! ```
//!
//! All numbers are little-endian. A side-car that does not fit is no error: the pass is made again.

use super::points::{GRAIN, Point, WINDOW};
use tintype_codec::digest::{Algorithm, Hasher, digest};
use tintype_codec::stream::Kind;
use tintype_core::{Error, Outlet, PARTIAL, Result, Source};

const MAGIC: &[u8; 8] = b"TINTYPE2";
const DIGEST: usize = 32;
/// No side-car that was written here is longer.
const LONGEST: u64 = (GRAIN.most * (WINDOW + WINDOW / 64 + 1024)) as u64;

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
    pub points: Vec<Point>,
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
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0).ok()?;
    parse(&bytes, kind, &identity(source).ok()?)
}

/// Keeps a side-car, over whatever has its name.
pub(super) fn save(outlet: &dyn Outlet, name: &str, kind: Kind, source: &dyn Source, sidecar: &Sidecar) -> Result<()> {
    let bytes = encode(sidecar, kind, &identity(source)?);
    let partial = format!("{name}{PARTIAL}");
    if outlet.exists(&partial)? {
        outlet.remove(&partial)?;
    }
    let file = outlet.create(&partial)?;
    file.write_at(&bytes, 0)?;
    file.sync()?;
    outlet.rename(&partial, name)?;
    outlet.sync()
}

fn encode(sidecar: &Sidecar, kind: Kind, (len, sample): &(u64, Vec<u8>)) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(kind_number(kind));
    out.extend(len.to_le_bytes());
    out.extend(sample);
    for number in [sidecar.len, sidecar.foreign.unwrap_or(u64::MAX), sidecar.spacing] {
        out.extend(number.to_le_bytes());
    }
    out.push(sidecar.is_checked.into());
    out.extend((sidecar.points.len() as u32).to_le_bytes());
    for point in &sidecar.points {
        out.extend(point.in_offset.to_le_bytes());
        out.push(point.in_bits);
        out.extend(point.out_offset.to_le_bytes());
        out.push(point.extra.len() as u8);
        out.extend(&point.extra);
        out.extend(point.window_len.to_le_bytes());
        out.extend((point.window.len() as u32).to_le_bytes());
        out.extend(&point.window);
    }
    let digest = digest(Algorithm::Blake3, &out);
    out.extend(digest.as_bytes());
    out
}

fn kind_number(kind: Kind) -> u8 {
    Kind::ALL.iter().position(|k| *k == kind).map_or(u8::MAX, |i| i as u8)
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
}

fn parse(bytes: &[u8], kind: Kind, identity: &(u64, Vec<u8>)) -> Option<Sidecar> {
    let (body, stored) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST)?)?;
    if digest(Algorithm::Blake3, body).as_bytes() != stored {
        return None;
    }
    let mut rest = Rest(body);
    let fits = rest.bytes(MAGIC.len())? == MAGIC
        && rest.array()? == [kind_number(kind)]
        && rest.u64()? == identity.0
        && rest.bytes(identity.1.len())? == identity.1;
    if !fits {
        return None;
    }
    let (len, foreign, spacing) = (rest.u64()?, rest.u64()?, rest.u64()?);
    let is_checked = rest.array()? == [1];
    let count = rest.u32()?;
    let mut points: Vec<Point> = Vec::new();
    for _ in 0..count {
        let (in_offset, [in_bits], out_offset, [extra]) = (rest.u64()?, rest.array()?, rest.u64()?, rest.array()?);
        let extra = rest.bytes(extra.into())?.to_vec();
        let (window_len, packed) = (rest.u32()?, rest.u32()?);
        let window = rest.bytes(packed as usize)?.to_vec();
        let ascends = points.last().is_none_or(|p| p.out_offset < out_offset);
        if !ascends || out_offset > len || in_offset > identity.0 || window_len as usize > WINDOW || in_bits > 7 {
            return None;
        }
        points.push(Point { in_offset, in_bits, out_offset, extra, window_len, window });
    }
    let foreign = (foreign != u64::MAX).then_some(foreign);
    (rest.0.is_empty() && spacing > 0 && len <= i64::MAX as u64).then_some(Sidecar {
        len,
        foreign,
        is_checked,
        spacing,
        points,
    })
}

/// What a failure to keep a side-car means.
pub(super) fn not_kept(e: &Error) -> String {
    format!("what the pass found out could not be kept, and will be found out again next time: {e}")
}
