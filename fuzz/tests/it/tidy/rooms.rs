//! The rooms of the gateway: which may import which, and that no files import each other in a circle.
//!
//! - The table is the building's plan: rooms stand on floors, the lowest first, and a room touches lower floors only.
//! - A new arrow between rooms, and a room without a row, fail; so does a row that allows what nobody imports.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::{Module, modules};
use super::{File, assert_none, offender, repository};

/// The crate that has rooms.
const GATEWAY: &str = "gateway/src/";
/// Every room, which is a folder or a file of the gateway's sources, with its floor and the rooms that it may import.
const MAY_IMPORT: [(u32, &str, &[&str]); 24] = [
    (0, "clock", &[]),
    (1, "config", &[]),
    (1, "observe", &["clock"]),
    (2, "wire", &["observe", "config", "clock"]),
    // These two are folders of the pure crate `protocol`, which imports nothing of the gateway.
    (3, "api", &[]),
    (3, "auth", &[]),
    (4, "console", &["wire", "config"]),
    (4, "nodes", &["api", "wire", "observe", "config"]),
    (5, "state", &["nodes", "console", "auth", "api", "wire", "observe", "config", "clock"]),
    (6, "operations", &["state", "config", "clock"]),
    (6, "read", &["state", "nodes", "auth", "api", "wire", "observe", "config", "clock"]),
    (7, "write", &["read", "state", "nodes", "api", "wire", "observe", "config", "clock"]),
    (8, "dump", &["write", "read", "state", "nodes", "auth", "api", "wire", "observe", "config", "clock"]),
    (8, "events", &["write", "state", "api", "wire", "observe", "config", "clock"]),
    (8, "pods", &["state", "nodes", "auth", "api", "wire", "observe", "config", "clock"]),
    (8, "lifecycle", &["write", "read", "operations", "state", "api", "wire", "observe", "config", "clock"]),
    (8, "traffic", &["read", "state", "api", "wire", "observe", "config", "clock"]),
    (9, "repair", &["pods", "write", "state", "nodes", "api", "wire", "observe", "config", "clock"]),
    (
        10,
        "membership",
        &["repair", "pods", "write", "read", "state", "nodes", "api", "wire", "observe", "config", "clock"],
    ),
    (
        11,
        "handlers",
        &[
            "membership",
            "repair",
            "lifecycle",
            "events",
            "traffic",
            "dump",
            "write",
            "read",
            "operations",
            "state",
            "nodes",
            "auth",
            "api",
            "wire",
            "observe",
            "config",
            "clock",
        ],
    ),
    (
        11,
        "jobs",
        &[
            "membership",
            "repair",
            "dump",
            "events",
            "lifecycle",
            "traffic",
            "pods",
            "write",
            "operations",
            "state",
            "nodes",
            "console",
            "api",
            "wire",
            "observe",
            "config",
            "clock",
        ],
    ),
    (
        12,
        "pages",
        &["handlers", "read", "state", "console", "auth", "api", "wire", "observe", "config", "clock"],
    ),
    (
        13,
        "server",
        &[
            "pages", "handlers", "write", "read", "state", "console", "auth", "api", "wire", "observe",
            "config", "clock",
        ],
    ),
    (
        14,
        "process",
        &[
            "server",
            "jobs",
            "membership",
            "pods",
            "write",
            "state",
            "nodes",
            "console",
            "auth",
            "api",
            "wire",
            "observe",
            "config",
            "clock",
        ],
    ),
];
/// Rooms that are folders of another crate.
const OF_PROTOCOL: [&str; 2] = ["api", "auth"];

#[test]
fn rooms_import_what_the_plan_allows() {
    let modules = modules(repository(), GATEWAY);
    let plan = plan();
    assert_none(
        "A room of gateway/src imports the rooms of its row in MAY_IMPORT only.",
        arrows(&modules, &plan),
    );
    assert_none("Every room of gateway/src has a row in MAY_IMPORT.", rooms_without_a_row(&modules, &plan));
    assert_none("A row of MAY_IMPORT allows what its room imports.", unused(&modules, &plan));
}

#[test]
fn rows_allow_lower_floors_only() {
    let floors = MAY_IMPORT.map(|(floor, room, _)| (room, floor)).into_iter().collect::<BTreeMap<_, _>>();
    for (floor, room, allowed) in MAY_IMPORT {
        for below in allowed {
            assert!(floors[below] < floor, "{room} may not import {below}: it is not on a lower floor");
        }
    }
}

