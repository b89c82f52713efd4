//! Reading: from the descriptor to a disk.

use super::descriptor::{Access, Descriptor, ExtentKind, ExtentLine, LONGEST, NO_PARENT};
use super::directories;
use super::disk::{Body, Disk, Part, Sparse};
use super::layout::{AT_END, Header, MAGIC_COWD, MAGIC_SESPARSE, Packing, SECTOR, SeSparse, Shape};
use crate::blocks::HostFile;
use std::collections::HashMap;
use std::sync::Arc;
use tintype_core::{Checksums, Error, Facts, Finding, Image, Kind, OpenRequest, Result, Source, in_range};

/// A disk that was opened, and what there is to say about it.
pub(super) struct Loaded {
    pub(super) descriptor: Descriptor,
    pub(super) disk: Disk,
    pub(super) parts: Vec<Part>,
    files: Vec<String>,
    warnings: Vec<String>,
    damage: Vec<Finding>,
    parent: Option<(OpenRequest, Image)>,
}

pub(super) fn open(request: &OpenRequest) -> Result<Image> {
    let Loaded { descriptor, disk, parts, files, warnings, damage, parent } = load(request)?;
    let is_packed = |part: &Part| matches!(&part.body, Body::Sparse(s) if s.shape.packing() != Packing::Plain);
    let packed = parts.iter().any(is_packed);
    let summed = packed && parts.iter().all(is_packed) && parent.is_none();
    let variant = if descriptor.create_type.is_empty() { "unnamed" } else { &descriptor.create_type };
    let mut image = Image::new(variant, Arc::new(disk), files);
    image.compression = if packed { "zlib".into() } else { String::new() };
    // Packed grains are streams of zlib, with the Adler-32 of what is in them.
    image.checksums = if summed { Checksums::Stored } else { Checksums::Structure };
    image.warnings = warnings;
    image.damage = damage;
    if let Some((parent, below)) = &parent {
        image.stand_on(parent, &super::FORMAT, below);
    }
    Ok(image)
}

/// The extents that have tables.
pub(super) fn sparse(parts: &[Part]) -> impl Iterator<Item = &Sparse> {
    parts.iter().filter_map(|part| match &part.body {
        Body::Sparse(sparse) => Some(sparse),
        _ => None,
    })
}

impl Loaded {
    /// Everything that opening found.
    pub(super) fn notes(&self) -> Vec<Finding> {
        self.damage.iter().cloned().chain(self.warnings.iter().map(Finding::warning)).collect()
    }
}

/// Opens everything that the disk consists of.
pub(super) fn load(request: &OpenRequest) -> Result<Loaded> {
    let source = Arc::clone(request.entry.source()?);
    let name = &request.entry.name;
    let placed = |e: Error| e.in_path(name);
    let mut head = [0; Header::LEN];
    let have = source.len().min(Header::LEN as u64) as usize;
    source.read_at(&mut head[..have], 0)?;
    let locked = is_locked(request);
    if head.starts_with(&MAGIC_COWD) || head.starts_with(&MAGIC_SESPARSE) {
        let what = "is one extent of a disk on ESX; name its descriptor, the small text file beside it";
        return Err(Error::unsupported(what).in_path(name));
    }
    let mut loading = Loading {
        request,
        parts: Vec::new(),
        files: vec![name.clone()],
        open: HashMap::from([(name.clone(), Arc::clone(&source))]),
        shapes: HashMap::new(),
        notes: Notes::default(),
    };
    let descriptor = match Header::parse(&head) {
        None => {
            let bytes = text(&*source, 0, source.len()).map_err(placed)?;
            let descriptor = Descriptor::parse(&bytes, &request.limits).map_err(placed)?;
            loading.extents(&descriptor)?;
            descriptor
        }
        Some(header) => {
            header.check().map_err(placed)?;
            let descriptor = embedded(&*source, &header, request).map_err(placed)?;
            match &descriptor.extents[..] {
                [] | [ExtentLine { kind: ExtentKind::Sparse, .. }] if header.capacity.get() > 0 => {
                    // The file may have been given another name than the one it knows itself by.
                    let said = descriptor.extents.first().map(|line| line.sectors);
                    let sparse = loading.sparse(HostFile::new(name, &source))?;
                    let has = sparse.shape.len / SECTOR;
                    if let Some(said) = said.filter(|said| *said != has) {
                        let what = format!(
                            "the descriptor gives the extent {said} sectors, its header {has}; the header is believed"
                        );
                        match has < said {
                            true => loading.notes.damage.push(Finding::damage(what).in_file(name, 12)),
                            false => loading.notes.warnings.push(what),
                        }
                    }
                    loading.parts.push(Part { len: has * SECTOR, body: Body::Sparse(sparse) });
                }
                [] => {}
                [ExtentLine { sectors: 0, .. }] => {}
                _ => loading.extents(&descriptor)?,
            }
            descriptor
        }
    };
    if locked {
        let what = format!(
            "{name}.lck is there: a machine of VMware has the disk open, or did not close it; what is read may be half written"
        );
        loading.notes.warnings.push(what);
    }
    loading.finish(descriptor)
}

