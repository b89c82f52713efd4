//! Passphrases.

use crate::{Error, Result};

/// Where passphrases come from. Never the command line: other users see that.
pub trait Secrets: Send + Sync {
    /// The passphrase for `what`, a name for people. Fails with `Denied` where there is none.
    fn passphrase(&self, what: &str) -> Result<Vec<u8>>;
}

/// No passphrases.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSecrets;

impl Secrets for NoSecrets {
    fn passphrase(&self, what: &str) -> Result<Vec<u8>> {
        Err(Error::denied("is encrypted; give --passphrase-file or --passphrase-env").in_path(what))
    }
}
