//! The whole program, beside other people's tools: one binary, one file a topic.

// Every line of this crate is a test; clippy knows only those with the attribute.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;

mod again;
mod attached;
mod cli;
mod clone;
mod faults;
mod files;
mod guest;
mod hostile;
mod image;
mod interop_blocks;
mod interop_ewf;
mod interop_ova;
mod interop_packed;
mod interop_vmdk;
mod large;
mod map;
mod matrix;
mod memory;
mod outside;
mod qcow;
mod qcow2;
mod qed;
mod refusals;
mod rescue;
mod rescue_kept;
mod rescue_options;
mod restore;
mod resume;
mod streams;
mod value;
mod verify;

fn main() -> ExitCode {
    let topics = [
        again::topic,
        attached::topic,
        cli::topic,
        clone::topic,
        faults::topic,
        files::topic,
        guest::topic,
        hostile::topic,
        image::topic,
        interop_blocks::topic,
        interop_ewf::topic,
        interop_ova::topic,
        interop_packed::topic,
        interop_vmdk::topic,
        large::topic,
        map::topic,
        matrix::topic,
        memory::topic,
        outside::topic,
        qcow::topic,
        qcow2::topic,
        qed::topic,
        refusals::topic,
        rescue::topic,
        rescue_kept::topic,
        rescue_options::topic,
        restore::topic,
        resume::topic,
        streams::topic,
        value::topic,
        verify::topic,
    ];
    tintype_tests::run_suite(topics.into_iter().flat_map(|topic| topic()).collect())
}
