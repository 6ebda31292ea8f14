//! Makes `docs/options.md` from the names and doc comments of [`Flags`], and the README's table of capabilities.
//!
//! Invariant: a test fails while a file differs from what this makes, or an option is in no section. With
//! `UPDATE=1` in the environment the tests write the files instead.

use std::fmt::Write as _;

use argh::{ArgsInfo, FlagInfo, FlagInfoKind};

use super::{capabilities, options::Flags};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const TABLE_BEGINS: &str = "<!-- capabilities: made by `just options-doc` -->";
const TABLE_ENDS: &str = "<!-- /capabilities -->";

const INTRODUCTION: &str = "\
<!-- Made from gateway/src/config/options.rs by `just options-doc`; a test compares. -->
# Options of `miroir`

A flag wins over the environment, the environment over the file that `--config` names, and the file over the default.
The file has the same names without the dashes, one `name = value` a line; an unknown name is refused.
Only keys and the store's URL, which may hold a password, are read from the environment, where they are out of sight of
the process list: `MIROIR_MASTER_KEY`, `MIROIR_NODE_MASTER_KEY`, `MIROIR_ADMIN_API_KEY`, `MIROIR_STORE`,
`ADMIN_SESSION_SEAL_KEY`, which seals sessions of the console and is the same on all pods of one store (made anew at each
start if it is absent), those of [search pages](interfaces.md), the same on all pods, too: `SEARCH_UI_JWT_SECRET`,
`SEARCH_UI_JWT_SECRET_PREVIOUS` and `SEARCH_UI_SHARED_KEY`; and the variables that `--shadow` names.

| a value of the kind | is written as |
|---|---|
| `BYTES` | a whole number, alone or with one of `B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB` |
| `TIME` | a whole number with one of `ms`, `s`, `m`, and `h` for intervals |
| `NAME` | 1 to 64 of `A-Z a-z 0-9 _ . -` |
| `CIDR` | a network such as `10.0.0.0/8` or `::1/128` |

A value that is not allowed ends the start with exit code 2 and one line that names the option, the value and what is
allowed. SIGHUP reads the options under \"What clients may do\" and the certificates again; the others take a restart.
";

/// The options by subject, in the order of the document.
const SECTIONS: [(&str, &[&str]); 11] = [
    ("The cluster", &["node", "shards", "replication-factor", "store", "pod-id", "peer", "peer-service"]),
    ("Where it serves", &["listen", "metrics-listen", "cores", "runtime", "drain-timeout"]),
    (
        "Keys and TLS",
        &[
            "master-key",
            "node-master-key",
            "admin-key",
            "env",
            "tls-certificate",
            "tls-key",
            "tls-client-ca",
            "node-ca",
        ],
    ),
    (
        "Reads",
        &[
            "unavailable-shard-policy",
            "hedging",
            "adaptive-selection",
            "query-coalescing",
            "leg-miss-rate",
            "shard-aware-planning",
            "alias-require-target",
            "ttl",
            "session-mode",
            "tenant-affinity",
            "tenant-fallback",
            "tenant-dedicated-groups",
            "request-timeout",
            "node-timeout",
        ],
    ),
    (
        "Writes and repair",
        &[
            "write-quorum",
            "hint-limit",
            "anti-entropy",
            "anti-entropy-interval",
            "anti-entropy-schedule-cron",
            "anti-entropy-shards-per-pass",
            "anti-entropy-max-read-concurrency",
            "anti-entropy-fingerprint-batch-size",
            "anti-entropy-auto-repair",
            "settings-drift-interval",
            "migration-drain-timeout",
            "migration-skip-delta-pass",
            "migration-throttle",
            "replace-after",
            "resharding",
            "reshard-keep",
            "schedule-window",
        ],
    ),
    (
        "What clients may do",
        &[
            "body-limit",
            "request-line-limit",
            "head-limit",
            "headers-max",
            "first-byte-timeout",
            "head-timeout",
            "idle-timeout",
            "body-gap-timeout",
            "body-timeout",
            "connections-max",
            "connections-per-address-max",
            "requests-per-connection-max",
            "in-flight-max",
            "queue-delay-max",
            "multi-search-queries-max",
            "json-depth-max",
            "page-depth-max",
            "log-requests",
            "log-queries",
            "slow-query-log",
        ],
    ),
    ("Interfaces for people", &["admin-ui", "search-ui", "trusted-proxies"]),
    ("Changes", &["cdc", "cdc-sink", "cdc-overflow", "cdc-ttl-deletes"]),
    (
        "Dumps, backups, webhooks and shadows",
        &[
            "dump-dir",
            "import-dump",
            "backup-dir",
            "backup-interval",
            "backup-keep",
            "shadow",
            "allowed-ip-networks",
        ],
    ),
    ("Traces", &["otlp-endpoint", "trace-sample"]),
    ("The command itself", &["config", "print-config", "check-config", "take-over", "version", "help"]),
];

