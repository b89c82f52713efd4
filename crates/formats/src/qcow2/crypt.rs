//! Encrypted images: the key from a passphrase.

use super::layout::{Header, Method};
use crate::blocks::{Cipher, Numbered, read};
use tintype_codec::encryption::{SectorCipher, luks1};
use tintype_core::{Error, OpenRequest, Result, Source};

/// What decrypts the clusters of an image, asking for a passphrase; `None` if they are not encrypted.
pub(super) fn unlock(request: &OpenRequest, header: &Header, file: &dyn Source) -> Result<Option<Cipher>> {
    let failed = |e: tintype_codec::Error| match e {
        tintype_codec::Error::Unsupported(_) => Error::unsupported("the image cannot be decrypted").because(e),
        e => Error::corrupt("the image cannot be decrypted").because(e),
    };
    let passphrase = || request.secrets.passphrase(&request.entry.name);
    match header.method {
        Method::None => Ok(None),
        // A wrong passphrase cannot be told from a right one here.
        Method::Aes => {
            let cipher = SectorCipher::qcow(&passphrase()?).map_err(failed)?;
            Ok(Some(Cipher { cipher, numbered: Numbered::OnDisk }))
        }
        Method::Luks => {
            let (start, len) = header
                .encryption_at
                .ok_or_else(|| Error::corrupt("the image does not say where its LUKS header is"))?;
            let mut fixed = [0; luks1::HEADER];
            read(file, "the LUKS header", &mut fixed, start)?;
            let luks = luks1::Header::parse(&fixed).map_err(failed)?;
            let passphrase = passphrase()?;
            for slot in &luks.slots {
                if slot.material.end > len {
                    return Err(Error::corrupt("key material outside the LUKS header").at(start));
                }
                let at = start + slot.material.start;
                let mut material = vec![0; (slot.material.end - slot.material.start) as usize];
                read(file, "key material", &mut material, at)?;
                if let Some(cipher) = luks.unlock(slot, &passphrase, material).map_err(failed)? {
                    return Ok(Some(Cipher { cipher, numbered: Numbered::InFile }));
                }
            }
            Err(Error::denied("the passphrase opens none of the key slots"))
        }
    }
}
