//! `map show`

use super::{Context, DomainArgs, load, tell};
use crate::output::{Output, Status as Exit};
use crate::standing::{Paint, row};
use tintype_core::mapfile::Status;
use tintype_core::{Result, human_size};
use tintype_engine::map::draw::{Drawing, draw};
use tintype_engine::map::stats::Stats;

/// Options of `map show`.
#[derive(clap::Args)]
pub struct ShowArgs {
    /// The map
    #[arg(value_name = "MAP", value_hint = clap::ValueHint::FilePath)]
    map: String,
    /// Cells in a row
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1000))]
    columns: u16,
    /// Most rows
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1000))]
    rows: u16,
    #[command(flatten)]
    domain: DomainArgs,
}

/// Runs it.
pub fn run(args: &ShowArgs, context: &Context<'_>) -> Result<Exit> {
    let map = load(&args.map)?;
    let domain = args.domain.domain()?;
    let stats = Stats::of(&args.map, &map, &domain);
    let columns = usize::from(args.columns);
    let drawing = draw(&map, &domain, columns * usize::from(args.rows));
    let mut document = serde_json::to_value(&stats).unwrap_or_default();
    let cells = drawing.cells.iter().map(|c| c.map_or(' ', Status::sign)).collect::<String>();
    document["drawing"] =
        serde_json::json!({ "offset": drawing.offset, "cell": drawing.cell, "columns": columns, "cells": cells });
    let text = format!("{}\n{}", tell::sums(&stats), picture(&drawing, columns, Paint::of_stdout()));
    Output::new(context.common, context.stdout).result(&document, &text)?;
    Ok(Exit::Done)
}

fn picture(drawing: &Drawing, columns: usize, paint: Paint) -> String {
    let mut text = String::new();
    for (line, cells) in drawing.cells.chunks(columns).enumerate() {
        let offset = drawing.offset + drawing.cell * (line * columns) as u64;
        text.push_str(&format!("{:>10}  ", human_size(offset)));
        text += &row(cells.iter().copied(), paint);
        text.push('\n');
    }
    let cell = drawing.cell;
    text.push_str(&format!(
        "{:>10}  a cell is {} ({cell} bytes) and shows the worst in it: \
         █ finished, ? not tried, * not trimmed, / not scraped, - bad\n",
        "",
        human_size(cell)
    ));
    text
}
