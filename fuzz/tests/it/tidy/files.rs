//! Rules about files and their text: which there are, how long they are, and what no file may name.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, assert_none, offender, repository};

/// What the top of the repository must hold.
const TOP_REQUIRED: [&str; 27] = [
    ".ci",
    ".config",
    ".editorconfig",
    ".github",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "bench",
    "cluster",
    "clippy.toml",
    "deny.toml",
    "deploy",
    "docs",
    "fuzz",
    "gateway",
    "justfile",
    "merge",
    "router",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "store",
];
/// What it may hold besides; git lists neither `target` nor itself.
const TOP_ALLOWED: [&str; 1] = [".cargo"];
const LINES_MAX: usize = 800;
const MODULE_DOC_LINES_MAX: usize = 10;
const FILES_PER_FOLDER_MAX: usize = 25;
/// Folders of a machine that builds; in two parts, so that this file does not name them.
const MACHINE_FOLDERS: [&str; 3] = [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/")];
/// Where packages of the lock file may come from.
const SOURCES: [&str; 2] =
    ["registry+https://github.com/rust-lang/crates.io-index", "git+https://github.com/"];

#[test]
fn top_level_holds_the_agreed_entries() {
    let files = repository();
    assert_none("The top level holds the agreed entries.", top_level(files.iter().map(|file| &*file.path)));
}

#[test]
fn rust_files_are_documented_and_short() {
    let files = repository();
    let offenders = files.iter().filter(|file| file.is_rust()).flat_map(rust_text);
    assert_none("Rust files open with docs of at most 10 lines and have at most 800.", offenders);
}

#[test]
fn folders_hold_few_files() {
    let files = repository();
    let paths = files.iter().map(|file| &*file.path);
    assert_none("A folder holds at most 25 source files.", crowded(paths));
}

#[test]
fn lines_have_no_tabs_and_no_spaces_at_their_end() {
    let files = repository();
    let offenders = files.iter().filter(|file| file.is_rust()).flat_map(blanks);
    assert_none("Lines are indented by spaces and end with a character.", offenders);
}

#[test]
fn no_file_names_this_machine_or_a_registry() {
    let files = repository();
    assert_none("Files name no folder of a machine and no registry.", files.iter().flat_map(places));
}

fn top_level<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let present = paths.filter_map(|path| path.split('/').next()).collect::<BTreeSet<_>>();
    let known = |name: &&str| TOP_REQUIRED.contains(name) || TOP_ALLOWED.contains(name);
    let unknown = present.iter().filter(|name| !known(name)).map(|name| format!("{name}: not agreed"));
    let missing = TOP_REQUIRED.iter().filter(|name| !present.contains(**name));
    unknown.chain(missing.map(|name| format!("{name}: missing"))).collect()
}

fn rust_text(file: &File) -> Vec<String> {
    let mut offenders = Vec::new();
    let docs = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    if docs == 0 {
        offenders.push(offender(&file.path, 1, "does not open with `//!`"));
    }
    if docs > MODULE_DOC_LINES_MAX {
        offenders.push(offender(&file.path, docs, format_args!("{docs} lines of module docs")));
    }
    let lines = file.text.lines().count();
    if lines > LINES_MAX {
        offenders.push(offender(&file.path, lines, format_args!("{lines} lines")));
    }
    offenders
}

/// Folders with too many source files.
fn crowded<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for (folder, _) in paths.filter(|path| path.ends_with(".rs")).filter_map(|path| path.rsplit_once('/')) {
        *counts.entry(folder).or_default() += 1;
    }
    counts.retain(|_, count| *count > FILES_PER_FOLDER_MAX);
    counts.into_iter().map(|(folder, count)| format!("{folder}: {count} source files")).collect()
}

fn blanks(file: &File) -> Vec<String> {
    let mut offenders = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        let indent = &text[..text.len() - text.trim_start().len()];
        if indent.contains('\t') {
            offenders.push(offender(&file.path, line, "a tab"));
        }
        if text.ends_with(char::is_whitespace) {
            offenders.push(offender(&file.path, line, "a space at the end"));
        }
    }
    offenders
}

