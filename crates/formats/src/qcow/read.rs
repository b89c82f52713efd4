//! Opening.

use super::MAGIC;
use crate::blocks::{
    Cipher, Coding, Entry, HostFile, Levels, Mapped, Meaning, Numbered, Packed, Place, Tables, Unpacked, backing, be32,
    be64, read,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_codec::encryption::SectorCipher;
use tintype_core::{Error, Facts, Image, OpenRequest, Result, Source};

const HEADER: usize = 48;
const COMPRESSED: u64 = 1 << 63;
const LONGEST_NAME: u32 = 1023;

struct Header {
    cluster_bits: u32,
    l2_bits: u32,
    size: u64,
    l1_offset: u64,
    encrypted: bool,
    backing: Option<String>,
}

impl Header {
    fn read(file: &dyn Source) -> Result<Self> {
        let mut fixed = [0; HEADER];
        read(file, "the header", &mut fixed, 0)?;
        if fixed[..4] != MAGIC || be32(&fixed, 4) != 1 {
            return Err(Error::corrupt("does not begin like a QCOW image of version 1"));
        }
        let header = Header {
            cluster_bits: fixed[32].into(),
            l2_bits: fixed[33].into(),
            size: be64(&fixed, 24),
            l1_offset: be64(&fixed, 40),
            encrypted: match be32(&fixed, 36) {
                0 => false,
                1 => true,
                other => return Err(Error::unsupported(format!("clusters encrypted in way {other}")).at(36)),
            },
            backing: name(file, be64(&fixed, 8), be32(&fixed, 16))?,
        };
        if !(9..=16).contains(&header.cluster_bits) || !(6..=13).contains(&header.l2_bits) {
            let what =
                format!("clusters of 2^{} bytes and 2^{} of them in a table", header.cluster_bits, header.l2_bits);
            return Err(Error::unsupported(format!("{what}; they have 2^9 to 2^16, and 2^6 to 2^13")).at(32));
        }
        if header.size > i64::MAX as u64 || header.l1_offset > i64::MAX as u64 {
            return Err(Error::corrupt(format!("a disk of {} bytes", header.size)).at(24));
        }
        Ok(header)
    }

    fn l1_entries(&self) -> u64 {
        self.size.div_ceil(1 << (self.cluster_bits + self.l2_bits))
    }
}

/// What entries of the tables mean.
struct Entries {
    cluster_bits: u32,
}

impl Meaning for Entries {
    const FIRST: &'static str = "the L1 table";
    const FURTHER: &'static str = "an L2 table";

    fn table(&self, n: u64, entry: u64) -> Result<Place> {
        match entry {
            0 => Ok(Place::Absent),
            table if !table.is_multiple_of(8) || table > i64::MAX as u64 => {
                Err(Error::corrupt(format!("entry {n} of the L1 table points to {table}, where no table can be")))
            }
            table => Ok(Place::At(table)),
        }
    }

    fn block(&self, offset: u64, entry: u64) -> Result<Place> {
        if entry & COMPRESSED != 0 {
            let shift = 63 - self.cluster_bits;
            let stored = (entry >> shift) & ((1 << self.cluster_bits) - 1);
            let (at, plain) = (entry & ((1 << shift) - 1), 1 << self.cluster_bits);
            return Ok(Place::Packed(Packed { at, stored, block: offset, plain }));
        }
        match entry {
            0 => Ok(Place::Absent),
            host if host > i64::MAX as u64 >> 1 => {
                Err(Error::corrupt(format!("the cluster at {offset} of the disk lies beyond every file")))
            }
            host => Ok(Place::At(host)),
        }
    }

    fn unpack(&self, _packed: &Packed, stored: &[u8], out: &mut [u8]) -> Result<Unpacked> {
        Coding::Deflate.decode_all(stored, out)
    }
}

fn name(file: &dyn Source, at: u64, len: u32) -> Result<Option<String>> {
    if at == 0 || len == 0 {
        return Ok(None);
    }
    if len > LONGEST_NAME {
        return Err(Error::corrupt(format!("the name of the backing file has {len} bytes")).at(16));
    }
    let mut name = vec![0; len as usize];
    read(file, "the name of the backing file", &mut name, at)?;
    let text = String::from_utf8(name).map_err(|_| Error::unsupported("the name of the backing file is no UTF-8"));
    text.map(Some)
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let file = HostFile::new(name, request.entry.source()?);
    let header = Header::read(&*file.source).map_err(here)?;
    file.holds("the L1 table", header.l1_offset, header.l1_entries() * 8)?;
    let cipher = match header.encrypted {
        // A wrong passphrase cannot be told from a right one.
        true => {
            let passphrase = request.secrets.passphrase(name)?;
            let cipher = SectorCipher::qcow(&passphrase);
            let cipher = cipher.map_err(|e| here(Error::unsupported("the image cannot be decrypted").because(e)))?;
            Some(Arc::new(Cipher { cipher, numbered: Numbered::OnDisk }))
        }
        false => None,
    };
    let below = header.backing.as_ref().map(|below| backing(request, below, None)).transpose()?;
    let cluster = 1 << header.cluster_bits;
    let map = Levels {
        tables: Tables::new(file.clone()),
        at: header.l1_offset,
        entries: header.l1_entries(),
        first: Entry::Be64,
        further: Entry::Be64,
        blocks: 1 << header.l2_bits,
        block: cluster,
        meaning: Entries { cluster_bits: header.cluster_bits },
    };
    let mut fields = BTreeMap::from([("cluster_size".to_owned(), cluster.to_string())]);
    fields.extend(header.backing.map(|below| ("backing_file".to_owned(), below)));
    fields.extend(header.encrypted.then(|| ("encryption".to_owned(), "aes".to_owned())));
    let disk = Mapped::new(map, file, header.size, cluster)
        .with_facts(Facts { fields, ..Facts::default() })
        .standing_on(below.as_ref().map(|below| Arc::clone(&below.image.disk)))
        .decrypted(cipher);
    let mut image = Image::new("QCOW version 1", Arc::new(disk), vec![name.clone()]);
    image.compression = "zlib".to_owned();
    if let Some(below) = &below {
        image.stand_on(&below.name, below.format.name, &below.image);
    }
    Ok(image)
}
