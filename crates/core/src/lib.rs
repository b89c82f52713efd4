//! The vocabulary of tintype.
//!
//! Everything readable is a [`Source`]; everything an image can be written to is a [`Sink`]; one engine, in another
//! crate, moves bytes between them. This crate holds the contracts and the small types they are made of. It does no
//! I/O of its own, knows no format and no device, and depends on nothing but the standard library.
//!
//! Start with [`Source`], [`Sink`] and [`Format`]. Then:
//!
//! - what is known about bytes: [`State`], [`Extent`], [`ExtentMap`], [`Facts`]
//! - how images reach files: [`Entry`], [`Opener`] to read, [`Outlet`], [`File`], [`Disk`] to write
//! - what goes wrong: [`Error`], [`Kind`], [`Limits`]
//! - sources made of sources: [`layers`]
//! - test doubles and the suite every format has to pass: `testing` (feature `testing`)

#![forbid(unsafe_code)]

mod aligned;
mod disk;
mod entry;
mod error;
mod extent;
mod facts;
mod format;
pub mod layers;
mod limits;
mod locator;
mod map;
pub mod mapfile;
mod options;
mod outlet;
mod ranges;
mod secrets;
mod sink;
mod source;
#[cfg(feature = "testing")]
pub mod testing;
mod watch;

pub use aligned::Aligned;
pub use disk::Disk;
pub use entry::{Body, Entry, NoFiles, Opener};
pub use error::{Error, Kind, Result};
pub use extent::{Detail, Extent, State, States};
pub use facts::{Case, Covers, Facts, Identity, StoredDigest};
pub use format::{
    Backing, Caps, Care, Check, Checksums, Create, CreateRequest, Finding, Format, Image, Link, Open, OpenPart,
    OpenRequest, Order, PROBE_HEAD, PROBE_TAIL, Part, Probe, Resume, Severity,
};
pub use limits::Limits;
pub use locator::{Locator, PartName, Place};
pub use map::ExtentMap;
pub use options::{Compression, OptionSpec, Options, human_size, parse_size};
pub use outlet::{File, Outlet, PARTIAL, Partial, Stored, TAKEN};
pub use ranges::RangeMap;
pub use secrets::{NoSecrets, Secrets};
pub use sink::{Checkpoint, Coded, CodedChunk, Encoder, Feed, Piece, PieceBody, Resumed, Seal, Sink, Written};
pub use source::{Extents, Shape, Source, extents, in_range};
pub use watch::{Event, Silent, Standing, Watch};
