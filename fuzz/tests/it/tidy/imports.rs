//! What the files of a crate import from their own crate, outside tests.
//!
//! - Paths are read from `use` trees and from code alike, by their tokens; what is behind `#[cfg(test)]` is left out.
//! - A path stands from the crate's root, whether the file wrote `crate::` or `super::`.

use std::collections::BTreeSet;

use super::File;
use super::tokens::{Token, begin, inside};

/// One path of a file's own crate.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    pub(super) line: usize,
    /// Its names from the crate's root; `*` for all of a module.
    pub(super) path: Vec<String>,
}

/// A file that is a module of a crate, and what it imports.
pub(super) struct Module {
    /// From the repository's root.
    pub(super) path: String,
    /// Its names from the crate's root; none for the root itself.
    pub(super) name: Vec<String>,
    pub(super) imports: Vec<Import>,
}

/// The modules below `folder`, which is a crate's `src/`, without those that only tests have. Binaries have crates of
/// their own and are no modules.
pub(super) fn modules(files: &[File], folder: &str) -> Vec<Module> {
    let mut found = Vec::new();
    let mut of_tests = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some(name) = file.path.strip_prefix(folder).and_then(module_name) else { continue };
        let Some(tokens) = file.tokens() else { continue };
        let outside = outside_tests(tokens, &name, &mut of_tests);
        found.push(Module { path: file.path.clone(), name, imports: outside });
    }
    found.retain(|module| !(1..=module.name.len()).any(|depth| of_tests.contains(&module.name[..depth])));
    found
}

/// The name of the module in a file, given by its path from the crate's `src/`.
fn module_name(path: &str) -> Option<Vec<String>> {
    let path = path.strip_suffix(".rs")?;
    if path == "main" || path.starts_with("bin/") {
        return None;
    }
    let path = path.strip_suffix("/mod").unwrap_or(path);
    Some(if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() })
}

/// The paths that a module names outside tests; adds the modules that it has for tests only.
fn outside_tests(tokens: &[Token], module: &[String], of_tests: &mut BTreeSet<Vec<String>>) -> Vec<Import> {
    let mut found = Vec::new();
    // The modules within the file in which a token stands, each with where it ends.
    let mut within: Vec<(&str, usize)> = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        while within.last().is_some_and(|(_, end)| at >= *end) {
            within.pop();
        }
        let rest = &tokens[at..];
        let here = || module.iter().map(String::as_str).chain(within.iter().map(|(name, _)| *name));
        let here = || here().map(str::to_owned).collect::<Vec<_>>();
        if let Some(attribute) = test_attribute(rest) {
            let item = &rest[attribute..];
            if let Some(name) = module_of_file(item) {
                of_tests.insert([here(), vec![name.to_owned()]].concat());
            }
            at += attribute + item_length(item);
        } else if begin(rest, &["mod"]) && rest.get(2).is_some_and(|token| token.text == "{") {
            within.push((&rest[1].text, at + 3 + inside(&rest[3..])));
            at += 3;
        } else if begin(rest, &["crate", ":", ":"]) {
            at += 3 + tree(&rest[3..], &[], &mut found);
        } else if begin(rest, &["super", ":", ":"]) {
            at += tree(rest, &here(), &mut found);
        } else {
            at += 1;
        }
    }
    found
}

/// How many tokens the attribute takes that keeps the item behind it for tests, if `tokens` begin with one.
fn test_attribute(tokens: &[Token]) -> Option<usize> {
    if !begin(tokens, &["#", "[", "cfg", "("]) {
        return None;
    }
    let condition = &tokens[4..4 + inside(&tokens[4..])];
    let names = |name: &str| condition.iter().any(|token| token.text == name);
    (names("test") && !names("not")).then_some(condition.len() + 6)
}

/// The name of a module that has a file of its own, if `tokens` begin with one.
fn module_of_file(tokens: &[Token]) -> Option<&str> {
    let at = tokens.iter().take_while(|token| token.text != "mod" && token.text != ";").count();
    let item = tokens.get(at..at + 3)?;
    (item[0].text == "mod" && item[2].text == ";").then_some(&*item[1].text)
}

