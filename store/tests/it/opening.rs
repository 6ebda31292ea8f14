//! Opening a directory that is no store, damaged, newer or in use fails with one clear line and changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use store::{Change, OpenError, Table, TaskQuery, open_sled};
use tempfile::TempDir;

use crate::support::{FORKING, at, index_record, new_task, open, wait};

/// Checks that opening `path` fails with a message that begins with the path and contains `part`, and that every file
/// stays as it was.
fn check_refused(path: &Path, part: &str) -> OpenError {
    let before = files(path);
    let error = open_sled(path).err().unwrap_or_else(|| panic!("opened, but expected: {part}"));
    let line = error.to_string();
    assert!(line.starts_with(&format!("store {}: ", path.display())), "{line}");
    assert!(line.contains(part) && !line.contains('\n'), "{line}");
    assert!(files(path) == before, "{line}: files changed");
    error
}

fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let Ok(entries) = fs::read_dir(path) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        match fs::read(&path) {
            Ok(bytes) => drop(found.insert(path, bytes)),
            Err(_) => {
                found.extend(files(&path));
                found.insert(path, Vec::new());
            }
        }
    }
    found
}

/// A closed store with a record in each of its trees.
fn filled() -> TempDir {
    let directory = TempDir::new().unwrap();
    let (store, thread) = open(directory.path());
    wait(store.create_task(new_task("movies", at(0)))).unwrap();
    wait(store.put_index(index_record("movies"), None)).unwrap();
    wait(store.put_record(Table::named("notes"), "a", 1.into(), None)).unwrap();
    wait(store.put_topology(None, 1, 1.into())).unwrap();
    let (stream, body) = ("n1".to_owned(), vec![0; 100_000].into());
    let log = Table::named("notes");
    wait(store.commit(vec![Change::Append { log, stream, header: 1.into(), body }])).unwrap();
    thread.join().unwrap();
    directory
}

#[test]
fn a_store_is_made_where_there_is_nothing() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("deep/er");
    let (store, thread) = open(&path);
    assert_eq!(wait(store.tasks(TaskQuery::default())).unwrap().total, 0);
    thread.join().unwrap();
    assert_eq!(fs::read_to_string(path.join("format")).unwrap(), "miroir store format 1\n");
}

#[test]
fn a_first_start_that_was_cut_short_is_finished() {
    let directory = filled();
    fs::rename(directory.path().join("format"), directory.path().join("format.new")).unwrap();
    let (store, _thread) = open(directory.path());
    assert_eq!(wait(store.tasks(TaskQuery::default())).unwrap().total, 1);
    assert!(directory.path().join("format").exists());
}

#[test]
fn a_file_is_not_a_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "text").unwrap();
    assert!(matches!(check_refused(&path, "not a directory"), OpenError::NotADirectory { .. }));
    assert_eq!(fs::read_to_string(path).unwrap(), "text");
}

#[test]
fn somebody_elses_directory_is_not_a_store() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("thesis.tex"), "text").unwrap();
    let error = check_refused(directory.path(), "it holds `thesis.tex` and no store");
    assert!(matches!(error, OpenError::Corrupt { .. }));
}

#[test]
fn a_store_is_opened_once() {
    let directory = TempDir::new().unwrap();
    let running = open(directory.path());
    let error = open_sled(directory.path()).err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    drop(running);
    open(directory.path());
}

#[test]
fn a_newer_format_is_refused() {
    let directory = filled();
    fs::write(directory.path().join("format"), "miroir store format 7\n").unwrap();
    let error = check_refused(directory.path(), "written in format 7, this build reads formats up to 1");
    assert!(matches!(error, OpenError::NewerVersion { found: 7, known: 1, .. }));
}

