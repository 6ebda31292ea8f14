//! What documents name exists: commands, links, files, functions, words of the code, flags.
//!
//! - A span in backticks that looks like a path is a path of the repository, from its root, from the sources of
//!   `gateway` and `gateway/protocol`, or from the document; one that looks like a name occurs in the code.
//! - `path`: `name`, `name` means that the file defines these names.

use std::collections::BTreeSet;

use super::{File, assert_none, offender, repository};

/// The commands that README.md gives to newcomers.
const COMMANDS: [&str; 3] = ["cargo run --release --bin miroir-dev", ".ci/test", "cargo test --workspace"];
/// Flags of other programs.
const FOREIGN_FLAGS: [&str; 7] = ["bin", "example", "exclude", "help", "release", "test", "workspace"];
/// Words of other programs, and files that commands make.
const FOREIGN_NAMES: [&str; 2] = ["RUSTFLAGS", "bench/history.svg"];
/// Where paths without a folder of the root begin.
const ROOMS: [&str; 2] = ["gateway/src/", "gateway/protocol/src/"];

#[test]
fn readme_names_the_commands() {
    let files = repository();
    let readme = files.iter().find(|file| file.path == "README.md").expect("there is a README.md");
    assert_none("README.md names the commands for newcomers.", commands(readme));
}

#[test]
fn links_lead_somewhere() {
    let files = repository();
    assert_none(
        "Links between documents lead somewhere.",
        documents(files).flat_map(|file| links(file, files)),
    );
}

#[test]
fn what_documents_name_exists() {
    let files = repository();
    let code = Code::of(files);
    assert_none("Documents name what exists.", documents(files).flat_map(|file| names(file, files, &code)));
}

fn documents(files: &[File]) -> impl Iterator<Item = &File> {
    files.iter().filter(|file| file.path.ends_with(".md"))
}

fn commands(readme: &File) -> Vec<String> {
    let missing = COMMANDS.iter().filter(|command| !readme.text.contains(**command));
    missing.map(|command| offender(&readme.path, 1, format_args!("does not name `{command}`"))).collect()
}

/// The lines of a document outside fenced blocks, with their numbers.
fn prose(file: &File) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    (1..).zip(file.text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fence && !fenced
    })
}

/// What stands in backticks on a line.
fn spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A path as seen from the folder of a document.
fn seen_from(document: &str, path: &str) -> String {
    let mut parts = document.split('/').collect::<Vec<_>>();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether a file or a folder is there.
fn exists(files: &[File], path: &str) -> bool {
    let folder = format!("{}/", path.trim_end_matches('/'));
    files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
}

/// Relative links to no file, or to no heading of one.
fn links(document: &File, files: &[File]) -> Vec<String> {
    let mut offenders = Vec::new();
    for (line, text) in prose(document) {
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let path = if path.is_empty() { document.path.clone() } else { seen_from(&document.path, path) };
            let target = files.iter().find(|file| file.path == path);
            let is_there = match target {
                Some(target) => anchor.is_empty() || anchors(target).contains(anchor),
                None => anchor.is_empty() && exists(files, &path),
            };
            if !is_there {
                offenders.push(offender(&document.path, line, format_args!("leads nowhere: {link}")));
            }
        }
    }
    offenders
}

/// The headings of a document as links name them.
fn anchors(document: &File) -> BTreeSet<String> {
    let headings = prose(document).filter_map(|(_, line)| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let heading = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        heading.chars().filter(|char| char.is_alphanumeric() || "-_".contains(*char)).collect()
    };
    headings.map(anchor).collect()
}

/// The words of the code, and those of files that define flags.
struct Code {
    words: BTreeSet<String>,
    flags: BTreeSet<String>,
}

impl Code {
    fn of(files: &[File]) -> Self {
        let kinds = [".rs", ".toml", ".lua", ".sh", ".yml", "justfile"];
        // What programs of others read: charts, units, profiles, examples.
        let is_deployed = |file: &&File| file.path.starts_with("deploy/") && !file.path.ends_with(".md");
        let is_code = |file: &&File| kinds.iter().any(|kind| file.path.ends_with(kind)) || is_deployed(file);
        let code = || files.iter().filter(is_code);
        let with_flags = code().filter(|file| file.is_rust() && file.text.contains("argh("));
        let words = |file: &File| {
            let words = file.text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
            words.map(str::to_owned).collect::<BTreeSet<_>>()
        };
        Self { words: code().flat_map(words).collect(), flags: with_flags.flat_map(words).collect() }
    }
}

/// Paths, definitions, words and flags that do not exist.
fn names(document: &File, files: &[File], code: &Code) -> Vec<String> {
    let mut offenders = Vec::new();
    for (line, text) in prose(document) {
        let mut wrong = |what: String| offenders.push(offender(&document.path, line, what));
        for span in spans(text).filter(|span| !FOREIGN_NAMES.contains(span)) {
            if looks_like_path(span) && file_of(document, files, span).is_none() {
                wrong(format!("there is no {span}"));
            }
            if looks_like_name(span) && !code.words.contains(span.rsplit("::").next().unwrap_or(span)) {
                wrong(format!("nothing is called {span}"));
            }
            for flag in flags(span).filter(|flag| !FOREIGN_FLAGS.contains(flag)) {
                if !code.flags.contains(&flag.replace('-', "_")) {
                    wrong(format!("no option is called --{flag}"));
                }
            }
        }
        for (path, name) in definitions(text) {
            let file =
                file_of(document, files, path).and_then(|path| files.iter().find(|file| file.path == path));
            if file.is_some_and(|file| !defines(&file.text, name)) {
                wrong(format!("{path} does not define {name}"));
            }
        }
    }
    offenders
}

