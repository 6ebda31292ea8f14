//! The program, started with its own home and environment.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
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
    let key = environment.map(|key| ("MIROIR_ADMIN_API_KEY", key));
    start(key.as_slice(), file.map(|key| (key, 0o600)), words)
}

/// Runs `shards list` with a key in a file of credentials that others may read.
pub(crate) fn run_open_to_others(key: &str) -> Ended {
    start(&[], Some((key, 0o644)), &["shards", "list"])
}

/// Runs the program with these variables in its environment.
pub(crate) fn run_in(variables: &[(&str, &str)], words: &[&str]) -> Ended {
    start(variables, None, words)
}

fn start(variables: &[(&str, &str)], file: Option<(&str, u32)>, words: &[&str]) -> Ended {
    let home = tempfile::tempdir().unwrap();
    if let Some((key, mode)) = file {
        let folder = home.path().join(".config/miroir");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("credentials");
        fs::write(&file, key).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_miroir-ctl"));
    command.env_clear().env("HOME", home.path()).envs(variables.iter().copied()).args(words);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap(), out: text(stdout), error: text(stderr) }
}
