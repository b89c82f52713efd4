//! Writing.
//!
//! ```text
//!   header | L1 table | clusters and L2 tables, as they come | refcount blocks | refcount table
//! ```
//!
//! Workers take places for clusters from a counter and write there; whoever puts pieces in order writes down where they lie.
//! The header comes last, so that nothing looks like an image before it is one.

mod encode;
mod head;
mod pack;
mod plan;
mod references;
mod sink;

use encode::Target;
use plan::{Plan, Preallocation};
use sink::Writer;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use tintype_core::{CreateRequest, Result, Sink};

pub(super) use plan::OPTIONS;

pub(super) fn create(request: &CreateRequest) -> Result<Box<dyn Sink>> {
    let plan = Plan::of(request)?;
    let cluster = plan.geometry.cluster();
    let file = request.outlet.create(&request.name)?;
    let data = match &plan.data_file {
        Some(name) => request.outlet.create(name)?,
        None => Arc::clone(&file),
    };
    let area = plan.area();
    let taken = if plan.data_file.is_some() { 0 } else { area.map_or(0, |_| plan.clusters()) };
    let first = 1 + plan.l1_clusters();
    if plan.data_file.is_some() {
        data.set_len(plan.size)?;
    }
    if matches!(plan.preallocation, Preallocation::Falloc | Preallocation::Full) {
        let at = area.map_or(0, |area| area.base);
        data.allocate(at, if plan.data_file.is_some() { plan.size } else { taken * cluster })?;
    }
    let target = Target {
        file: data,
        geometry: plan.geometry,
        version: plan.version,
        area,
        next: Arc::new(AtomicU64::new(first + taken)),
        backing: plan.backing.as_ref().map(|b| Arc::clone(&b.source)),
    };
    Ok(Box::new(Writer::new(plan, file, target, request.name.clone())))
}
