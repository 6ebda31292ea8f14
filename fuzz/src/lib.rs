//! Fuzz targets as plain functions, and their seeded runner.
//!
//! - A target accepts any bytes. It panics if and only if the code under attack violates a property.
//! - Half of a target's inputs are used raw. The other half steers a generator of sound input, which is then damaged,
//!   so that both the first validation and the code behind it are reached.
//! - The same seed gives the same inputs in every process.

pub(crate) mod answer_oracle;
pub(crate) mod mutate;
pub(crate) mod runner;
pub mod sim;
pub(crate) mod sound_answers;
pub(crate) mod targets;

pub use runner::{EXECUTION_TIME_MAX, Finding, INPUT_BYTES_MAX, Limit, Outcome, replay, run};

/// A piece of code to attack.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name on the command line and in reports.
    pub name: &'static str,
    /// The code that it attacks and the properties that it checks.
    pub attacks: &'static str,
    /// Returns if every property held; panics with the violated one otherwise.
    pub run: fn(&[u8]),
}

/// All targets. A new one is a function in `targets` and a line here.
pub const TARGETS: &[Target] = &[
    Target {
        name: "search",
        attacks: "merge::search: order, pages, totals, no reserved member, sound JSON, nothing written on an error",
        run: targets::search::run,
    },
    Target {
        name: "documents",
        attacks: "merge::documents: order, pages, no reserved member, sound JSON, nothing written on an error",
        run: targets::documents::run,
    },
    Target {
        name: "facet_search",
        attacks: "merge::facet_search: sums, a shorter answer begins a longer one, sound JSON",
        run: targets::facets::run,
    },
    Target {
        name: "strip_document",
        attacks: "merge::strip_document: idempotent, loses reserved members and no others",
        run: targets::stripping::run_document,
    },
    Target {
        name: "strip_message",
        attacks: "merge::strip_message: idempotent, lists lose reserved names and no others",
        run: targets::stripping::run_message,
    },
    Target {
        name: "reserved",
        attacks: "router::reserved and shards: encodings read back, keep their order and are the only ones read",
        run: targets::routing::run_reserved,
    },
    Target {
        name: "topology",
        attacks: "router::Topology from JSON: hostile records are refused, accepted ones cover every shard",
        run: targets::routing::run_topology,
    },
    Target {
        name: "request",
        attacks: "h1: a request ends where its framing says, whatever follows and however it comes; bounds hold",
        run: targets::wire::run,
    },
    Target {
        name: "answer",
        attacks: "h1: a node's answer ends where its framing says, whatever follows and however it comes; bounds hold",
        run: targets::wire::run_answer,
    },
    Target {
        name: "payload",
        attacks: "ingest: JSON, NDJSON, CSV and lists of ids: every document in one shard's body, all bodies sound JSON",
        run: targets::payloads::run,
    },
    Target {
        name: "question",
        attacks: "api: bodies and query strings of questions: what is sent to nodes is JSON where the client's was",
        run: targets::questions::run,
    },
    Target {
        name: "administration",
        attacks: "api and auth: settings, keys, webhooks, networks, swaps and selections of tasks: read or refused with 4xx",
        run: targets::administration::run,
    },
    Target {
        name: "words",
        attacks: "api: messages, documents and settings of nodes, put into this gateway's words",
        run: targets::administration::run_words,
    },
    Target {
        name: "token",
        attacks: "auth: no bytes but a key's own and tokens it signed open anything",
        run: targets::access::run_token,
    },
    Target {
        name: "options",
        attacks: "config: flags and TOML: one line of error, or values that print and read back the same",
        run: targets::access::run_options,
    },
];

/// The target with this name.
#[must_use]
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