/// The whole document.
fn markdown() -> String {
    let options = Flags::get_args_info();
    let mut text = INTRODUCTION.to_owned();
    for (title, names) in SECTIONS {
        let _ = write!(text, "\n## {title}\n\n| option | default | meaning |\n|---|---|---|\n");
        for name in names {
            let option = options.flags.iter().find(|option| option.long == format!("--{name}"));
            text += &row(option.unwrap_or_else(|| panic!("there is no option --{name}")));
        }
    }
    text + "\n## Capabilities\n\n" + &capabilities::markdown()
}

fn row(option: &FlagInfo<'_>) -> String {
    let (meaning, default) = without_default(option.description);
    let value = match option.kind {
        FlagInfoKind::Option { arg_name } => format!(" {arg_name}"),
        FlagInfoKind::Switch => String::new(),
    };
    let cells = [format!("`{}{value}`", option.long), shown_default(default), meaning.to_owned()];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}

/// A description, and the default in parentheses at its end.
fn without_default(description: &str) -> (&str, Option<&str>) {
    let split = description.strip_suffix(')').and_then(|text| text.rsplit_once(" (default"));
    split.map_or((description, None), |(meaning, default)| (meaning, Some(default)))
}

/// ` value` is a value that could be given as well; `: words` describe what happens.
fn shown_default(default: Option<&str>) -> String {
    match default.map(|default| (default.strip_prefix(": "), default.trim())) {
        None => String::new(),
        Some((Some(words), _)) => words.to_owned(),
        Some((None, value)) => format!("`{value}`"),
    }
}

#[test]
fn the_document_is_up_to_date() {
    let expected = markdown();
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(FILE, expected).unwrap();
    }
    let text = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(text == expected, "docs/options.md is out of date: `just options-doc` writes it anew");
}

/// The README holds the table of capabilities between two comments.
#[test]
fn the_readme_lists_the_capabilities() {
    let text = std::fs::read_to_string(README).unwrap();
    let (before, rest) = text.split_once(TABLE_BEGINS).expect("the README says where the table begins");
    let (_, after) = rest.split_once(TABLE_ENDS).expect("the README says where the table ends");
    let expected = format!("{before}{TABLE_BEGINS}\n{}{TABLE_ENDS}{after}", capabilities::markdown());
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(README, expected).unwrap();
    }
    assert!(text == expected, "README.md is out of date: `just options-doc` writes it anew");
}

#[test]
fn every_option_is_in_one_section() {
    let mut listed =
        SECTIONS.iter().flat_map(|(_, names)| *names).map(|name| format!("--{name}")).collect::<Vec<_>>();
    let options = Flags::get_args_info();
    let shown = options.flags.iter().filter(|option| !option.hidden);
    let mut there = shown.map(|option| option.long.to_owned()).collect::<Vec<_>>();
    listed.sort_unstable();
    there.sort_unstable();
    assert_eq!(listed, there);
}

#[test]
fn a_row_has_its_default_apart() {
    let check = |description: &str, expected: &str| {
        let kind = FlagInfoKind::Option { arg_name: "on|off" };
        let option = FlagInfo { kind, long: "--x", description, ..FlagInfo::default() };
        assert_eq!(row(&option), format!("| `--x on\\|off` | {expected} |\n"));
    };
    check("ask (twice) at once (default on)", "`on` | ask (twice) at once");
    check("ask (default: nobody)", "nobody | ask");
    check("ask (nobody)", " | ask (nobody)");
}