fn places(file: &File) -> Vec<String> {
    let mut offenders = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        for folder in MACHINE_FOLDERS {
            if names_folder(text, folder) {
                offenders.push(offender(&file.path, line, format_args!("names {folder}")));
            }
        }
        if names_registry(&file.path, text) {
            offenders.push(offender(&file.path, line, format_args!("names a registry: {}", text.trim())));
        }
    }
    offenders
}

/// Whether the folder is named from the root, not as a part of a longer path or address.
fn names_folder(text: &str, folder: &str) -> bool {
    text.match_indices(folder).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !before.is_some_and(|before| before.is_alphanumeric() || "_-.}".contains(before))
    })
}

/// Cargo's files decide where packages come from: the lock file by its sources, the others by sections and keys.
fn names_registry(path: &str, text: &str) -> bool {
    let text = text.trim();
    if path == "Cargo.lock" {
        let source = text.strip_prefix("source = \"");
        return source.is_some_and(|source| !SOURCES.iter().any(|allowed| source.starts_with(allowed)));
    }
    let cargo = path.ends_with(".toml") || path.starts_with(".cargo/");
    let sections = ["[source", "[registries", "[registry", "replace-with", "registry =", "registry-index"];
    cargo && sections.iter().any(|section| text.starts_with(section))
}

#[test]
fn an_unknown_or_missing_entry_is_seen() {
    let all = || TOP_REQUIRED.iter().map(|name| if *name == "cluster" { "cluster/src/lib.rs" } else { name });
    assert_eq!(top_level(all().chain([".cargo/config.toml"])), [""; 0]);
    assert_eq!(top_level(all().chain(["notes.txt"])), ["notes.txt: not agreed"]);
    assert_eq!(top_level(all().filter(|name| *name != "LICENSE")), ["LICENSE: missing"]);
}

#[test]
fn missing_and_long_docs_and_long_files_are_seen() {
    let check = |text: &str| rust_text(&File::new("a.rs", text));
    assert_eq!(check(&"//! x\n".repeat(10)), [""; 0]);
    assert_eq!(check("// x\n"), ["a.rs:1: does not open with `//!`"]);
    assert_eq!(check(&"//! x\n".repeat(11)), ["a.rs:11: 11 lines of module docs"]);
    assert_eq!(check(&format!("//! x{}", "\n".repeat(801))), ["a.rs:801: 801 lines"]);
}

#[test]
fn a_crowded_folder_is_seen() {
    let paths = (0..26).map(|number| format!("a/b/{number}.rs")).collect::<Vec<_>>();
    let check =
        |count: usize| crowded(paths[..count].iter().map(String::as_str).chain(["a/b/c/d.rs", "a/b/e.md"]));
    assert_eq!(check(25), [""; 0]);
    assert_eq!(check(26), ["a/b: 26 source files"]);
}

#[test]
fn tabs_and_spaces_at_the_end_are_seen() {
    let found = blanks(&File::new("a.rs", "fn a() {\n\tb();\n  \t c(); \n} // a\tb\n"));
    assert_eq!(found, ["a.rs:2: a tab", "a.rs:3: a tab", "a.rs:3: a space at the end"]);
}

#[test]
fn places_are_seen() {
    let folder = MACHINE_FOLDERS[0];
    let check = |path: &str, text: &str| places(&File::new(path, text)).len();
    assert_eq!(check("README.md", &format!("see `{folder}x`")), 1);
    assert_eq!(check("README.md", &format!("file://{folder}x")), 1);
    assert_eq!(check("README.md", &format!("http://host{folder}x")), 0);
    assert_eq!(check("Cargo.lock", &format!("source = \"{}\"", SOURCES[0])), 0);
    assert_eq!(check("Cargo.lock", "source = \"registry+https://packages.example/index\""), 1);
    assert_eq!(check(".cargo/config.toml", "[source.crates-io]"), 1);
    assert_eq!(check("a/Cargo.toml", "[dependencies]\nregistry = \"mine\""), 1);
}