/// True if the folder is there that VMware keeps while it has a disk open.
fn is_locked(request: &OpenRequest) -> bool {
    // A folder is no file to open, and that is told from nothing being there.
    match request.opener.open(&format!("{}.lck", request.entry.name)) {
        Ok(_) => true,
        Err(e) => e.kind() == Kind::Usage,
    }
}

#[derive(Default)]
struct Notes {
    warnings: Vec<String>,
    damage: Vec<Finding>,
}

struct Loading<'a> {
    request: &'a OpenRequest,
    parts: Vec<Part>,
    files: Vec<String>,
    // A descriptor may name a file many times.
    open: HashMap<String, Arc<dyn Source>>,
    shapes: HashMap<String, Shape>,
    notes: Notes,
}

impl Loading<'_> {
    fn extents(&mut self, descriptor: &Descriptor) -> Result<()> {
        for line in &descriptor.extents {
            let len = line.sectors * SECTOR;
            if line.access == Access::None {
                let what = format!("the extent {:?} must not be accessed, says the descriptor", line.name);
                return Err(Error::unsupported(what).in_path(&self.request.entry.name));
            }
            let body = match &line.kind {
                ExtentKind::Zero => Body::Zero,
                ExtentKind::Flat => {
                    let file = self.file(&line.name)?;
                    let offset = line.offset.saturating_mul(SECTOR);
                    let has = file.source.len();
                    if in_range(has, offset, len).is_err() {
                        let what = format!("has {has} bytes; the descriptor wants {len} from {offset} on");
                        return Err(Error::corrupt(what).in_path(file.name));
                    }
                    Body::Flat { file, offset }
                }
                ExtentKind::Sparse | ExtentKind::VmfsSparse | ExtentKind::SeSparse => {
                    let file = self.file(&line.name)?;
                    let sparse = self.sparse(file)?;
                    if sparse.shape.len < len {
                        let has = sparse.shape.len / SECTOR;
                        let what = format!("has {has} sectors; the descriptor wants {}", line.sectors);
                        return Err(Error::corrupt(what).in_path(sparse.file.name));
                    }
                    Body::Sparse(sparse)
                }
                ExtentKind::Other(kind) => {
                    let what = format!("an extent of kind {kind} ({:?}): it is a drive, not a file", line.name);
                    return Err(Error::unsupported(what).in_path(&self.request.entry.name));
                }
            };
            if len > 0 {
                self.parts.push(Part { len, body });
            }
        }
        Ok(())
    }

    /// The file that the descriptor calls `name`.
    fn file(&mut self, name: &str) -> Result<HostFile> {
        let beside = self.request.beside(name)?;
        if let Some(file) = self.open.get(&beside) {
            return Ok(HostFile::new(&beside, file));
        }
        let file = self.request.opener.open(&beside)?;
        self.open.insert(beside.clone(), Arc::clone(&file));
        self.files.push(beside.clone());
        Ok(HostFile { name: beside, source: file })
    }

    fn sparse(&mut self, file: HostFile) -> Result<Sparse> {
        if let Some(shape) = self.shapes.get(&file.name) {
            return Ok(Sparse { shape: *shape, file });
        }
        let shape = self.shape(&*file.source, &file.name).map_err(|e| e.in_path(&file.name))?;
        let (shape, damage) = directories::choose(&file, shape).map_err(|e| e.in_path(&file.name))?;
        self.notes.damage.extend(damage);
        self.shapes.insert(file.name.clone(), shape);
        Ok(Sparse { file, shape })
    }

    /// The shape of the extent in `file`, whatever kind it is.
    fn shape(&mut self, file: &dyn Source, name: &str) -> Result<Shape> {
        let mut head = [0; 2048];
        let have = file.len().min(2048) as usize;
        file.read_at(&mut head[..have], 0)?;
        if head.starts_with(&MAGIC_COWD) {
            return Shape::cowd(&head);
        }
        if head.starts_with(&MAGIC_SESPARSE) {
            let (shape, SeSparse { volatile }) = Shape::sesparse(&head[..Header::LEN])?;
            let mut sector = [0; SECTOR as usize];
            in_range(file.len(), volatile, SECTOR)
                .map_err(|_| Error::corrupt("the second header is beyond the end of the file"))?;
            file.read_at(&mut sector, volatile)?;
            SeSparse::check_volatile(&sector)?;
            return Ok(shape);
        }
        let header = Header::parse(&head).ok_or_else(|| Error::corrupt("is no extent of a VMDK"))?;
        header.check()?;
        if header.unclean_shutdown != 0 {
            let what = format!(
                "{name}: was not closed properly by the machine that wrote to it; what it wrote last may be missing"
            );
            self.notes.warnings.push(what);
        }
        let header = match header.gd_offset.get() {
            AT_END => footer(file)?,
            _ => header,
        };
        if header.over_head.get().saturating_mul(SECTOR) > file.len() {
            let what = format!("has {} bytes, fewer than its own tables take: it was cut off", file.len());
            return Err(Error::corrupt(what));
        }
        Ok(Shape::of(&header))
    }

    fn finish(self, descriptor: Descriptor) -> Result<Loaded> {
        let Loading { request, parts, files, notes: Notes { mut warnings, damage }, .. } = self;
        let own = &request.entry.name;
        let mut len = 0u64;
        for part in &parts {
            len = len
                .checked_add(part.len)
                .filter(|l| *l <= i64::MAX as u64)
                .ok_or_else(|| Error::corrupt("the extents together are longer than 2^63 bytes").in_path(own))?;
        }
        if let Some(exact) = descriptor.length {
            if exact <= len && len - exact < SECTOR {
                len = exact;
            } else {
                warnings.push(format!(
                    "the length noted in the descriptor ({exact} bytes) is not that of the disk, and is ignored"
                ));
            }
        }
        let parent = match descriptor.parent_cid {
            NO_PARENT => None,
            wanted => {
                let hint = descriptor.parent_file_name_hint.as_deref().ok_or_else(|| {
                    Error::corrupt("the disk stands on a parent, but does not say which").in_path(own)
                })?;
                Some(parent(request, hint, wanted)?)
            }
        };
        let below = parent.as_ref().map(|(parent, image)| (parent.entry.name.clone(), Arc::clone(&image.disk)));
        let facts = facts(&descriptor, &parts, below.as_ref().map(|(name, _)| &name[..]));
        Ok(Loaded {
            descriptor,
            disk: Disk::new(&parts, len, below.as_ref().map(|(_, disk)| disk), facts, request.care)
                .map_err(|e| e.in_path(own))?,
            parts,
            files,
            warnings,
            damage,
            parent,
        })
    }
}

