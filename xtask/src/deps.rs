//! Sibling crates meet only through core.

use crate::{Outcome, root};
use serde_json::Value;
use std::process::Command;

/// Crates that never depend on each other.
const SIBLINGS: [&str; 7] = ["device", "formats", "volumes", "optical", "repo", "serve", "deploy"];

/// Fails if the arrows between our crates are not those of the picture in ARCHITECTURE.md.
pub fn check() -> Outcome {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("cargo metadata: {e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let wrong = wrong_arrows(&metadata);
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}

fn wrong_arrows(metadata: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(from) = package["name"].as_str().and_then(|n| n.strip_prefix("tintype-")) else { continue };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let Some(to) = dependency["name"].as_str().and_then(|n| n.strip_prefix("tintype-")) else { continue };
            if from != to && !allowed(from, to) {
                wrong.push(format!(
                    "{from} depends on {to}: siblings meet only through core, and nothing points upwards"
                ));
            }
        }
    }
    wrong
}

fn allowed(from: &str, to: &str) -> bool {
    match from {
        "core" | "codec" => false,
        // Doubles for their own tests.
        _ if SIBLINGS.contains(&from) => matches!(to, "core" | "codec"),
        "engine" => to != "tests",
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siblings_and_upward_arrows_are_wrong() {
        assert!(allowed("formats", "codec") && allowed("engine", "device") && allowed("tests", "formats"));
        assert!(!allowed("formats", "device") && !allowed("codec", "core") && !allowed("device", "engine"));
    }
}
