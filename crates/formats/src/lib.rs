//! tintype: formats.
