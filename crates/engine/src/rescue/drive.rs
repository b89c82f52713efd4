//! Opens the drive that is to be rescued.

use crate::open::{Medium, medium_of};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tintype_core::{Error, Event, Result, Source, Watch};
use tintype_device::passthrough::{Channel, Commanded, Dialect};
use tintype_device::{block, file};

/// Whether a drive is read by its own commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passthrough {
    /// Where that is possible.
    Auto,
    /// No: through the kernel, past the page cache.
    Never,
    /// By these, or not at all.
    Only(Dialect),
}

/// After a command's time is over the kernel aborts it, and resets what does not listen: that takes so long on top.
const RECOVERY: Duration = Duration::from_secs(60);

/// A drive that is open.
pub struct OpenDrive {
    /// Its bytes.
    pub source: Arc<dyn Source>,
    /// How long a read may take before it is left behind.
    pub deadline: Duration,
    /// The same drive, where it is read by its own commands.
    pub commanded: Option<Arc<Commanded>>,
}

/// Opens the drive or file at `path`, whose reads may take `timeout`.
pub fn open_drive(path: &Path, how: Passthrough, timeout: Duration, watch: &dyn Watch) -> Result<OpenDrive> {
    let drive = match medium_of(path)? {
        Medium::Drive => Arc::new(block::open(path)?),
        Medium::File if matches!(how, Passthrough::Only(_)) => {
            return Err(Error::usage("is a file, which takes no commands").in_path(path));
        }
        Medium::File => {
            let source = Arc::new(file::Uncached::open(path)?);
            return Ok(OpenDrive { source, deadline: timeout, commanded: None });
        }
        Medium::Folder => return Err(Error::usage("is a folder, no drive").in_path(path)),
    };
    let commanded = match how {
        Passthrough::Never => None,
        Passthrough::Auto => match Channel::of(&drive) {
            Ok(Some(channel)) => match Commanded::new(Arc::clone(&drive), channel, None, timeout) {
                Ok(commanded) => Some(commanded),
                Err(e) => {
                    watch.event(&Event::Note(format!("read through the kernel: {}", e.chain())));
                    None
                }
            },
            Ok(None) => None,
            Err(e) => {
                watch.event(&Event::Note(format!("read through the kernel: {}", e.chain())));
                None
            }
        },
        Passthrough::Only(dialect) => {
            let channel = Channel::of(&drive)?.ok_or_else(|| {
                Error::unsupported("takes no commands; leave out --passthrough to read it through the kernel")
                    .in_path(path)
            })?;
            Some(Commanded::new(Arc::clone(&drive), channel, Some(dialect), timeout)?)
        }
    };
    Ok(match commanded.map(Arc::new) {
        Some(commanded) => {
            watch.event(&Event::Note(format!("read by {}, each tried once", commanded.dialect().name())));
            OpenDrive {
                source: Arc::clone(&commanded) as Arc<dyn Source>,
                deadline: timeout.saturating_add(RECOVERY),
                commanded: Some(commanded),
            }
        }
        None => OpenDrive { source: drive, deadline: timeout, commanded: None },
    })
}
