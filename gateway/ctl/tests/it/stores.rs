//! Tests of stores on disk: exported, imported elsewhere, and refused where something would be lost.

use std::path::Path;

use futures_lite::future::block_on;
use serde_json::json;
use store::{Table, open_sled};

use crate::program::{Ended, run};

const TABLE: Table = Table::named("films");

fn transfer(verb: &str, store: &Path, file: &Path) -> Ended {
    let store = format!("sled:{}", store.display());
    run(&["store", verb, "--store", &store, &file.display().to_string()])
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
    assert!(ended.code == 0 && ended.out.ends_with(" entries exported\n"), "{}", ended.error);
    fails("export", &from, &file, "cannot be made");
    let count = ended.out.split(' ').next().unwrap();
    let ended = transfer("import", &to, &file);
    assert_eq!((ended.code, ended.out), (0, format!("{count} entries imported\n")), "{}", ended.error);
    fails("import", &to, &file, "allowed: an empty one");
    let (store, _thread) = open_sled(&to).unwrap();
    let found = block_on(store.record(TABLE, "a")).unwrap().unwrap();
    assert_eq!(found.value, json!(1));
}

#[test]
fn a_location_that_is_none_is_refused_without_its_password() {
    let check = |location: &str, shown: &str| {
        let ended = run(&["store", "export", "--store", location, "file"]);
        let error = format!(
            "miroir-ctl: option store: {shown:?} is not allowed; give sled:PATH, for example sled:./miroir-data, or redis://HOST:PORT\n"
        );
        assert_eq!((ended.code, ended.error), (2, error));
    };
    check("./data", "./data");
    check("sled:", "sled:");
    check("http://user:password@a.example", "http://...");
}
