//! Seeds for the fuzz targets, made by our own writers: small, and of every kind.

use crate::Outcome;
use std::path::Path;
use tintype_core::testing::{MemoryOutlet, Model, create_request, feed_model};
use tintype_core::{Extent, Format, Seal, State};
use tintype_formats::FORMATS;

/// Writes `DIR/TARGET/*` for the targets that read a format.
pub fn write(folder: &Path) -> Outcome {
    for format in FORMATS.iter().filter(|f| f.create.is_some()) {
        // The targets are called after the folders of the formats.
        let name = if format.name == "e01" { "ewf" } else { format.name };
        let target = folder.join(format!("open_{name}"));
        for (i, len) in [0usize, 512, 70_000].into_iter().enumerate() {
            let model = Model::mixed(len, &State::ALL, 512, i as u64 + 1);
            match seed(format, &model) {
                Ok(bytes) => {
                    put(&target, &format!("own-{len}"), &bytes)?;
                    if name == "zstd" {
                        put(&folder.join("zstd_agrees"), &format!("own-{len}"), &bytes)?;
                    }
                }
                // Some formats hold no empty disk.
                Err(e) if len == 0 => eprintln!("{}: no seed of {len} bytes: {e}", format.name),
                Err(e) => return Err(format!("{}: {e}", format.name)),
            }
        }
    }
    file_systems(folder)?;
    put(&folder.join("mapfile"), "own", b"# Mapfile\n0x0 ? 1\n0x0 0x1000 +\n0x1000 512 -\n0x1200 07000 /\n")?;
    for (i, locator) in ["/dev/sda#p1", "-", "nbd://host/x", "repo::web@latest", "./a::b#snap=one"].iter().enumerate() {
        put(&folder.join("locator"), &format!("own-{i}"), locator.as_bytes())?;
    }
    Ok(())
}

/// Small file systems, by the programs that everybody makes them with.
fn file_systems(folder: &Path) -> Outcome {
    const WAYS: [(&str, &str, &str, &[&str]); 6] = [
        ("open_ext", "ext2", "mke2fs", &["-q", "-F", "-t", "ext2", "-b", "1024", "-N", "32"]),
        (
            "open_ext",
            "ext4",
            "mke2fs",
            &["-q", "-F", "-t", "ext4", "-b", "1024", "-N", "32", "-O", "^has_journal,64bit"],
        ),
        (
            "open_ext",
            "inline",
            "mke2fs",
            &["-q", "-F", "-t", "ext4", "-b", "1024", "-N", "32", "-O", "^has_journal,inline_data,^metadata_csum"],
        ),
        (
            "open_ext",
            "bigalloc",
            "mke2fs",
            &["-q", "-F", "-t", "ext4", "-N", "32", "-O", "^has_journal,bigalloc,^metadata_csum", "-C", "8192"],
        ),
        ("open_fat", "fat12", "mkfs.fat", &["-F", "12", "-r", "64"]),
        ("open_fat", "fat32", "mkfs.fat", &["-F", "32", "-f", "1"]),
    ];
    for (target, name, tool, options) in WAYS {
        let target = folder.join(target);
        put(&target, name, &vec![0; 224 << 10])?;
        let mut command = std::process::Command::new(tool);
        command.args(options).arg(target.join(name));
        if tool == "mke2fs" {
            // Something to walk over.
            command.args(["-d", concat!(env!("CARGO_MANIFEST_DIR"), "/src/bench")]);
        }
        let made = command.output().map_err(|e| format!("{tool}: {e}"))?;
        if !made.status.success() {
            eprintln!("{tool} makes no seed {name}: {}", String::from_utf8_lossy(&made.stderr).trim());
        }
    }
    Ok(())
}

fn seed(format: &Format, model: &Model) -> tintype_core::Result<Vec<u8>> {
    let outlet = MemoryOutlet::new();
    let name = format!("s.{}", format.extensions.first().copied().unwrap_or(format.name));
    let create = format.create.expect("only writers are asked");
    let mut sink = create(&create_request(outlet.clone(), &name, model))?;
    let digests =
        sink.feed().digests.into_iter().map(|d| (d.clone(), vec![7; if d == "md5" { 16 } else { 20 }])).collect();
    let len = model.bytes.len() as u64;
    feed_model(&mut *sink, model, 0, len, 2)?;
    let lost: Vec<Extent> = model.runs.iter().filter(|r| r.state.is_lost()).copied().collect();
    let written = sink.finish(&Seal { len, digests, lost })?;
    Ok(written.files.first().and_then(|f| outlet.bytes(f)).unwrap_or_default())
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Outcome {
    let fail = |e: std::io::Error| format!("{}: {e}", folder.display());
    std::fs::create_dir_all(folder).map_err(fail)?;
    std::fs::write(folder.join(name), bytes).map_err(fail)
}
