//! `miroir store`: stores on disk are exported, imported elsewhere, and refused where something would be lost.

use std::{path::Path, process::Command};

use futures_lite::future::block_on;
use serde_json::{Value, json};
use store::{Table, open_sled};

const TABLE: Table = Table::named("films");

/// The exit code and the output of the program.
struct Ended {
    code: i32,
    out: String,
    error: String,
}

fn run(words: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_miroir")).arg("store").args(words).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: output.status.code().unwrap(), out: text(output.stdout), error: text(output.stderr) }
}

fn transfer(verb: &str, store: &Path, file: &Path) -> Ended {
    let store = format!("sled:{}", store.display());
    run(&[verb, "--store", &store, &file.display().to_string()])
}

#[test]
fn a_store_moves_through_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (from, to, file) = (path("from"), path("to"), path("file"));
    let (store, thread) = open_sled(&from).unwrap();
    block_on(store.put_record(TABLE, "a", json!(1), None)).unwrap();
    let fails = |verb, store: &Path, file: &Path, error: &str| {
        let ended = transfer(verb, store, file);
        assert!(ended.code == 2 && ended.error.contains(error), "{verb}: {} {}", ended.code, ended.error);
    };
    fails("export", &from, &file, "in use by another process");
    drop(store);
    thread.join().unwrap();
    fails("export", &path("nowhere"), &file, "there is none");
    assert!(!path("nowhere").exists() && !file.exists());
    let ended = transfer("export", &from, &file);
    assert_eq!(ended.code, 0, "{}", ended.error);
    fails("export", &from, &file, "cannot be made");
    let exported: Value = serde_json::from_str(&ended.out).unwrap();
    assert!(exported["entries"].as_u64() > Some(0), "{exported}");
    let ended = transfer("import", &to, &file);
    assert_eq!(ended.code, 0, "{}", ended.error);
    assert_eq!(serde_json::from_str::<Value>(&ended.out).unwrap(), exported);
    fails("import", &to, &file, "allowed: an empty one");
    let (store, _thread) = open_sled(&to).unwrap();
    let found = block_on(store.record(TABLE, "a")).unwrap().unwrap();
    assert_eq!(found.value, json!(1));
}

#[test]
fn a_location_that_is_none_is_refused_without_its_password() {
    let check = |location: &str, shown: &str| {
        let ended = run(&["export", "--store", location, "file"]);
        let error = format!(
            "miroir: option store: {shown:?} is not allowed; give sled:PATH, for example sled:./miroir-data, or redis://HOST:PORT\n"
        );
        assert_eq!((ended.code, ended.error), (2, error));
    };
    check("./data", "./data");
    check("sled:", "sled:");
    check("http://user:password@a.example", "http://...");
}

#[test]
fn wrong_words_are_refused_and_help_is_given() {
    let ended = run(&["copy"]);
    assert!(ended.code == 2 && ended.error.starts_with("miroir: store: "), "{}", ended.error);
    let ended = run(&["export", "--help"]);
    assert!(ended.code == 0 && ended.out.contains("Usage: miroir store export"), "{}", ended.out);
}
