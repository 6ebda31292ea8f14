//! The program, started with its own home and environment.

use std::{
    fs,
    process::{Command, Output},
};

pub(crate) const KEY: &str = "the-admins-key";

/// The exit code and the output of the program.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// Runs the program with the admin key in its environment.
pub(crate) fn run(words: &[&str]) -> Ended {
    run_with(Some(KEY), None, words)
}

/// The same with these keys, if any, in the environment and in the file of credentials.
pub(crate) fn run_with(environment: Option<&str>, file: Option<&str>, words: &[&str]) -> Ended {
    let home = tempfile::tempdir().unwrap();
    if let Some(key) = file {
        let folder = home.path().join(".config/miroir");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("credentials"), key).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_miroir-ctl"));
    command.env_clear().env("HOME", home.path()).args(words);
    if let Some(key) = environment {
        command.env("MIROIR_ADMIN_API_KEY", key);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap(), out: text(stdout), error: text(stderr) }
}
