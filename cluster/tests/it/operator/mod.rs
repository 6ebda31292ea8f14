//! What operators do: the management API, and `miroir-ctl` as it is typed.

mod backups;
mod backups_under_load;
mod broken;
mod dev;
mod management;
mod migrate;
mod observed;
mod page_secrets;
mod schemas;
mod tools;

use std::process::{Command, Output, Stdio};

use cluster::cluster::ClusterOptions;

use crate::support::{PROGRAM, TestCluster};
use node::test_client::Client;

pub(crate) const ADMIN_KEY: &str = "the-admins-key";

/// A cluster whose management API has a key of its own, and a client with that key.
pub(crate) fn operated(change: impl FnOnce(&mut ClusterOptions)) -> (TestCluster, Client) {
    let cluster = TestCluster::start(|options| {
        options.gateway_arguments.extend(["--admin-key", ADMIN_KEY].map(str::to_owned));
        change(options);
        if !options.gateway_arguments.iter().any(|word| word == "--backup-dir") {
            let folder = options.data.join("backups").display().to_string();
            options.gateway_arguments.extend(["--backup-dir".to_owned(), folder]);
        }
    });
    let operator = Client::new(cluster.cluster.url()).with_key(ADMIN_KEY);
    (cluster, operator)
}

/// The exit code, the output and the error of `miroir-ctl`.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

/// Runs `miroir-ctl` with these words, which it gets as a script would give them.
pub(crate) fn ctl(cluster: &TestCluster, words: &[&str]) -> Ended {
    ctl_at(&cluster.cluster.url(), ADMIN_KEY, words)
}

/// The same for the gateway at a URL, with a key.
pub(crate) fn ctl_at(url: &str, key: &str, words: &[&str]) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.arg("role-ctl").args(words);
    command.env("MIROIR_URL", url).env("MIROIR_ADMIN_API_KEY", key);
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code().unwrap(), out: text(stdout), error: text(stderr) }
}
