//! Sources, disks and outlets that live in memory.

use crate::{Disk, Error, File, Kind, Opener, Outlet, Result, Source, in_range};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Bytes in memory as a source.
pub struct Bytes(pub Vec<u8>);

impl Source for Bytes {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        buf.copy_from_slice(&self.0[offset as usize..][..buf.len()]);
        Ok(())
    }
}

/// A disk in memory, full of 0xEE so that what was not written shows.
pub struct MemoryDisk(Mutex<Vec<u8>>);

impl MemoryDisk {
    /// A disk of `len` bytes.
    pub fn new(len: usize) -> Self {
        MemoryDisk(Mutex::new(vec![0xEE; len]))
    }

    /// What it holds.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no test panics with the lock held").clone()
    }
}

impl Source for MemoryDisk {
    fn len(&self) -> u64 {
        self.0.lock().expect("no test panics with the lock held").len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        buf.copy_from_slice(&self.0.lock().expect("not poisoned")[offset as usize..][..buf.len()]);
        Ok(())
    }
}

impl Disk for MemoryDisk {
    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        in_range(self.len(), offset, buf.len() as u64)?;
        self.0.lock().expect("not poisoned")[offset as usize..][..buf.len()].copy_from_slice(buf);
        Ok(())
    }

    fn zero(&self, offset: u64, len: u64) -> Result<()> {
        in_range(self.len(), offset, len)?;
        self.0.lock().expect("not poisoned")[offset as usize..][..len as usize].fill(0);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

/// A folder in memory: an outlet for writers, and an opener for readers of what they wrote.
#[derive(Clone, Default)]
pub struct MemoryOutlet {
    files: Arc<Mutex<BTreeMap<String, Arc<MemoryFile>>>>,
    // Bytes that still fit.
    room: Option<Arc<Mutex<u64>>>,
}

/// One file of it.
#[derive(Default)]
pub struct MemoryFile {
    bytes: Mutex<Vec<u8>>,
    room: Option<Arc<Mutex<u64>>>,
}

impl MemoryOutlet {
    /// An empty folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty folder on a medium with room for `bytes`.
    pub fn with_room(bytes: u64) -> Self {
        MemoryOutlet { room: Some(Arc::new(Mutex::new(bytes))), ..Self::default() }
    }

    /// Names of all files.
    pub fn names(&self) -> Vec<String> {
        self.files.lock().expect("not poisoned").keys().cloned().collect()
    }

    /// The bytes of a file.
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let files = self.files.lock().expect("not poisoned");
        files.get(name).map(|f| f.bytes.lock().expect("not poisoned").clone())
    }

    /// Puts a file there, or replaces it.
    pub fn insert(&self, name: &str, bytes: Vec<u8>) {
        let file = Arc::new(MemoryFile { bytes: Mutex::new(bytes), room: self.room.clone() });
        self.files.lock().expect("not poisoned").insert(name.to_owned(), file);
    }

    fn file(&self, name: &str) -> Result<Arc<MemoryFile>> {
        let files = self.files.lock().expect("not poisoned");
        files
            .get(name)
            .cloned()
            .ok_or_else(|| Error::io("cannot open", std::io::Error::from(std::io::ErrorKind::NotFound)).in_path(name))
    }
}

impl File for MemoryFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        let bytes = self.bytes.lock().expect("not poisoned");
        let end = offset as usize + buf.len();
        if end > bytes.len() {
            return Err(Error::new(Kind::Io, "read beyond the end of the file").at(offset));
        }
        buf.copy_from_slice(&bytes[offset as usize..end]);
        Ok(())
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        let mut bytes = self.bytes.lock().expect("not poisoned");
        let end = offset as usize + buf.len();
        if let Some(room) = &self.room {
            let mut room = room.lock().expect("not poisoned");
            let more = end.saturating_sub(bytes.len()) as u64;
            if more > *room {
                return Err(Error::io("cannot write", std::io::Error::from_raw_os_error(28)).at(offset));
            }
            *room -= more;
        }
        if end > bytes.len() {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(buf);
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().expect("not poisoned").len() as u64)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.bytes.lock().expect("not poisoned").resize(len as usize, 0);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl Outlet for MemoryOutlet {
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        if self.exists(name)? {
            return Err(
                Error::io("cannot create", std::io::Error::from(std::io::ErrorKind::AlreadyExists)).in_path(name)
            );
        }
        self.insert(name, Vec::new());
        Ok(self.file(name)?)
    }

    fn reopen(&self, name: &str) -> Result<Arc<dyn File>> {
        Ok(self.file(name)?)
    }

    fn exists(&self, name: &str) -> Result<bool> {
        Ok(self.files.lock().expect("not poisoned").contains_key(name))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut files = self.files.lock().expect("not poisoned");
        let file = files.remove(from).ok_or_else(|| Error::new(Kind::Io, "no such file").in_path(from))?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut files = self.files.lock().expect("not poisoned");
        files.remove(name).map(|_| ()).ok_or_else(|| Error::new(Kind::Io, "no such file").in_path(name))
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl Opener for MemoryOutlet {
    fn open(&self, name: &str) -> Result<Arc<dyn Source>> {
        self.file(name)?;
        Ok(Arc::new(Bytes(self.bytes(name).unwrap_or_default())))
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.names())
    }
}