fn looks_like_path(span: &str) -> bool {
    let known = |char: char| char.is_ascii_alphanumeric() || "/._-".contains(char);
    let has_letter = span.contains(|char: char| char.is_ascii_alphabetic());
    let is_elsewhere = span.starts_with(['/', '~']) || span.starts_with("./");
    span.contains('/') && has_letter && !is_elsewhere && span.chars().all(known)
}

fn looks_like_name(span: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
            && word.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
    };
    // What begins or ends with a line is a part of names.
    !span.starts_with('_') && !span.ends_with('_') && span.split("::").all(is_word)
}

/// The names of the flags in a span.
fn flags(span: &str) -> impl Iterator<Item = &str> {
    let words = span.split(|char: char| !char.is_ascii_alphanumeric() && char != '-');
    words.filter_map(|word| word.strip_prefix("--")).filter(|flag| !flag.is_empty())
}

/// Where a path leads that a document names.
fn file_of(document: &File, files: &[File], path: &str) -> Option<String> {
    let [gateway, protocol] = ROOMS.map(|rooms| format!("{rooms}{path}"));
    let from = [path.to_owned(), gateway, protocol, seen_from(&document.path, path)];
    from.into_iter().find(|path| exists(files, path))
}

/// The names that a line says a file defines: each with the file's path.
fn definitions(line: &str) -> Vec<(&str, &str)> {
    let parts = line.split('`').collect::<Vec<_>>();
    let mut found = Vec::new();
    let mut path = None;
    for at in (1..parts.len()).step_by(2) {
        path = match (path, parts[at - 1]) {
            (Some(path), ": " | ", ") => {
                found.push((path, parts[at]));
                Some(path)
            }
            _ => (parts[at].ends_with(".rs") && parts.get(at + 1) == Some(&": ")).then_some(parts[at]),
        };
    }
    found
}

fn defines(text: &str, name: &str) -> bool {
    let kinds = ["fn", "struct", "enum", "trait", "const", "static", "mod", "type"];
    kinds.iter().any(|kind| {
        let defined = format!("{kind} {name}");
        text.match_indices(&defined).any(|(at, _)| {
            let next = text[at + defined.len()..].chars().next();
            next.is_none_or(|next| !next.is_ascii_alphanumeric() && next != '_')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_command_is_seen() {
        assert_eq!(commands(&File::new("README.md", &COMMANDS.join("\n"))), [""; 0]);
        assert_eq!(commands(&File::new("README.md", COMMANDS[0])).len(), 2);
    }

    #[test]
    fn a_link_to_nowhere_is_seen() {
        let target = File::new("docs/a.md", "# A\n\n## What's `new` here\n");
        let check = |path: &str, text: &str| {
            links(&File::new(path, text), &[File::new("docs/a.md", &target.text)]).len()
        };
        assert_eq!(check("README.md", "[a](docs/a.md), [b](docs/), [c](https://x.example)"), 0);
        assert_eq!(check("docs/b.md", "[a](a.md#whats-new-here) [b](../docs/a.md)"), 0);
        assert_eq!(check("docs/b.md", "[a](docs/a.md)\n[b](a.md#old)"), 2);
        assert_eq!(check("docs/b.md", "```\n[a](none.md)\n```"), 0);
    }

    #[test]
    fn names_of_nothing_are_seen() {
        let files = [
            File::new("gateway/src/read/plan.rs", "fn cover() {}\nstruct Plan;\n// other"),
            File::new("gateway/src/config/options.rs", "#[argh(option)]\nnode_ca: u8"),
        ];
        let code = Code::of(&files);
        let check = |text: &str| names(&File::new("docs/a.md", text), &files, &code).len();
        assert_eq!(check("see `gateway/src/read/`, `read/plan.rs` and `/_miroir/ready`, `a b/c`"), 0);
        assert_eq!(check("see `read/none.rs` and `write/`"), 2);
        assert_eq!(check("`Plan`, `plan::cover`, `1x`, `\"node\"`, `_MAX`, `10.0.0.0/8`, `./dumps`"), 0);
        assert_eq!(check("`Plane`, `plan::covers`"), 2);
        assert_eq!(check("`--node-ca FILE`, `cargo test --workspace`"), 0);
        assert_eq!(check("`--node-c FILE`, `--other|--node-ca`"), 2);
        assert_eq!(check("1. `gateway/src/read/plan.rs`: `cover`, `Plan`; not `other`"), 0);
        assert_eq!(check("1. `read/plan.rs`: `cover`, `other`"), 1);
        assert_eq!(check("`read/plan.rs`, `other`"), 0);
    }
}
