//! Opening.

use super::layout::{Entries, Header};
use crate::blocks::{Cipher, Entry, HostFile, Levels, Mapped, Numbered, Tables, backing};
use std::collections::BTreeMap;
use std::sync::Arc;
use tintype_codec::encryption::SectorCipher;
use tintype_core::{Checksums, Error, Facts, Image, OpenRequest, Result};

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let here = |e: Error| e.met_in(name);
    let file = HostFile::new(name, request.entry.source()?);
    let header = Header::read(&*file.source).map_err(here)?;
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
    let cluster = header.cluster();
    let map = Levels {
        tables: Tables::new(file.clone()),
        at: header.l1_offset,
        entries: header.l1_entries(),
        first: Entry::Be64,
        further: Entry::Be64,
        blocks: header.l2_entries(),
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
    image.checksums = Checksums::Structure;
    image.compression = "zlib".to_owned();
    if let Some(below) = &below {
        image.stand_on(&below.name, below.format.name, &below.image);
    }
    Ok(image)
}
