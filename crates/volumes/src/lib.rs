//! tintype: volumes.
