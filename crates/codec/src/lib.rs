//! Bytes to bytes.
