//! QEMU's programs, and whether they say of an image what we say.

use crate::{Run, ours, tool};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::Path;

/// `qemu-img` with words, which has to end well; what it says.
pub fn qemu_img(words: &[&dyn AsRef<OsStr>]) -> String {
    // For a key it measures its own processor time, which fails now and then where others are busy.
    let mut runs = (0..10).map(|_| tool("qemu-img", words).run());
    let measured = runs.find(|run| !run.stderr.contains("accurate CPU usage"));
    measured.expect("it can measure its time at last").exited(0).out()
}

/// Runs commands of `qemu-io` on an image, which all have to end well.
pub fn qemu_io(format: &str, image: &Path, commands: &[&str]) {
    let mut run = tool("qemu-io", &[&"-f", &format]);
    for command in commands {
        run = run.args(["-c", command]);
    }
    let out = run.arg(image).ok().out();
    assert!(!out.contains("failed"), "{out}");
}

/// What QEMU says is zeros we have to say too, and nothing else but what is zeros in `bytes`: holes of the file below a cluster, which
/// it looks at in some images only.
pub fn assert_zeros_agree(format: &str, image: &Path, bytes: &[u8]) {
    let theirs: Value =
        serde_json::from_str(&qemu_img(&[&"map", &"--output=json", &"-f", &format, &image])).expect("JSON");
    let number = |v: &Value| v.as_u64().expect("a number") as usize;
    let info = ours(&[&"info", &image, &"--extents", &"--json", &"-q"]).ok().json();
    let mut zeros = vec![false; bytes.len()];
    for e in info["extent_list"].as_array().expect("a list").iter().filter(|e| e["state"] == "zero") {
        let from = number(&e["offset"]);
        zeros[from..from + number(&e["len"])].fill(true);
    }
    let told = image.display();
    assert!(zeros.iter().zip(bytes).all(|(zero, byte)| !zero || *byte == 0), "{told}: zeros that are none");
    for e in theirs.as_array().expect("a list").iter().filter(|e| e["zero"] == true) {
        let (from, len) = (number(&e["start"]), number(&e["length"]));
        assert!(zeros[from..from + len].iter().all(|z| *z), "{told}: {e} is not told");
    }
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Good,
    /// It could not be opened, or not checked to the end.
    Refused,
    /// The tables are not what they should be.
    Damaged,
    /// There are clusters that nothing refers to, and nothing else is wrong.
    Leaks,
}

impl Verdict {
    /// What a run of `qemu-img check` came to.
    pub fn of(run: &Run) -> Self {
        match run.code() {
            Some(0) => Verdict::Good,
            Some(2) => Verdict::Damaged,
            Some(3) => Verdict::Leaks,
            _ => Verdict::Refused,
        }
    }
}

/// The verdict of `qemu-img check`, and what it said.
fn their_verdict(format: &str, image: &Path) -> (Verdict, String) {
    let run = tool("qemu-img", &[&"check", &"-f", &format, &image]).run();
    (Verdict::of(&run), run.to_string())
}

/// The verdict of `tintype verify`, and what it said.
pub fn our_verdict(image: &Path) -> (Verdict, Value) {
    let run = ours(&[&"verify", &image, &"--json", &"-q"]).run();
    if !matches!(run.code(), Some(0 | 1)) {
        return (Verdict::Refused, Value::Null);
    }
    let json = run.json();
    let Some(found) = json["findings"].as_array() else { return (Verdict::Refused, json) };
    let verdict = match run.code() {
        Some(1) => Verdict::Damaged,
        _ if found.iter().any(|f| f["what"].as_str().is_some_and(|f| f.contains("lost to the file"))) => Verdict::Leaks,
        _ => Verdict::Good,
    };
    (verdict, json)
}

/// An image that both call good, without a word of ours.
pub fn assert_sound(format: &str, image: &Path) {
    let (verdict, said) = their_verdict(format, image);
    assert_eq!(verdict, Verdict::Good, "{said}");
    let (verdict, json) = our_verdict(image);
    assert_eq!(verdict, Verdict::Good, "{}: {json}", image.display());
    assert_eq!(json["findings"], serde_json::json!([]));
}

/// Has both judge what is no image any more, or a damaged one; what they agreed on. What QEMU cannot open, or not check to the end, is
/// no verdict: we need not agree, but must not call it good.
pub fn assert_judged_alike(format: &str, image: &Path, damage: &str) -> Verdict {
    let (theirs, said) = their_verdict(format, image);
    let (ours, json) = our_verdict(image);
    match theirs {
        Verdict::Refused => assert_ne!(ours, Verdict::Good, "{damage}: {said}"),
        theirs => assert_eq!(ours, theirs, "{damage}\nours: {json}\ntheirs: {said}"),
    }
    theirs
}
