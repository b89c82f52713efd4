//! Parts that are opened when they are needed, because a set may have more of them than a process may have open files.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tintype_core::{Error, Extent, Opener, Result, Shape, Source, in_range};

/// Most parts held open.
pub(super) const OPEN: usize = 64;

/// The parts that are open now, the one used last at the end.
pub(super) struct Handles {
    opener: Arc<dyn Opener>,
    open: Mutex<VecDeque<(usize, Arc<dyn Source>)>>,
}

impl Handles {
    pub fn new(opener: Arc<dyn Opener>) -> Self {
        Handles { opener, open: Mutex::new(VecDeque::new()) }
    }

    fn get(&self, part: &Lazy) -> Result<Arc<dyn Source>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = match open.iter().position(|(index, _)| *index == part.index).and_then(|at| open.remove(at)) {
            Some((_, handle)) => handle,
            None => {
                let handle = self.opener.open(&part.name)?;
                if handle.len() != part.len {
                    return Err(
                        Error::corrupt("the part has changed its length since it was opened").in_path(&part.name)
                    );
                }
                if open.len() >= OPEN {
                    open.pop_front();
                }
                handle
            }
        };
        open.push_back((part.index, Arc::clone(&handle)));
        Ok(handle)
    }
}

/// One part, opened when it is read.
pub(super) struct Lazy {
    pub handles: Arc<Handles>,
    pub index: usize,
    pub name: String,
    pub len: u64,
    pub shape: Shape,
}

impl Source for Lazy {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<()> {
        in_range(self.len, offset, buf.len() as u64)?;
        self.handles.get(self)?.read_at(buf, offset)
    }

    fn extent_at(&self, offset: u64) -> Result<Extent> {
        in_range(self.len, offset, 1)?;
        self.handles.get(self)?.extent_at(offset)
    }

    fn shape(&self) -> Shape {
        self.shape
    }
}
