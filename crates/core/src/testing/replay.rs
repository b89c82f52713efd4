//! A crash layer: records every change a writer makes, and rebuilds what a power cut would have left.

use super::memory::MemoryOutlet;
use crate::{File, Outlet, Result};
use std::sync::{Arc, Mutex};

/// One change of the medium.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A file was made.
    Create(String),
    /// Bytes were written.
    Write(String, u64, Vec<u8>),
    /// A length was set.
    SetLen(String, u64),
    /// A file got another name.
    Rename(String, String),
    /// A file was removed.
    Remove(String),
    /// A file, or with an empty name the folder, was synced.
    Sync(String),
    /// A mark the test made, to know how far things had come.
    Mark(u64),
}

/// An outlet that records what is done to it.
#[derive(Clone, Default)]
pub struct Recorder {
    inner: MemoryOutlet,
    steps: Arc<Mutex<Vec<Step>>>,
}

impl Recorder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// All steps so far.
    pub fn steps(&self) -> Vec<Step> {
        self.steps.lock().expect("not poisoned").clone()
    }

    /// Adds a mark to the steps.
    pub fn mark(&self, value: u64) {
        self.note(Step::Mark(value));
    }

    /// The folder as it is now.
    pub fn folder(&self) -> &MemoryOutlet {
        &self.inner
    }

    fn note(&self, step: Step) {
        self.steps.lock().expect("not poisoned").push(step);
    }

    /// The folder after these steps; the last one, if it is a write, only with its first `torn` bytes.
    pub fn after(steps: &[Step], torn: Option<usize>) -> Result<MemoryOutlet> {
        let folder = MemoryOutlet::new();
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Create(name) => drop(folder.create(name)?),
                Step::Write(name, offset, bytes) => {
                    let keep = match torn {
                        Some(n) if i + 1 == steps.len() => n.min(bytes.len()),
                        _ => bytes.len(),
                    };
                    folder.reopen(name)?.write_at(&bytes[..keep], *offset)?;
                }
                Step::SetLen(name, len) => folder.reopen(name)?.set_len(*len)?,
                Step::Rename(from, to) => folder.rename(from, to)?,
                Step::Remove(name) => folder.remove(name)?,
                Step::Sync(_) | Step::Mark(_) => {}
            }
        }
        Ok(folder)
    }
}

struct Recorded {
    name: String,
    file: Arc<dyn File>,
    recorder: Recorder,
}

impl File for Recorded {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(buf, offset)?;
        self.recorder.note(Step::Write(self.name.clone(), offset, buf.to_vec()));
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)?;
        self.recorder.note(Step::SetLen(self.name.clone(), len));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.recorder.note(Step::Sync(self.name.clone()));
        Ok(())
    }
}

impl Outlet for Recorder {
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = self.inner.create(name)?;
        self.note(Step::Create(name.to_owned()));
        Ok(Arc::new(Recorded { name: name.to_owned(), file, recorder: self.clone() }))
    }

    fn reopen(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = self.inner.reopen(name)?;
        Ok(Arc::new(Recorded { name: name.to_owned(), file, recorder: self.clone() }))
    }

    fn exists(&self, name: &str) -> Result<bool> {
        self.inner.exists(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)?;
        self.note(Step::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name)?;
        self.note(Step::Remove(name.to_owned()));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.note(Step::Sync(String::new()));
        Ok(())
    }
}
