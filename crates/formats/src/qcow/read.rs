//! Opening.

use super::MAGIC;
use crate::clusters::{
    Cipher, Cluster, Codec, Disk, Levels, Order, Tables, Unpacker, Volume, backing, be32, be64, holds,
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
        holds(file, "the header", 0, HEADER as u64)?;
        file.read_at(&mut fixed, 0)?;
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

    /// What an entry of an L2 table means.
    fn cluster(cluster_bits: u32, entry: u64) -> std::result::Result<Cluster, &'static str> {
        if entry & COMPRESSED != 0 {
            let shift = 63 - cluster_bits;
            let len = (entry >> shift) & ((1 << cluster_bits) - 1);
            return Ok(Cluster::Packed { offset: entry & ((1 << shift) - 1), len });
        }
        match entry {
            0 => Ok(Cluster::Absent),
            host if host > i64::MAX as u64 >> 1 => Err("lies beyond every file"),
            host => Ok(Cluster::At(host)),
        }
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
    holds(file, "the name of the backing file", at, len.into())?;
    file.read_at(&mut name, at)?;
    let text = String::from_utf8(name).map_err(|_| Error::unsupported("the name of the backing file is no UTF-8"));
    text.map(Some)
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let file = Arc::clone(request.entry.source()?);
    let header = Header::read(&*file).map_err(here)?;
    holds(&*file, "the L1 table", header.l1_offset, header.l1_entries() * 8).map_err(here)?;
    let cipher = match header.encrypted {
        // A wrong passphrase cannot be told from a right one.
        true => {
            let passphrase = request.secrets.passphrase(name)?;
            let cipher = SectorCipher::qcow(&passphrase);
            let cipher = cipher.map_err(|e| here(Error::unsupported("the image cannot be decrypted").because(e)))?;
            Some(Cipher { cipher, by_host: false })
        }
        false => None,
    };
    let below = header.backing.as_ref().map(|below| backing(request, below, None)).transpose()?;
    let cluster = 1 << header.cluster_bits;
    let bits = header.cluster_bits;
    let map = Levels {
        tables: Tables::new(Arc::clone(&file)),
        order: Order::Big,
        l1_offset: header.l1_offset,
        l1_entries: header.l1_entries(),
        l2_entries: 1 << header.l2_bits,
        cluster,
        alignment: 8,
        decode: move |entry| Header::cluster(bits, entry),
    };
    let volume = Arc::new(Volume {
        name: name.clone(),
        cluster,
        unpacker: Unpacker::new(Codec::Zlib, cluster),
        backing: below.as_ref().map(|below| Arc::clone(&below.image.disk)),
        cipher,
        data: (name.clone(), Arc::clone(&file)),
        file,
    });
    let mut fields = BTreeMap::from([("cluster_size".to_owned(), cluster.to_string())]);
    fields.extend(header.backing.map(|below| ("backing_file".to_owned(), below)));
    fields.extend(header.encrypted.then(|| ("encryption".to_owned(), "aes".to_owned())));
    let disk = Disk::new(volume, map, header.size, Facts { fields, ..Facts::default() });
    let mut image = Image::new("QCOW version 1", Arc::new(disk), vec![name.clone()]);
    image.compression = Codec::Zlib.name().to_owned();
    if let Some(below) = &below {
        image.stand_on(&below.name, below.format.name, &below.image);
    }
    Ok(image)
}
