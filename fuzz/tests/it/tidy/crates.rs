//! Dependencies between the crates of the workspace point one way.

use toml::{Table, Value};

use super::{File, assert_none, offender, repository};

/// Every crate, by its folder, with those of ours it may depend on, for its tests as well.
const MAY_DEPEND_ON: [(&str, &[&str]); 10] = [
    ("router", &[]),
    ("merge", &[]),
    ("store", &[]),
    ("gateway/protocol", &["router", "merge", "store"]),
    ("gateway/ctl", &[]),
    ("gateway", &["protocol", "router", "merge", "store"]),
    ("cluster/node", &[]),
    ("cluster", &["node", "gateway", "ctl", "router", "merge", "store"]),
    ("bench", &["node", "gateway", "router", "merge", "store"]),
    ("fuzz", &["node", "gateway", "router", "merge", "store"]),
];

#[test]
fn dependencies_point_one_way() {
    let files = repository();
    let manifest = |name: &str| {
        let path = format!("{name}/Cargo.toml");
        files.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is missing"))
    };
    let offenders = MAY_DEPEND_ON.iter().flat_map(|(name, allowed)| upwards(manifest(name), allowed));
    assert_none("Dependencies between crates point one way.", offenders);
}

#[test]
fn every_crate_of_the_workspace_has_a_rule() {
    let files = repository();
    let root = files.iter().find(|file| file.path == "Cargo.toml").expect("the workspace has a manifest");
    let manifest = root.text.parse::<Table>().expect("the manifest is TOML");
    let members = manifest["workspace"]["members"].as_array().expect("members are a list");
    let mut members = members.iter().filter_map(Value::as_str).collect::<Vec<_>>();
    let mut ruled = MAY_DEPEND_ON.map(|(name, _)| name);
    members.sort_unstable();
    ruled.sort_unstable();
    assert_eq!(members, ruled);
}

/// Dependencies of ours that are not `allowed`, of all kinds and targets.
fn upwards(manifest: &File, allowed: &[&str]) -> Vec<String> {
    let table = manifest.text.parse::<Table>().expect("a manifest is TOML");
    let mut offenders = Vec::new();
    collect(&table, &mut |alias, dependency| {
        let name = dependency.get("package").and_then(Value::as_str).unwrap_or(alias);
        let ours = MAY_DEPEND_ON.iter().any(|(folder, _)| folder.rsplit('/').next() == Some(name));
        if ours && !allowed.contains(&name) {
            let opens = |line: &str| line.trim_start().starts_with(alias);
            let line = manifest.text.lines().position(opens).map_or(1, |at| at + 1);
            offenders.push(offender(&manifest.path, line, format_args!("depends on {name}")));
        }
    });
    offenders
}

fn collect(table: &Table, found: &mut impl FnMut(&str, &Value)) {
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        for (alias, dependency) in table.get(kind).and_then(Value::as_table).into_iter().flatten() {
            found(alias, dependency);
        }
    }
    for target in table.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values) {
        if let Some(target) = target.as_table() {
            collect(target, found);
        }
    }
}

#[test]
fn a_dependency_upwards_is_seen() {
    let check = |text: &str| upwards(&File::new("merge/Cargo.toml", text), &["router"]);
    assert_eq!(check("[dependencies]\nrouter.workspace = true\nserde = \"1\""), [""; 0]);
    assert_eq!(
        check("[dependencies]\n\ngateway.workspace = true"),
        ["merge/Cargo.toml:3: depends on gateway"]
    );
    assert_eq!(
        check("[dev-dependencies]\nother = { path = \"../cluster/node\", package = \"node\" }"),
        ["merge/Cargo.toml:2: depends on node"]
    );
    assert_eq!(check("[target.'cfg(unix)'.build-dependencies.fuzz]\npath = \"../fuzz\"").len(), 1);
}
