//! What `image` and `convert` share: everything but what their arguments are called and where reports go.

use super::Context;
use super::common::{CaseArgs, ContentArgs, InputArgs, OutputArgs, ProofArgs, size};
use std::sync::Arc;
use tintype_core::{Error, Result};
use tintype_engine::image::{From, Reports, Request, Run};

/// Options of verbs that make images.
#[derive(clap::Args)]
pub struct ImagingArgs {
    /// Length of standard input, for formats that have to know it
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Input")]
    size: Option<u64>,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    content: ContentArgs,
    #[command(flatten)]
    proof: ProofArgs,
    #[command(flatten)]
    case: CaseArgs,
}

impl ImagingArgs {
    /// What is asked of the engine; `reports` is where they go unless the person says.
    pub fn request(
        &self,
        verb: &'static str,
        source: &str,
        targets: &[String],
        reports: Reports,
        context: &Context<'_>,
    ) -> Result<Request> {
        let inputs = self.input.inputs(context);
        let targets = targets.iter().map(|target| self.output.wish(target, &inputs)).collect::<Result<_>>()?;
        Ok(Request {
            verb,
            from: self.from(source, context)?,
            facts: self.case.facts(),
            targets,
            overwrite: self.output.overwrite(),
            digests: self.content.digests()?,
            policy: self.content.policy()?,
            fill: self.content.fill_words(),
            proof: self.proof.proof(),
            reports: self.case.report.clone().map_or(reports, Reports::Prefix),
            run: if self.output.dry_run { Run::Dry } else { Run::Real },
            command: std::env::args().collect(),
            watch: Arc::clone(&context.watch) as _,
        })
    }

    /// What is read: standard input, or something with positions.
    fn from(&self, source: &str, context: &Context<'_>) -> Result<From> {
        if source == "-" {
            return Ok(From::Stream(Box::new(std::io::stdin()), self.size));
        }
        if self.size.is_some() {
            return Err(Error::usage("--size is for standard input; files and drives know their size"));
        }
        Ok(From::Opened(Box::new(tintype_engine::open::open(source, &self.input.inputs(context))?)))
    }
}
