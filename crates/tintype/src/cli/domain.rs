//! Options that say which bytes are meant.

use super::common::size;
use tintype_core::Result;
use tintype_core::mapfile::{END, Gaps, Mapfile, Status};
use tintype_engine::map::Domain;

/// Which bytes are meant.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Domain")]
pub struct DomainArgs {
    /// Only what is finished in this map
    #[arg(long, value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    pub domain: Option<String>,
    /// The map given to --domain may have gaps and blocks in any order
    #[arg(long, requires = "domain")]
    pub loose: bool,
    /// Only from this position on
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "0", hide_default_value = true)]
    pub offset: u64,
    /// Only this many bytes
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub size: Option<u64>,
}

impl DomainArgs {
    /// The domain.
    pub fn domain(&self) -> Result<Domain> {
        let end = self.size.map_or(END, |size| self.offset.saturating_add(size).min(END));
        let gaps = if self.loose { Gaps::Filled(Status::NonTried) } else { Gaps::Refused };
        let finished = self.domain.as_ref().map(|path| load(path, gaps)).transpose()?;
        Ok(Domain::new(self.offset.min(end)..end, finished.as_ref()))
    }
}

/// Reads a map.
pub fn load(path: &str, gaps: Gaps) -> Result<Mapfile> {
    Mapfile::parse(&tintype_engine::map::read(path)?, gaps).map_err(|e| e.in_path(path))
}
