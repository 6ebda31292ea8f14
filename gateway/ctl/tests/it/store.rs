//! `miroir-ctl store` starts the gateway's program; the cluster's tests move a store with both.

use std::{fs, process::Command};

#[test]
fn a_missing_gateway_program_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("miroir-ctl");
    fs::copy(env!("CARGO_BIN_EXE_miroir-ctl"), &alone).unwrap();
    let mut command = Command::new(&alone);
    command.env_clear().env("PATH", folder.path());
    let output = command.args(["store", "export", "--store", "sled:a", "file"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    let expected = "the program miroir cannot be started; put it beside miroir-ctl or on the PATH";
    assert!(output.status.code() == Some(1) && error.contains(expected), "{error}");
}
