//! `hash`: digests of the logical bytes.

use crate::pipeline::{self, Input, Job, Policy};
use crate::report::{self, Range, by_name};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tintype_codec::digest::{Algorithm, Hasher};
use tintype_core::{Result, State, Watch};

/// What to hash.
pub struct Request {
    /// The source, for the result.
    pub locator: String,
    /// The format, for the result.
    pub format: String,
    /// Its bytes.
    pub input: Input,
    /// Digests to compute.
    pub digests: Vec<Algorithm>,
    /// What to do when a read fails.
    pub policy: Policy,
    /// What stands for lost bytes, in words.
    pub fill: String,
    /// Shows the work, and says when to stop.
    pub watch: Arc<dyn Watch>,
}

/// What hashing came to.
#[derive(Debug, Serialize)]
pub struct Hashed {
    /// The source.
    pub source: String,
    /// Its format.
    pub format: String,
    /// Logical bytes.
    pub size: u64,
    /// The digests.
    pub digests: BTreeMap<String, String>,
    /// What they cover.
    pub digests_cover: String,
    /// Bytes by state.
    pub extents: BTreeMap<String, u64>,
    /// Ranges that are no data of the medium.
    pub bad: Vec<Range>,
    /// Ranges that were not, or not finally, tried.
    pub unread: Vec<Range>,
    /// Seconds it took.
    pub seconds: f64,
}

/// Computes the digests.
pub fn run(request: Request) -> Result<Hashed> {
    let clock = Instant::now();
    let outcome = pipeline::run(Job {
        input: request.input,
        from: 0,
        lanes: Vec::new(),
        hashers: request.digests.iter().map(|a| Hasher::new(*a)).collect(),
        policy: request.policy,
        title: "hashing".into(),
        watch: request.watch,
    });
    if let Some(error) = outcome.error {
        return Err(error);
    }
    let lost: u64 = outcome.lost.iter().map(|e| e.len).sum();
    Ok(Hashed {
        source: request.locator,
        format: request.format,
        size: outcome.len,
        digests: outcome.hashers.into_iter().map(|h| (h.algorithm().name().to_owned(), h.finish().to_hex())).collect(),
        digests_cover: report::coverage(outcome.len, lost, &request.fill),
        extents: by_name(&outcome.totals),
        bad: outcome.lost.iter().filter(|e| e.state == State::Bad).map(Range::from).collect(),
        unread: outcome.lost.iter().filter(|e| e.state == State::Unread).map(Range::from).collect(),
        seconds: clock.elapsed().as_secs_f64(),
    })
}
