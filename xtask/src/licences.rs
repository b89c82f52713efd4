//! Nothing is linked whose licence deny.toml does not allow. `cargo deny` says more; this needs nothing but cargo.

use crate::{Outcome, root};
use serde_json::Value;
use std::process::Command;

/// Fails if a package of the dependency tree cannot be used under the licences that deny.toml allows.
pub fn check() -> Outcome {
    let path = root().join("deny.toml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let allowed = allowed(&text);
    if allowed.is_empty() {
        return Err("deny.toml allows no licence".into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        // What is linked elsewhere was never downloaded on a new machine.
        .args(["--filter-platform", &host()?])
        .current_dir(root())
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|e| format!("cargo metadata: {e}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let refused: Vec<String> = packages
        .iter()
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or_default();
            let fine = permits(licence, &allowed);
            (!fine).then(|| format!("{} is under {licence:?}, which deny.toml does not allow", package["name"]))
        })
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(refused.join("\n")) }
}

/// The platform that is built for, as rustc calls it.
fn host() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().map_err(|e| format!("rustc: {e}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("rustc -vV names no host: {said}"))
}

/// The list `allow` of deny.toml.
fn allowed(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).skip_while(|l| !l.starts_with("allow = ["));
    let items = lines.skip(1).take_while(|l| !l.starts_with(']'));
    items.filter_map(|l| l.strip_prefix('"')?.split('"').next().map(str::to_owned)).collect()
}

/// True if some choice of an SPDX expression is allowed as a whole.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let plain = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let is_allowed = |name: &str| allowed.iter().any(|a| a == name.trim());
    // Without brackets AND binds closer than OR; where brackets say otherwise every side has to be allowed.
    match expression.contains('(') {
        true => plain.split(" AND ").all(|part| part.split(" OR ").any(is_allowed)),
        false => plain.split(" OR ").any(|part| part.split(" AND ").all(is_allowed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_linked_is_permissive() {
        check().unwrap();
    }

    #[test]
    fn a_choice_is_enough_and_an_addition_counts() {
        let allowed = allowed("[licenses]\nallow = [\n  \"MIT\",\n  \"Unicode-3.0\",\n]\nmore = [\"GPL-3.0\"]\n");
        assert_eq!(allowed, ["MIT", "Unicode-3.0"]);
        for fine in ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(permits(fine, &allowed), "{fine}");
        }
        for wrong in ["GPL-3.0", "MIT AND GPL-3.0", "", "(MIT OR Apache-2.0) AND GPL-3.0"] {
            assert!(!permits(wrong, &allowed), "{wrong}");
        }
    }
}
