//! Rules of the house that no compiler checks, over every file of the repository.
//!
//! - A check takes a file (or the list of files) and gives its offenders, each with file and line, so that each has
//!   a small test with an example that fails.
//! - Code is judged by its tokens, so comments and strings cannot offend.

mod code;
mod comments;
mod crates;
mod documents;
mod files;
mod imports;
mod rooms;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tokens::Token;

/// A file of the repository.
pub(crate) struct File {
    /// From the repository's root, with `/` between its parts.
    pub(crate) path: String,
    /// Lossy: what is not UTF-8 can offend as well.
    pub(crate) text: String,
    tokens: OnceLock<Option<Vec<Token>>>,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned(), tokens: OnceLock::new() }
    }

    /// The file's tokens, read once; `None` when it is no Rust.
    fn tokens(&self) -> Option<&[Token]> {
        self.tokens.get_or_init(|| tokens::read(&self.text)).as_deref()
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Where something is wrong, and what.
pub(crate) fn offender(path: &str, line: usize, what: impl std::fmt::Display) -> String {
    format!("{path}:{line}: {what}")
}

/// Fails with all offenders.
#[track_caller]
pub(crate) fn assert_none(rule: &str, offenders: impl IntoIterator<Item = String>) {
    let offenders = offenders.into_iter().collect::<Vec<_>>();
    assert!(offenders.is_empty(), "{rule}\n{}", offenders.join("\n"));
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every file that is or could be committed; read once for all checks.
pub(crate) fn repository() -> &'static [File] {
    static FILES: OnceLock<Vec<File>> = OnceLock::new();
    FILES.get_or_init(read_files)
}

fn read_files() -> Vec<File> {
    let root = root();
    let paths = listed_by_git(&root).unwrap_or_else(|| {
        let mut paths = Vec::new();
        walk(&root, &root, &mut paths);
        paths
    });
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        // A file that was deleted but not yet committed is listed and cannot be read.
        if let Ok(bytes) = std::fs::read(root.join(&path)) {
            files.push(File::new(&path, &String::from_utf8_lossy(&bytes)));
        }
    }
    assert!(files.iter().any(|file| file.path == "fuzz/tests/it/tidy.rs"), "the repository is not listed");
    files
}

/// `None` where there is no git or no repository, as in an unpacked archive.
fn listed_by_git(root: &Path) -> Option<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let paths = listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    (output.status.success() && !paths.is_empty()).then_some(paths)
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let name = entry.file_name();
        if name == "target" || name == ".git" || name == "node_modules" {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            walk(root, &path, paths);
        } else {
            paths.push(path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"));
        }
    }
}

#[test]
fn both_ways_of_listing_know_the_same_sources() {
    let root = root();
    let mut walked = Vec::new();
    walk(&root, &root, &mut walked);
    for path in repository().iter().map(|file| &file.path) {
        assert!(walked.contains(path), "{path} is listed, the walk misses it");
    }
}

#[test]
fn offenders_are_reported_with_their_place() {
    let report = std::panic::catch_unwind(|| assert_none("no x", [offender("a/b.rs", 3, "x")])).unwrap_err();
    assert_eq!(report.downcast_ref::<String>().unwrap(), "no x\na/b.rs:3: x");
}
