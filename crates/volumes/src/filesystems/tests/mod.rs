mod hostile;
mod images;
mod lost;

use super::{FileSystem, Part, Survey, open, walk};
use std::ops::ControlFlow;
use std::sync::Arc;
use tintype_core::Source;

fn opened(source: &Arc<dyn Source>) -> Box<dyn FileSystem> {
    open(source).unwrap().expect("there is a file system")
}

/// Paths in the order in which they are met, and what was wrong on the way.
fn walked(fs: &dyn FileSystem) -> (Vec<String>, Vec<String>) {
    let (mut paths, mut errors) = (Vec::new(), Vec::new());
    walk(fs, fs.root(), b"", &mut |met| {
        match met {
            Ok(met) => paths.push(String::from_utf8_lossy(met.path).into_owned()),
            Err((_, e)) => errors.push(e.to_string()),
        }
        ControlFlow::Continue(())
    });
    (paths, errors)
}

fn parts(fs: &dyn FileSystem) -> Vec<Part> {
    let mut parts = Vec::new();
    Survey::default().look(fs, &mut |part, _| parts.push(part));
    parts.sort_by_key(|part| (part.rank, part.range.start, part.range.end));
    parts.dedup();
    parts
}