#[test]
fn the_map_shows_every_room() {
    let files = repository();
    let map = files.iter().find(|file| file.path == "ARCHITECTURE.md").expect("there is a map");
    assert_none(
        "ARCHITECTURE.md has every room on its floor, and a paragraph on it.",
        not_on_map(map, &MAY_IMPORT),
    );
}

#[test]
fn files_of_a_crate_import_each_other_in_no_circle() {
    let files = repository();
    let crates = files.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    let circles = crates.flat_map(|krate| circles(&modules(files, &format!("{krate}/src/"))));
    assert_none("No files of a crate import each other in a circle.", circles);
}

/// Rooms that the map's table does not show on their floor, and those that have folders and no heading there.
fn not_on_map(map: &File, plan: &[(u32, &str, &[&str])]) -> Vec<String> {
    let has =
        |start: &str, name: &str| map.text.lines().any(|line| line.starts_with(start) && line.contains(name));
    let mut offenders = Vec::new();
    for (floor, room, _) in plan {
        let (row, folder, file) = (format!("| {floor} |"), format!("`{room}/`"), format!("`{room}.rs`"));
        if !has(&row, &folder) && !has(&row, &file) {
            offenders.push(format!("{}: no row shows {room} on floor {floor}", map.path));
        }
        if !has("### ", &folder) && !has(&row, &file) {
            offenders.push(format!("{}: no paragraph is about {room}", map.path));
        }
    }
    offenders
}

