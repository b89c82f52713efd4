//! The list of tests, and which of them can run here.

use crate::Need;
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// One test.
#[derive(Debug)]
pub struct Case {
    /// `topic::name`.
    pub name: String,
    /// What it needs; all of it.
    pub needs: Vec<Need>,
    /// Panics if the program is wrong.
    pub run: fn(),
}

/// Makes a `pub fn topic() -> Vec<Case>` of the functions of a module: `name: [needs]`.
#[macro_export]
macro_rules! topic {
    ($($name:ident: [$($need:expr),* $(,)?]),* $(,)?) => {
        /// The tests of this topic.
        pub fn topic() -> Vec<$crate::Case> {
            let module = module_path!().rsplit("::").next().unwrap_or_default();
            vec![$($crate::Case {
                name: format!("{module}::{}", stringify!($name)),
                needs: vec![$($need),*],
                run: $name,
            }),*]
        }
    };
}

/// Runs the tests, with the arguments of the usual test harness.
///
/// A test whose needs are not met is listed as ignored, with what is missing. With `TINTYPE_TEST_ALL=1` it fails instead,
/// unless what is missing is named in `allow-missing.txt`.
pub fn run_suite(cases: Vec<Case>) -> ExitCode {
    let args = Arguments::from_args();
    let all = std::env::var_os("TINTYPE_TEST_ALL").is_some_and(|v| v == "1");
    let allowed = allowed();
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let trials = cases
        .into_iter()
        .map(|case| {
            let missing: Vec<String> = case
                .needs
                .iter()
                .filter(|need| !*known.entry(need.name()).or_insert_with(|| need.is_met()))
                .map(Need::name)
                .collect();
            // What takes long is left for the long run on purpose; that is no missing tool.
            let long = missing.iter().any(|m| m == "long");
            let run = case.run;
            if missing.is_empty() {
                return Trial::test(case.name, move || {
                    run();
                    Ok(())
                });
            }
            let what = format!("needs {}", missing.join(", "));
            if all && !long && !missing.iter().all(|m| allowed.contains(m)) {
                let message = format!("{what}; install it, or name it in tests/allow-missing.txt");
                return Trial::test(case.name, move || Err(message.into()));
            }
            Trial::test(case.name, || Ok(())).with_kind(what).with_ignored_flag(true)
        })
        .collect();
    let conclusion = libtest_mimic::run(&args, trials);
    crate::invocation::remove_home();
    conclusion.exit_code()
}

fn allowed() -> Vec<String> {
    include_str!("../allow-missing.txt")
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}
