//! A bundle as one disk, and a single file as well.

use super::descriptor::{Descriptor, Storage, parse};
use super::{descriptor, layout, read};
use std::sync::Arc;
use tintype_core::layers::{Concat, Slice};
use tintype_core::{Body, Checksums, Error, Image, OpenRequest, Part, Result, Source};

/// What the descriptor is called.
const DESCRIPTOR: &str = "DiskDescriptor.xml";
/// Most bytes of one.
const LONGEST: u64 = 4 << 20;

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let name = &request.entry.name;
    let Some(text) = descriptor_of(request)? else {
        let parsed = read::parse(name, request.entry.source()?)?;
        let damage = parsed.findings.clone();
        return Ok(Image {
            damage,
            checksums: Checksums::Structure,
            ..Image::new("expanding", parsed.disk(None), vec![name.clone()])
        });
    };
    let descriptor = Arc::new(parse(&text).map_err(|e| e.in_path(DESCRIPTOR))?);
    let disk = disk(request, &descriptor, &descriptor.top.clone())?;
    let mut image = Image::new("bundle", disk.source, disk.files);
    image.checksums = Checksums::Structure;
    image.damage = disk.damage;
    for (guid, parent) in descriptor.shots.iter().filter(|(guid, _)| *guid != descriptor.top) {
        let (request, descriptor, name) = (request.clone(), Arc::clone(&descriptor), guid.clone());
        image.parts.push(Part {
            kind: "snap",
            name: guid.clone(),
            note: format!("on {parent}"),
            open: Box::new(move || Ok(self::disk(&request, &descriptor, &name)?.source)),
        });
    }
    Ok(image)
}

/// The text of the descriptor; `None` for a single file.
pub(super) fn descriptor_of(request: &OpenRequest) -> Result<Option<String>> {
    let source = match &request.entry.body {
        Body::Folder => request.opener.open(DESCRIPTOR).map_err(|e| e.in_path(DESCRIPTOR))?,
        Body::Bytes(source) => {
            let mut magic = [0; 16];
            if source.len() >= 16 {
                source.read_at(&mut magic, 0).map_err(|e| e.in_path(&request.entry.name))?;
            }
            if [layout::OLD, layout::NEW].contains(&magic) {
                return Ok(None);
            }
            Arc::clone(source)
        }
    };
    if source.len() > LONGEST {
        return Err(Error::limit(format!("a descriptor of {} bytes is too long", source.len())).in_path(DESCRIPTOR));
    }
    let mut text = vec![0; source.len() as usize];
    source.read_at(&mut text, 0)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    match text.contains(descriptor::ROOT) {
        true => Ok(Some(text)),
        false => Err(Error::corrupt("is no disk of Parallels: its signature is missing").in_path(&request.entry.name)),
    }
}

/// A disk in one of its states.
struct Disk {
    source: Arc<dyn Source>,
    files: Vec<String>,
    damage: Vec<tintype_core::Finding>,
}

/// The disk in the state called `guid`.
fn disk(request: &OpenRequest, descriptor: &Descriptor, guid: &str) -> Result<Disk> {
    if descriptor.padding != 0 {
        return Err(Error::unsupported("disks with padding are not known").in_path(DESCRIPTOR));
    }
    if !["", descriptor::NONE].contains(&&*descriptor.encryption) {
        let what = format!("disks encrypted by {} are not known", descriptor.encryption);
        return Err(Error::unsupported(what).in_path(DESCRIPTOR));
    }
    let chain = descriptor.chain(guid)?;
    if chain.len() > request.limits.depth as usize {
        return Err(Error::limit(format!("there are more than {} snapshots", request.limits.depth)));
    }
    let mut disk = Disk { source: Arc::new(Concat::new(Vec::new())?), files: Vec::new(), damage: Vec::new() };
    if matches!(request.entry.body, Body::Bytes(_)) {
        disk.files.push(request.entry.name.clone());
    } else {
        disk.files.push(DESCRIPTOR.to_owned());
    }
    let mut storages: Vec<&Storage> = descriptor.storages.iter().collect();
    storages.sort_by_key(|s| s.start);
    let (mut at, mut parts) = (0, Vec::new());
    for storage in storages {
        if storage.start != at || storage.end < storage.start {
            let what = format!("the storages do not follow on each other at sector {at}");
            return Err(Error::corrupt(what).in_path(DESCRIPTOR));
        }
        at = storage.end;
        parts.push(part(request, storage, &chain, &mut disk)?);
    }
    if descriptor.sectors != 0 && descriptor.sectors != at {
        let what = format!("the disk has {} sectors, its storages {at}", descriptor.sectors);
        return Err(Error::corrupt(what).in_path(DESCRIPTOR));
    }
    disk.source = match parts.len() {
        1 => parts.remove(0),
        _ => Arc::new(Concat::new(parts)?),
    };
    Ok(disk)
}

/// One storage in a state: the files of its states, each on top of the one below.
fn part(request: &OpenRequest, storage: &Storage, chain: &[String], disk: &mut Disk) -> Result<Arc<dyn Source>> {
    let sectors = storage.end - storage.start;
    let wanted = sectors.checked_mul(layout::SECTOR).filter(|len| *len <= i64::MAX as u64);
    let wanted = wanted.ok_or_else(|| Error::corrupt(format!("a storage of {sectors} sectors")).in_path(DESCRIPTOR))?;
    let mut below: Option<Arc<dyn Source>> = None;
    for guid in chain.iter().rev() {
        let Some(file) = storage.images.iter().find(|i| i.guid == *guid) else {
            let what = format!("a storage has no image of the state {guid}");
            return Err(Error::corrupt(what).in_path(DESCRIPTOR));
        };
        let source = request.open_beside(&file.file).map_err(|e| e.in_path(&file.file))?;
        disk.files.push(file.file.clone());
        let (top, whole) = match file.kind.as_str() {
            "Compressed" => {
                let parsed = read::parse(&file.file, &source)?;
                disk.damage.extend(parsed.findings.iter().cloned());
                let len = parsed.len;
                (parsed.disk(below), len)
            }
            "Plain" if below.is_none() => (Arc::clone(&source), source.len()),
            other => {
                let what = format!("images of type {other:?} are not known here");
                return Err(Error::unsupported(what).in_path(&file.file));
            }
        };
        if whole < wanted {
            let what = format!("the image has {whole} bytes, its storage {wanted}");
            return Err(Error::corrupt(what).in_path(&file.file));
        }
        below = Some(if whole > wanted { Arc::new(Slice::new(top, 0, wanted)?) } else { top });
    }
    below.ok_or_else(|| Error::corrupt("a storage has no image").in_path(DESCRIPTOR))
}