/// `len` bytes of text from `offset`.
fn text(source: &dyn Source, offset: u64, len: u64) -> Result<Vec<u8>> {
    if len > LONGEST {
        return Err(Error::limit(format!("a descriptor of {len} bytes; {LONGEST} are the most")));
    }
    let mut bytes = vec![0; len as usize];
    source.read_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// The descriptor inside a sparse extent.
fn embedded(source: &dyn Source, header: &Header, request: &OpenRequest) -> Result<Descriptor> {
    let offset = header.descriptor_offset.get().saturating_mul(SECTOR);
    let len = header.descriptor_size.get().saturating_mul(SECTOR);
    let none = "holds no descriptor: it is one extent of a disk, and the descriptor beside it is to be named instead";
    if offset == 0 || len == 0 {
        return Err(Error::unsupported(none));
    }
    in_range(source.len(), offset, len).map_err(|_| Error::corrupt("the descriptor is beyond the end of the file"))?;
    let bytes = text(source, offset, len)?;
    if bytes.iter().all(|b| *b == 0) {
        return Err(Error::corrupt(format!("{none}; or it is damaged")));
    }
    Descriptor::parse(&bytes, &request.limits)
}

/// The header that stands at the end of a stream.
fn footer(source: &dyn Source) -> Result<Header> {
    let cut = || Error::corrupt("the stream has no footer at its end: it was cut off");
    let at = source.len().checked_sub(2 * SECTOR).ok_or_else(cut)?;
    let mut bytes = [0; Header::LEN];
    source.read_at(&mut bytes, at)?;
    let footer = Header::parse(&bytes).filter(|f| f.gd_offset.get() != AT_END).ok_or_else(cut)?;
    footer.check()?;
    Ok(footer)
}

/// Opens the parent that a disk calls `hint`, and makes sure that it is still what the disk was made on.
fn parent(request: &OpenRequest, hint: &str, wanted: u32) -> Result<(OpenRequest, Image)> {
    let own = &request.entry.name;
    let below = below(request, hint)?;
    let name = &below.entry.name;
    let (_, image) = crate::open(&below, Some(&super::FORMAT))
        .map_err(|e| Error::new(e.kind(), format!("the parent {name} cannot be opened")).because(e).in_path(own))?;
    let cid = image.disk.facts().fields.get("cid").cloned().unwrap_or_default();
    if cid != hex(wanted) {
        let what = format!(
            "was made on a parent with the content identifier {}, but {name} has {cid}: it was written to since, or it is another disk",
            hex(wanted)
        );
        return Err(Error::corrupt(what).in_path(own));
    }
    Ok((below, image))
}

/// The request for the file that a disk calls `hint`: as it is written, and where there is none, the file of that name beside.
fn below(request: &OpenRequest, hint: &str) -> Result<OpenRequest> {
    let last = hint.rsplit(['/', '\\']).next().unwrap_or(hint);
    let windows = hint.contains('\\') || hint.as_bytes().get(1) == Some(&b':');
    let as_written = if windows { request.backing(last) } else { request.backing(hint) };
    as_written.or_else(|e| match e.kind() {
        Kind::Denied | Kind::Io if last != hint && !last.is_empty() && !windows => request.backing(last).map_err(|_| e),
        _ => Err(e),
    })
}

pub(super) fn hex(cid: u32) -> String {
    format!("{cid:08x}")
}

fn facts(descriptor: &Descriptor, parts: &[Part], parent: Option<&str>) -> Facts {
    let mut facts = Facts::default();
    let mut put = |key: &str, value: String| {
        facts.fields.insert(key.to_owned(), value);
    };
    put("cid", hex(descriptor.cid));
    put("create_type", descriptor.create_type.clone());
    if let Some(parent) = parent {
        put("parent", parent.to_owned());
        put("parent_cid", hex(descriptor.parent_cid));
    }
    put("extents", parts.len().to_string());
    let named = [
        ("ddb.adapterType", "adapter_type"),
        ("ddb.virtualHWVersion", "hardware_version"),
        ("ddb.uuid", "uuid"),
        ("ddb.longContentID", "long_content_id"),
        ("changeTrackPath", "change_tracking_file"),
    ];
    for (key, name) in named {
        if let Some(value) = descriptor.fields.get(key) {
            put(name, value.clone());
        }
    }
    if let Some(sparse) = sparse(parts).next() {
        put("grain_size", sparse.shape.grain.to_string());
        use super::layout::Kind;
        match sparse.shape.kind {
            Kind::Sparse { zeroed: true, .. } => put("zeroed_grain", "on".into()),
            Kind::Sparse { .. } => {}
            // Nobody here has seen one.
            Kind::Cowd => put("unproved", "COWD is read by its description; no image was at hand to try it on".into()),
            Kind::SeSparse { .. } => {
                put("unproved", "seSparse is read as others read it; no image was at hand to try it on".into());
            }
        }
    }
    facts
}
