//! No file grows past what a person can hold in mind.

use crate::{Outcome, root};
use std::process::Command;

/// Lines of a file that is no test.
const MOST: usize = 1000;

/// Fails if a file of the checkout has more than [`MOST`] lines, its tests not counted.
pub fn check() -> Outcome {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.rs"])
        .current_dir(root())
        .output()
        .map_err(|e| format!("git: {e}"))?;
    if !output.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let mut too_long = Vec::new();
    for name in String::from_utf8_lossy(&output.stdout).split('\0').filter(|n| !n.is_empty()) {
        let Ok(text) = std::fs::read_to_string(root().join(name)) else { continue };
        let lines = lines_without_tests(&text);
        if lines > MOST && !is_test(name) {
            too_long.push(format!("{name}: {lines} lines"));
        }
    }
    if too_long.is_empty() {
        return Ok(());
    }
    Err(format!("longer than {MOST} lines; split along what they do:\n{}", too_long.join("\n")))
}

fn is_test(name: &str) -> bool {
    let mut folders = name.split('/');
    let file = folders.next_back().unwrap_or_default();
    file == "tests.rs" || folders.any(|f| f == "tests")
}

/// Lines before the module of unit tests that ends a file.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    lines.windows(2).position(|w| w[0] == "#[cfg(test)]" && w[1].ends_with('{')).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_do_not_count() {
        assert_eq!(lines_without_tests("a\nb\n#[cfg(test)]\nmod tests {\nc\n}\n"), 2);
        assert_eq!(lines_without_tests("a\n#[cfg(test)]\nmod tests;\nb\n"), 4);
        assert!(
            is_test("tests/suite/cli.rs") && is_test("crates/x/src/y/tests.rs") && !is_test("crates/x/src/tests_of.rs")
        );
    }
}
