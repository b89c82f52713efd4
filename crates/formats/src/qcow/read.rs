//! Opening.

use super::layout::{Header, decode};
use crate::clusters::{Cipher, Codec, Disk, Levels, Order, Tables, Unpacker, Volume, backing};
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_codec::encryption::SectorCipher;
use tintype_core::{Checksums, Error, Facts, Image, OpenRequest, Result};

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let file = Arc::clone(request.entry.source()?);
    let header = Header::read(&*file).map_err(here)?;
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
    let (cluster, bits) = (header.cluster(), header.cluster_bits);
    let map = Levels {
        tables: Tables::new(Arc::clone(&file)),
        order: Order::Big,
        l1_offset: header.l1_offset,
        l1_entries: header.l1_entries(),
        l2_entries: header.l2_entries(),
        cluster,
        alignment: 8,
        decode: move |entry| decode(bits, entry),
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
    image.checksums = Checksums::Structure;
    image.compression = Codec::Zlib.name().to_owned();
    if let Some(below) = &below {
        image.stand_on(&below.name, below.format.name, &below.image);
    }
    Ok(image)
}
