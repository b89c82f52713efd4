//! `devices`

use super::Context;
use crate::output::{Output, Status};
use tintype_core::Result;
use tintype_device::System;
use tintype_device::enumerate::{Drive, Health, Use, devices};

/// Options of `devices`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype devices           which drive is which
  tintype devices --json    the same for programs")]
pub struct Args {}

/// Runs it.
pub fn run(_args: &Args, context: &Context<'_>) -> Result<Status> {
    let drives = devices(&System::here());
    let document = serde_json::json!({ "devices": drives.iter().map(drive).collect::<Vec<_>>() });
    Output::new(context.common, context.stdout).result(&document, &crate::report::devices(&drives))?;
    Ok(Status::Done)
}

fn uses(list: &[Use]) -> Vec<serde_json::Value> {
    list.iter()
        .map(|u| match u {
            Use::Mounted(point) => serde_json::json!({"kind": "mounted", "at": point}),
            Use::Swap => serde_json::json!({"kind": "swap"}),
            Use::Held(by) => serde_json::json!({"kind": "held", "by": by}),
            Use::Loop(by) => serde_json::json!({"kind": "loop", "by": by}),
        })
        .collect()
}

fn drive(d: &Drive) -> serde_json::Value {
    let why = match &d.health {
        Health::Worn(why) | Health::Failed(why) => Some(why),
        Health::Unknown | Health::Good => None,
    };
    serde_json::json!({
        "path": d.path,
        "title": d.title,
        "model": d.identity.model,
        "serial": d.identity.serial,
        "firmware": d.identity.firmware,
        "wwn": d.identity.wwn,
        "transport": d.identity.transport,
        "size": d.len,
        "sector": d.sector,
        "physical_sector": d.physical,
        "rotational": d.rotational,
        "removable": d.removable,
        "read_only": d.read_only,
        "backing": d.backing,
        "made_of": d.made_of,
        "links": d.links,
        "health": d.health.name(),
        "health_reason": why,
        "uses": uses(&d.uses),
        "partitions": d.partitions.iter().map(|p| serde_json::json!({
            "path": p.path, "number": p.number, "offset": p.offset, "size": p.len, "uses": uses(&p.uses),
        })).collect::<Vec<_>>(),
    })
}