#[test]
fn damage_is_refused() {
    type Case = (&'static str, fn(&Path));
    let cases: &[Case] = &[
        ("the file `format` is not readable", |path| fs::write(path.join("format"), "miroir").unwrap()),
        ("the directory `sled` is missing", |path| fs::remove_dir_all(path.join("sled")).unwrap()),
        ("damaged or not a store", |path| damage(&path.join("sled"), "durability_cookie")),
        ("damaged or not a store", |path| damage(&path.join("sled/metadata"), "snapshot_")),
    ];
    for (part, act) in cases {
        let directory = filled();
        // The first opening after a stop folds sled's log into a snapshot, which the cases need.
        drop(open(directory.path()));
        act(directory.path());
        assert!(matches!(check_refused(directory.path(), part), OpenError::Corrupt { .. }));
    }
}

/// These kinds of damage show only after sled has begun to tidy its files, so the files may change.
#[test]
fn damage_inside_is_refused() {
    let cases: &[fn(&Path)] = &[
        |path| fs::remove_dir_all(path.join("metadata")).unwrap(),
        |path| {
            for entry in fs::read_dir(path.join("slabs")).unwrap() {
                fs::write(entry.unwrap().path(), []).unwrap();
            }
        },
        |path| {
            for entry in fs::read_dir(path.join("slabs")).unwrap() {
                flip(&entry.unwrap().path());
            }
        },
    ];
    for act in cases {
        let directory = filled();
        act(&directory.path().join("sled"));
        let error = open_sled(directory.path()).err().unwrap();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
}

/// Flips bits in the one file of a directory whose name begins with `prefix`.
fn damage(directory: &Path, prefix: &str) {
    let mut paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(prefix);
    flip(&paths.find(named).unwrap_or_else(|| panic!("no {prefix} in {}", directory.display())));
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(path, bytes).unwrap();
}

#[test]
fn bodies_that_a_crash_left_over_are_swept() {
    let directory = filled();
    let bodies = directory.path().join("bodies");
    fs::write(bodies.join("4711"), "left over").unwrap();
    assert_eq!(fs::read_dir(&bodies).unwrap().count(), 2);
    let (store, thread) = open(directory.path());
    assert_eq!(fs::read_dir(&bodies).unwrap().count(), 1);
    let entries = wait(store.entries(Table::named("notes"), "n1", 0, usize::MAX)).unwrap();
    assert_eq!(entries[0].body.len(), 100_000);
    let (stream, through) = ("n1".to_owned(), entries[0].sequence);
    wait(store.commit(vec![Change::Truncate { log: Table::named("notes"), stream, through }])).unwrap();
    thread.join().unwrap();
    assert_eq!(fs::read_dir(&bodies).unwrap().count(), 0);
}

/// The path of the store that the child process of the test below opens.
const CHILD_STORE: &str = "STORE_TEST_FEW_DESCRIPTORS";

/// The limit holds for a whole process, so the test runs itself again in a child with few descriptors.
#[test]
fn too_few_descriptors_are_not_damage() {
    if let Ok(path) = std::env::var(CHILD_STORE) {
        let error = check_refused(Path::new(&path), "Too many open files");
        assert!(matches!(error, OpenError::Io { .. }), "{error}");
        return;
    }
    let empty = TempDir::new().unwrap();
    let used = TempDir::new().unwrap();
    let (store, thread) = open(used.path());
    drop(store);
    thread.join().unwrap();
    // The lock file stays from a start that was refused.
    fs::write(empty.path().join("lock"), "").unwrap();
    for (path, descriptors) in [(&used, 32), (&used, 64), (&empty, 32)] {
        let no_open = FORKING.lock();
        let child = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "opening::too_few_descriptors_are_not_damage", "--nocapture"])
            .env(CHILD_STORE, path.path())
            .output()
            .unwrap();
        drop(no_open);
        let output = String::from_utf8_lossy(&child.stdout).into_owned();
        assert!(child.status.success() && output.contains("1 passed"), "{descriptors}: {output}");
        let (store, thread) = open(path.path());
        drop(store);
        thread.join().unwrap();
    }
}
