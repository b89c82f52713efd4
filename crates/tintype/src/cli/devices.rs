//! `devices`

use super::Context;
use crate::output::{Output, Status};
use tintype_core::{Event, Result, Watch};
use tintype_device::System;
use tintype_device::enumerate::{Drive, Health, Use, devices};
use tintype_device::passthrough::{Channel, health};

/// Options of `devices`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  tintype devices           which drive is which
  tintype devices --health  and how they are, by their own word
  tintype devices --json    the same for programs")]
pub struct Args {
    /// Ask every drive how it is (SMART); drives that sleep wake up, and only root may
    #[arg(long)]
    health: bool,
}

/// Runs it.
pub fn run(args: &Args, context: &Context<'_>) -> Result<Status> {
    let mut drives = devices(&System::here());
    let mut reports = vec![None; drives.len()];
    if args.health {
        for (drive, report) in drives.iter_mut().zip(&mut reports) {
            match ask(drive) {
                Ok(told) => *report = told,
                Err(e) => context.watch.event(&Event::Note(format!("{}: {}", drive.path.display(), e.chain()))),
            }
        }
    }
    let document = serde_json::json!({
        "devices": drives.iter().zip(&reports).map(|(d, r)| drive(d, r.as_ref())).collect::<Vec<_>>()
    });
    Output::new(context.common, context.stdout).result(&document, &crate::report::devices(&drives))?;
    Ok(Status::Done)
}

/// What a drive says of its health, which becomes the one that is shown; `None` if it cannot be asked.
fn ask(drive: &mut Drive) -> Result<Option<health::Report>> {
    // Drives that are made of others, or of a file, have no health of their own.
    if drive.len == 0 || drive.backing.is_some() || !drive.made_of.is_empty() {
        return Ok(None);
    }
    let open = tintype_device::block::open(&drive.path)?;
    let Some(channel) = Channel::of(&open)? else { return Ok(None) };
    let report = health::ask(&channel)?;
    match report.health() {
        Health::Unknown => {}
        health => drive.health = health,
    }
    Ok(Some(report))
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

fn drive(d: &Drive, report: Option<&health::Report>) -> serde_json::Value {
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
        "smart": report.map(|r| serde_json::json!({
            "failing": r.failing,
            "temperature": r.temperature,
            "power_on_hours": r.hours,
            "reallocated": r.reallocated,
            "pending": r.pending,
            "uncorrected": r.uncorrected,
            "used_percent": r.used,
            "spare_percent": r.spare,
        })),
        "uses": uses(&d.uses),
        "partitions": d.partitions.iter().map(|p| serde_json::json!({
            "path": p.path, "number": p.number, "offset": p.offset, "size": p.len, "uses": uses(&p.uses),
        })).collect::<Vec<_>>(),
    })
}
