//! The drive's own words: commands that go to a drive as they are, and what it answers.
//!
//! ```text
//!  scsi, ata, nvme      build commands, understand data
//!        |
//!     Channel::send     one attempt, a timeout always
//!        |
//!  allow::judge         the one table of what may be sent; writes are not in it
//!        |
//!      wire             SG_IO and the NVMe requests; takes only what was allowed
//! ```
//!
//! The block layer repeats a failed read up to a hundred times and tells a number; here a command is sent once, and the drive says what
//! is wrong and where. Only drives that the SCSI or NVMe layer of the kernel runs can be spoken to, and only by root.

mod allow;
mod answer;
mod ata;
mod channel;
mod command;
pub mod defects;
pub mod health;
mod nvme;
mod outcome;
mod scsi;
mod sense;
pub mod settings;
mod source;
mod uncorrected;
mod wire;

pub use allow::{Class, Consent, Row, TABLE};
pub use answer::Spoken;
pub(crate) use answer::Told;
pub use channel::{Channel, Way};
pub use nvme::Effort;
pub use outcome::Outcome;
pub use source::{Commanded, Dialect};
pub use uncorrected::{Manner, Uncorrected};
