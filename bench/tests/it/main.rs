//! The comparison end to end, in its quick mode: there are figures, answers are right, child processes end.
//!
//! Nothing here asserts a time, because figures of a loaded machine prove nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(arguments: &[&str], history: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(arguments)
        .arg("--history")
        .arg(history)
        .output()
        .expect("the bench binary runs")
}

/// The processes whose command line contains `text`.
fn processes_naming(text: &str) -> BTreeSet<String> {
    let entries = std::fs::read_dir("/proc").expect("proc is mounted");
    entries
        .filter_map(|entry| {
            let command = std::fs::read(entry.ok()?.path().join("cmdline")).ok()?;
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            command.contains(text).then_some(command)
        })
        .collect()
}

/// Checks the figures. Processor time has ticks of 10 ms, so a slow open loop may use none.
fn check_figures(windows: &Value, processor_time: bool, context: &str) {
    let figures = ["requests_per_second", "p50_us", "p99_us", "p999_us", "resident_kib"];
    for figure in figures.into_iter().chain(processor_time.then_some("cpu_us_per_request")) {
        let spread = &windows[figure];
        let at = |name: &str| spread[name].as_f64().unwrap_or(f64::NAN);
        assert!(at("min") > 0.0, "{context} {figure}: {spread}");
        assert!(at("min") <= at("median") && at("median") <= at("max"), "{context} {figure}: {spread}");
    }
}

#[test]
fn a_quick_comparison_gives_figures_for_every_peer() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = folder.path().join("history.jsonl");
    let arguments =
        ["compare", "--without-gateway", "--quick", "--seconds", "0.4", "--unpinned", "--rate", "200"];
    let cases = ["--case", "3x20-c4"];
    let output = bench(&[&arguments[..], &cases[..]].concat(), &history);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{errors}");

    let table = String::from_utf8(output.stdout).expect("the table is UTF-8");
    let lines = std::fs::read_to_string(&history).expect("a history was written");
    assert_eq!(lines.lines().count(), 1);
    let line: Value = serde_json::from_str(&lines).expect("a line is JSON");
    assert_eq!(line["case"], "3x20-c4");
    assert_eq!(line["rounds"], 3);
    let peers = line["peers"].as_object().expect("peers");
    for yardstick in ["scatter-hyper", "scatter-monoio"] {
        assert!(peers.contains_key(yardstick), "{line}");
    }
    for proxy in ["haproxy", "nginx"] {
        let left_out = errors.contains(&format!("{proxy} is not installed"));
        assert_ne!(peers.contains_key(proxy), left_out, "{proxy} is measured or said to be left out");
    }
    for (name, figures) in peers {
        assert!(table.contains(name.as_str()), "{table}");
        assert!(figures["idle_resident_kib"].as_u64() > Some(0), "{figures}");
        check_figures(&figures["closed"], true, name);
        check_figures(&figures["open"], false, name);
    }
}

#[test]
fn wrong_answers_fail_the_comparison_and_leave_no_process() {
    let folder = tempfile::tempdir().expect("a folder");
    let history = folder.path().join("history.jsonl");
    // A canned node in the gateway's place would be ready but refuse the gateway's flags, so it ends immediately.
    let gateway = env!("CARGO_BIN_EXE_bench");
    let arguments = ["compare", "--gateway", gateway, "--quick", "--unpinned", "--case", "3x200-c32"];
    let output = bench(&arguments, &history);
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("case 3x200-c32") && errors.contains("miroir"), "{errors}");
    assert!(!history.exists(), "a failed case leaves no line");
    // Only this test plays nodes with 200 hits.
    assert_eq!(processes_naming("canned-node --nodes 3 --hits 200"), BTreeSet::new());
}

#[test]
fn bad_arguments_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for (arguments, expected) in [
        (vec!["compare", "--gateway", "/nowhere/miroir"], "/nowhere/miroir"),
        (vec!["compare", "--without-gateway", "--case", "17x3"], "3x20-c32"),
        (vec!["compare", "--without-gateway", "--rounds", "0"], "at least one round"),
        (vec!["compare", "--without-gateway", "--seconds", "-1"], "-1"),
    ] {
        let output = bench(&arguments, &folder.path().join("history.jsonl"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && errors.contains(expected), "{arguments:?}: {errors}");
    }
}
