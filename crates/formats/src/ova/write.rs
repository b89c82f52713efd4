//! Writing an OVA: the descriptor and the manifest come first in the archive, and are written last.

use super::envelope::Machine;
use super::{manifest, tar};
use crate::vmdk::{Stream, StreamSink, StreamWriter};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tintype_codec::digest::{Algorithm, Digest, Hasher};
use tintype_core::{CreateRequest, Error, File, Options, Result, Sink, Written};

/// Archives are a multiple of this.
const RECORD: u64 = 10 << 10;

/// What the machine is to be.
struct Wanted {
    /// What files are called after.
    stem: String,
    name: String,
    cpus: u32,
    /// MiB.
    memory: u64,
    /// Bytes of the disk.
    capacity: u64,
}

impl Wanted {
    fn new(request: &CreateRequest) -> Result<Self> {
        let stem = request.name.rsplit_once('.').map_or(&request.name[..], |(stem, _)| stem).to_owned();
        let name = request.options.get("name").unwrap_or(&stem).to_owned();
        if name.is_empty() || name.contains(char::is_control) {
            return Err(Error::usage(format!("--option name={name}: that is no name of a machine")));
        }
        let cpus = match request.options.get("cpus") {
            None => 1,
            Some(text) => text
                .parse()
                .ok()
                .filter(|n| (1..=4096).contains(n))
                .ok_or_else(|| Error::usage(format!("--option cpus={text}: it takes a number from 1 to 4096")))?,
        };
        let memory = request.options.size("memory", 1 << 20..=64 << 40)?.unwrap_or(1 << 30) >> 20;
        Ok(Wanted { stem, name, cpus, memory, capacity: request.known_len()? })
    }

    fn href(&self) -> String {
        format!("{}-disk1.vmdk", self.stem)
    }

    fn envelope(&self, size: u64, populated: u64) -> String {
        let Wanted { name, cpus, memory, capacity, .. } = self;
        let machine = Machine {
            name,
            cpus: *cpus,
            memory: *memory,
            href: &self.href(),
            size,
            capacity: capacity.next_multiple_of(512),
            populated,
        };
        machine.encode()
    }

    fn names(&self) -> [String; 3] {
        [format!("{}.ovf", self.stem), format!("{}.mf", self.stem), self.href()]
    }
}

/// An archive as it is written.
struct Archive {
    file: Arc<dyn File>,
    own: String,
    wanted: Wanted,
    // Bytes that are kept free for the descriptor and for the manifest, and where the disk's header is.
    room: [u64; 2],
    header: u64,
}

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    if request.name.to_ascii_lowercase().ends_with(".ovf") {
        return Err(
            Error::usage("a machine is written as one file, an .ova; choose another name").in_path(&request.name)
        );
    }
    let wanted = Wanted::new(request)?;
    let stream = Stream::new(&CreateRequest { name: wanted.href(), options: Options::default(), ..request.clone() })?;
    for name in wanted.names() {
        tar::header(&name, 0, 0)?;
    }
    // Numbers and digests are filled in at the end, and take no more than this.
    let [ovf, _, disk] = &wanted.names();
    let blank = Hasher::new(Algorithm::Sha256).finish();
    let room = [
        wanted.envelope(u64::MAX, u64::MAX).len() as u64,
        manifest::encode(&[(ovf, blank), (disk, blank)]).len() as u64,
    ];
    let header: u64 = room.iter().map(|len| tar::BLOCK + len.next_multiple_of(tar::BLOCK)).sum();
    let file = request.outlet.create(&request.name)?;
    let hasher = Some(Hasher::new(Algorithm::Sha256));
    let stream = stream.into_file(Arc::clone(&file), header + tar::BLOCK, hasher)?;
    let archive = Archive { file, own: request.name.clone(), wanted, room, header };
    Ok(StreamSink::boxed(stream, move |stream, len| archive.close(stream, len)))
}

impl Archive {
    /// Finishes the disk of `len` bytes, and writes what lies around it.
    fn close(self, mut stream: StreamWriter, len: u64) -> Result<Written> {
        let size = stream.finish(len)?;
        let (digest, populated) = stream.sums();
        let digest = digest.ok_or_else(|| Error::corrupt("the disk was written without its digest"))?;
        let mut envelope = self.wanted.envelope(size, populated).into_bytes();
        envelope.resize(self.room[0] as usize, b'\n');
        let mut hasher = Hasher::new(Algorithm::Sha256);
        hasher.update(&envelope);
        let [ovf, mf, disk] = self.wanted.names();
        let lines: [(&str, Digest); 2] = [(&ovf, hasher.finish()), (&disk, digest)];
        let manifest = manifest::encode(&lines).into_bytes();
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let mut at = 0;
        for (name, bytes) in [(&ovf, &envelope), (&mf, &manifest)] {
            self.file.write_at(&tar::header(name, bytes.len() as u64, seconds)?, at)?;
            self.file.write_at(bytes, at + tar::BLOCK)?;
            at += tar::BLOCK + (bytes.len() as u64).next_multiple_of(tar::BLOCK);
        }
        self.file.write_at(&tar::header(&disk, size, seconds)?, self.header)?;
        // Two empty blocks say that nothing follows.
        let end = self.header + tar::BLOCK + size.next_multiple_of(tar::BLOCK) + 2 * tar::BLOCK;
        self.file.set_len(end.next_multiple_of(RECORD))?;
        self.file.sync()?;
        let bytes = self.file.len()?;
        Ok(Written { bytes, files: vec![self.own], notes: Vec::new() })
    }
}