/// What each room may import.
type Plan = BTreeMap<&'static str, &'static [&'static str]>;

fn plan() -> Plan {
    let rows = MAY_IMPORT.map(|(_, room, allowed)| (room, allowed));
    rows.into_iter().collect()
}

/// The room that a module stands in; none for the crate's root.
fn room(module: &Module) -> Option<&str> {
    module.name.first().map(String::as_str)
}

/// Imports that the plan does not allow.
fn arrows(modules: &[Module], plan: &Plan) -> Vec<String> {
    let mut offenders = Vec::new();
    for module in modules {
        let Some(room) = room(module) else { continue };
        let allowed = plan.get(room).copied().unwrap_or_default();
        for import in &module.imports {
            let target = import.path.first().map_or("*", String::as_str);
            if target != room && !allowed.contains(&target) {
                let what = format!("{room} imports {target} ({})", import.path.join("::"));
                offenders.push(offender(&module.path, import.line, what));
            }
        }
    }
    offenders
}

fn rooms_without_a_row(modules: &[Module], plan: &Plan) -> Vec<String> {
    let rooms = modules.iter().filter_map(room).collect::<BTreeSet<_>>();
    rooms.into_iter().filter(|room| !plan.contains_key(room)).map(str::to_owned).collect()
}

/// Rows of no room, and what rows allow that no file of the room imports.
fn unused(modules: &[Module], plan: &Plan) -> Vec<String> {
    let mut imported = BTreeSet::new();
    for module in modules {
        let Some(room) = room(module) else { continue };
        imported.insert((room, room));
        imported
            .extend(module.imports.iter().filter_map(|import| Some((room, import.path.first()?.as_str()))));
    }
    let own = plan.iter().filter(|(room, _)| !OF_PROTOCOL.contains(room));
    let rows = own.flat_map(|(room, allowed)| [room].into_iter().chain(*allowed).map(move |to| (*room, *to)));
    rows.filter(|row| !imported.contains(row))
        .map(|(room, to)| format!("{room} does not import {to}"))
        .collect()
}

/// Files that import each other in a circle, one line for each set of them. What a module says of the modules inside
/// it is no import: it re-exports what they have.
fn circles(modules: &[Module]) -> Vec<String> {
    let positions =
        modules.iter().enumerate().map(|(at, module)| (&module.name[..], at)).collect::<BTreeMap<_, _>>();
    let edges = modules.iter().map(|module| {
        let targets = module.imports.iter().filter_map(|import| {
            // The file is the longest part of the path that names a module.
            (1..=import.path.len()).rev().find_map(|depth| positions.get(&import.path[..depth]).copied())
        });
        let inside = |target: &usize| modules[*target].name.starts_with(&module.name);
        targets.filter(|target| !inside(target)).collect::<BTreeSet<_>>()
    });
    let edges = edges.collect::<Vec<_>>();
    let reached = (0..modules.len()).map(|from| reachable(&edges, from)).collect::<Vec<_>>();
    let mut named = BTreeSet::new();
    for from in 0..modules.len() {
        let circle = reached[from].iter().filter(|to| reached[**to].contains(&from)).collect::<Vec<_>>();
        if !circle.is_empty() {
            named.insert(circle.iter().map(|at| modules[**at].path.as_str()).collect::<Vec<_>>().join(" "));
        }
    }
    named.into_iter().collect()
}

/// Where one comes to from a file by one import or more.
fn reachable(edges: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut open = edges[from].iter().copied().collect::<Vec<_>>();
    while let Some(at) = open.pop() {
        if reached.insert(at) {
            open.extend(&edges[at]);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(files: &[(&str, &str)]) -> Vec<Module> {
        let files = files.iter().map(|(path, text)| File::new(&format!("a/src/{path}"), text));
        modules(&files.collect::<Vec<_>>(), "a/src/")
    }

    const PLAN: [(&str, &[&str]); 2] = [("low", &[]), ("high", &["low"])];

    #[test]
    fn an_arrow_that_is_not_allowed_is_seen() {
        let check = |path: &str, text: &str| arrows(&example(&[(path, text)]), &Plan::from(PLAN));
        assert_eq!(check("high/x.rs", "use crate::low::A;\nuse crate::high::y::B;"), [""; 0]);
        assert_eq!(
            check("low/x.rs", "use crate::{\n    low::A,\n    high::{B, C},\n};"),
            ["a/src/low/x.rs:3: low imports high (high::B)", "a/src/low/x.rs:3: low imports high (high::C)"]
        );
        assert_eq!(check("low/x.rs", "fn f() { crate::high::g() }").len(), 1);
        assert_eq!(check("low/mod.rs", "use super::high;").len(), 1);
        assert_eq!(check("low.rs", "use crate::Root;").len(), 1);
        assert_eq!(check("low/x.rs", "#[cfg(test)]\nmod tests { use crate::high::B; }"), [""; 0]);
    }

    #[test]
    fn a_room_without_a_row_is_seen() {
        let rooms = example(&[("lib.rs", ""), ("low/x.rs", ""), ("new.rs", "use crate::low::A;")]);
        assert_eq!(rooms_without_a_row(&rooms, &Plan::from(PLAN)), ["new"]);
        assert_eq!(arrows(&rooms, &Plan::from(PLAN)), ["a/src/new.rs:1: new imports low (low::A)"]);
    }

    #[test]
    fn a_row_that_allows_too_much_is_seen() {
        let check = |text| unused(&example(&[("high/x.rs", text), ("low.rs", "")]), &Plan::from(PLAN));
        assert_eq!(check("use crate::low::A;"), [""; 0]);
        assert_eq!(check("use std::fmt;"), ["high does not import low"]);
        assert_eq!(
            unused(&example(&[("low.rs", "")]), &Plan::from([PLAN[0], ("gone", &[])])),
            ["gone does not import gone"]
        );
    }

    #[test]
    fn a_room_that_the_map_lacks_is_seen() {
        let check =
            |text: &str| not_on_map(&File::new("A.md", text), &[(2, "high", &[]), (0, "low", &[])]).len();
        assert_eq!(check("| 2 | `high/` | x |\n| 0 | `low.rs` | x |\n### `high/`\n"), 0);
        assert_eq!(check("| 1 | `high/` | x |\n| 0 | `low.rs` | x |\n### `high/`\n"), 1);
        assert_eq!(check("| 2 | `high/` | x |\n| 0 | `low.rs` | x |\n"), 1);
        assert_eq!(check(""), 4);
    }

    #[test]
    fn circles_are_seen() {
        let straight = [
            ("x.rs", "use crate::y::A;"),
            ("y/mod.rs", "pub use crate::y::z::A;"),
            ("y/z.rs", "use super::B;"),
        ];
        assert_eq!(circles(&example(&straight)), [""; 0]);
        let circle = [
            ("x.rs", "use crate::y::z::A;"),
            ("y/mod.rs", ""),
            ("y/z.rs", "fn f() { crate::w::g() }"),
            ("w.rs", "use crate::x;"),
        ];
        assert_eq!(circles(&example(&circle)), ["a/src/x.rs a/src/y/z.rs a/src/w.rs"]);
        let only_in_tests = [("x.rs", "use crate::y::A;"), ("y.rs", "#[cfg(test)]\nuse crate::x;")];
        assert_eq!(circles(&example(&only_in_tests)), [""; 0]);
    }
}
