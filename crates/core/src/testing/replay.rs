//! A crash layer: records every change a writer makes, and rebuilds what a power cut would have left.

use super::memory::MemoryOutlet;
use crate::{File, Outlet, Result};
use std::collections::{BTreeMap, BTreeSet};
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

/// What a file that is open is called now.
type Name = Arc<Mutex<Option<String>>>;

/// An outlet that records what is done to it.
#[derive(Clone, Default)]
pub struct Recorder {
    inner: MemoryOutlet,
    steps: Arc<Mutex<Vec<Step>>>,
    // Of files that were opened; one that was replaced or removed has none.
    names: Arc<Mutex<Vec<Name>>>,
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

impl Recorder {
    /// The folder after these steps as a medium may hold it that keeps names in order but puts off everything it may: what was written
    /// to a file since it was last synced is there only if `kept` says so of its name.
    pub fn after_losing(steps: &[Step], kept: &dyn Fn(&str) -> bool) -> Result<MemoryOutlet> {
        let mut files: BTreeMap<&str, usize> = BTreeMap::new();
        // By the step that made a file: the last step that synced it.
        let mut synced: BTreeMap<usize, usize> = BTreeMap::new();
        let mut writes = Vec::new();
        for (i, step) in steps.iter().enumerate() {
            match step {
                Step::Create(name) => drop(files.insert(name, i)),
                Step::Rename(from, to) => {
                    if let Some(file) = files.remove(from.as_str()) {
                        files.insert(to, file);
                    }
                }
                Step::Remove(name) => drop(files.remove(name.as_str())),
                Step::Sync(name) => {
                    if let Some(file) = files.get(name.as_str()) {
                        synced.insert(*file, i);
                    }
                }
                Step::Write(name, ..) | Step::SetLen(name, _) => {
                    writes.extend(files.get(name.as_str()).map(|file| (i, *file, kept(name))));
                }
                Step::Mark(_) => {}
            }
        }
        let lost: BTreeSet<usize> = writes
            .into_iter()
            .filter(|(i, file, kept)| !kept && synced.get(file).is_none_or(|sync| i > sync))
            .map(|(i, ..)| i)
            .collect();
        let left: Vec<Step> =
            steps.iter().enumerate().filter(|(i, _)| !lost.contains(i)).map(|(_, step)| step.clone()).collect();
        Recorder::after(&left, None)
    }
}

impl Recorder {
    fn opened(&self, name: &str, file: Arc<dyn File>) -> Arc<dyn File> {
        let name = Arc::new(Mutex::new(Some(name.to_owned())));
        self.names.lock().expect("not poisoned").push(Arc::clone(&name));
        Arc::new(Recorded { name, file, recorder: self.clone() })
    }

    /// What is called `from` is called `to` from now on.
    fn renamed(&self, from: &str, to: Option<&str>) {
        for name in self.names.lock().expect("not poisoned").iter() {
            let mut name = name.lock().expect("not poisoned");
            if name.as_deref() == Some(from) {
                *name = to.map(str::to_owned);
            }
        }
    }
}

struct Recorded {
    name: Name,
    file: Arc<dyn File>,
    recorder: Recorder,
}

impl Recorded {
    fn note(&self, step: impl FnOnce(String) -> Step) {
        if let Some(name) = self.name.lock().expect("not poisoned").clone() {
            self.recorder.note(step(name));
        }
    }
}

impl File for Recorded {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        self.file.read_at(buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> Result<()> {
        self.file.write_at(buf, offset)?;
        self.note(|name| Step::Write(name, offset, buf.to_vec()));
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.file.set_len(len)?;
        self.note(|name| Step::SetLen(name, len));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.note(Step::Sync);
        Ok(())
    }
}

impl Outlet for Recorder {
    fn create(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = self.inner.create(name)?;
        self.note(Step::Create(name.to_owned()));
        Ok(self.opened(name, file))
    }

    fn reopen(&self, name: &str) -> Result<Arc<dyn File>> {
        let file = self.inner.reopen(name)?;
        Ok(self.opened(name, file))
    }

    fn exists(&self, name: &str) -> Result<bool> {
        self.inner.exists(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)?;
        self.note(Step::Rename(from.to_owned(), to.to_owned()));
        self.renamed(to, None);
        self.renamed(from, Some(to));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name)?;
        self.note(Step::Remove(name.to_owned()));
        self.renamed(name, None);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.note(Step::Sync(String::new()));
        Ok(())
    }
}
