//! What the descriptor says that a disk is. A raw disk may begin like anything, as whoever writes to it likes: its content does not
//! decide where the descriptor does.

use super::envelope::Disk;
use tintype_core::Format;

/// What is never unpacked unless the descriptor says that it is packed.
static PACKED: &[&Format] = &[
    &crate::gzip::FORMAT,
    &crate::zstd::FORMAT,
    &crate::xz::FORMAT,
    &crate::packed::BZIP2,
    &crate::packed::LZ4,
    &crate::packed::LZOP,
    &crate::packed::LZMA,
    &crate::packed::ZLIB,
    &crate::zip::FORMAT,
];

/// The format that the descriptor says a disk has; none where that is no word that we know.
pub(super) fn announced(disk: &Disk) -> Option<&'static Format> {
    // oVirt and virt-v2v say the same of all disks in `format`, and what they are in an attribute of their own.
    match &disk.volume.to_ascii_lowercase()[..] {
        "raw" => return Some(&crate::raw::FORMAT),
        "cow" => return Some(&crate::qcow2::FORMAT),
        _ => {}
    }
    let uri = disk.format.to_ascii_lowercase();
    let has = |word: &str| uri.split(|c: char| !c.is_ascii_alphanumeric()).any(|w| w == word);
    if has("vmdk") {
        Some(&crate::vmdk::FORMAT)
    } else if has("vhdx") {
        Some(&crate::vhdx::FORMAT)
    // The specification by its name, and the link by which VirtualBox names it.
    } else if has("vhd") || has("vhdspec") || uri.ends_with("go.microsoft.com/fwlink/?linkid=137171") {
        Some(&crate::vhd::FORMAT)
    } else if has("qcow2") {
        Some(&crate::qcow2::FORMAT)
    } else if has("raw") || uri.ends_with("wikipedia.org/wiki/byte") {
        Some(&crate::raw::FORMAT)
    } else {
        None
    }
}

/// Whether `format` is a packed stream, which any disk may begin like.
pub(super) fn is_packed(format: &Format) -> bool {
    PACKED.iter().any(|packed| std::ptr::eq(*packed, format))
}