/// How many tokens the item takes in which `tokens` begin: up to its semicolon, or through its braces.
fn item_length(tokens: &[Token]) -> usize {
    let mut at = 0;
    while at < tokens.len() {
        match &*tokens[at].text {
            ";" => return at + 1,
            "{" => return at + 2 + inside(&tokens[at + 1..]),
            "(" | "[" => at += 2 + inside(&tokens[at + 1..]),
            _ => at += 1,
        }
    }
    at
}

/// Reads the tree of paths in which `tokens` begin, below `root`; gives how many tokens it took.
fn tree(tokens: &[Token], root: &[String], found: &mut Vec<Import>) -> usize {
    let Some(first) = tokens.first() else { return 0 };
    if first.text != "{" {
        let mut path = root.to_vec();
        match &*first.text {
            "self" => {}
            "super" => drop(path.pop()),
            name => path.push(name.to_owned()),
        }
        let is_longer = begin(&tokens[1..], &[":", ":"])
            && tokens.get(3).is_some_and(|next| next.text != "<" && next.text != "(");
        if is_longer {
            return 3 + tree(&tokens[3..], &path, found);
        }
        found.push(Import { line: first.line, path });
        return 1;
    }
    let group = &tokens[1..=inside(&tokens[1..])];
    let mut at = 0;
    while at < group.len() {
        at += tree(&group[at..], root, found);
        // Another name for it, and the comma.
        at += group[at..].iter().take_while(|token| token.text != ",").count() + 1;
    }
    group.len() + 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, text: &str, expected: &[&str]) {
        let files = [File::new(path, text)];
        let modules = modules(&files, "a/src/");
        let paths = modules.iter().flat_map(|module| &module.imports).map(|import| import.path.join("::"));
        assert_eq!(paths.collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn paths_are_read_from_use_trees_and_from_code() {
        check("a/src/x.rs", "use crate::{b::{self, C as D, e::*}, f};", &["b", "b::C", "b::e::*", "f"]);
        check("a/src/x.rs", "fn g(_: crate::h::I) { crate::j::k::<u8>() }", &["h::I", "j::k"]);
        check("a/src/x/y.rs", "use super::{z, super::w};\nuse std::fmt;", &["x::z", "w"]);
        check("a/src/x/mod.rs", "pub(crate) use super::w::V;\npub(super) fn f() {}", &["w::V"]);
        check("a/src/x.rs", "mod y { use super::super::z; }\nuse super::w;", &["z", "w"]);
        check("a/src/x.rs", "// use crate::b;\nconst C: &str = \"crate::b\";", &[]);
        check("a/src/main.rs", "use crate::b;", &[]);
    }

    #[test]
    fn tests_are_left_out() {
        check("a/src/x.rs", "#[cfg(test)]\nmod tests { use crate::b; }\nuse crate::c;", &["c"]);
        check("a/src/x.rs", "#[cfg(test)]\n#[path = \"y.rs\"]\nuse crate::{b, d};\nuse crate::c;", &["c"]);
        check(
            "a/src/x.rs",
            "#[cfg(all(test, unix))]\nfn f(_: [u8; 2]) { crate::b::g() }\nuse crate::c;",
            &["c"],
        );
        check("a/src/x.rs", "#[cfg(not(test))]\nuse crate::c;", &["c"]);
        let files = [
            File::new("a/src/x/mod.rs", "#[cfg(test)]\nmod tests;\nmod y;"),
            File::new("a/src/x/tests.rs", "use crate::b;"),
            File::new("a/src/x/y.rs", "use crate::c;"),
        ];
        let names = modules(&files, "a/src/").into_iter().map(|module| module.path).collect::<Vec<_>>();
        assert_eq!(names, ["a/src/x/mod.rs", "a/src/x/y.rs"]);
    }
}
