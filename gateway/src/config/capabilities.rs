//! What the gateway can do beyond passing requests on: one table, which the documentation is generated from.
//!
//! Invariants: a row is here once what it names works; a flag is one of the options, and where there is none the
//! capability is off until somebody configures it through the management API.

/// Where a capability attaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seam {
    /// Decides what a request asks, and whom.
    Plan,
    /// Decides when another node is asked.
    LegPolicy,
    /// Changes the answer.
    Settle,
    /// Works without a client waiting for it.
    ControlJob,
    /// Hears what has happened.
    EventSubscriber,
}

impl Seam {
    /// As tables name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::LegPolicy => "leg policy",
            Self::Settle => "settle",
            Self::ControlJob => "control job",
            Self::EventSubscriber => "event subscriber",
        }
    }
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub struct Capability {
    pub name: &'static str,
    /// The option that switches it, without dashes, with its default; `None` where it is always there.
    pub flag: Option<(&'static str, &'static str)>,
    pub seam: Seam,
    /// One line without a full stop.
    pub line: &'static str,
}

const fn row(
    name: &'static str,
    flag: Option<(&'static str, &'static str)>,
    seam: Seam,
    line: &'static str,
) -> Capability {
    Capability { name, flag, seam, line }
}

/// Every capability that works.
pub const CAPABILITIES: &[Capability] = &[
    row(
        "Online resharding",
        Some(("resharding", "on")),
        Seam::ControlJob,
        "an index gets another number of shards while it is read and written, and back again",
    ),
    row(
        "Hedged requests",
        Some(("hedging", "on")),
        Seam::LegPolicy,
        "another copy is asked when a node is late",
    ),
    row(
        "Adaptive replica selection",
        Some(("adaptive-selection", "on")),
        Seam::Plan,
        "the nodes that answer fastest are preferred",
    ),
    row(
        "Shard-aware planning",
        Some(("shard-aware-planning", "on")),
        Seam::Plan,
        "a filter on the primary key asks only the shards of these keys",
    ),
    row(
        "Two-phase settings change",
        None,
        Seam::ControlJob,
        "settings have a version once all nodes have them, and drift is repaired",
    ),
    row(
        "Read-your-writes sessions",
        Some(("session-mode", "block")),
        Seam::Plan,
        "a read with `X-Miroir-Session` sees the session's writes",
    ),
    row(
        "Index aliases",
        Some(("alias-require-target", "on")),
        Seam::Plan,
        "a name stands for one index, flipped at once, or for several that are searched as one",
    ),
    row(
        "Anti-entropy",
        Some(("anti-entropy", "on")),
        Seam::ControlJob,
        "copies of documents are compared and repaired",
    ),
    row("Idempotency keys", None, Seam::Plan, "a write sent twice with one `Idempotency-Key` is done once"),
    row(
        "Query coalescing",
        Some(("query-coalescing", "on")),
        Seam::Plan,
        "identical searches at one time share one scatter",
    ),
    row(
        "Multi-search",
        Some(("multi-search-queries-max", "100")),
        Seam::Plan,
        "each query is planned on its own; federated ones become one list",
    ),
    row("Vector and hybrid search", None, Seam::Settle, "both halves are merged as one node merges them"),
    row(
        "Tenant affinity",
        Some(("tenant-affinity", "off")),
        Seam::Plan,
        "a tenant's reads go to its replica group: by header, by API key, or by a table",
    ),
    row(
        "Document TTL",
        Some(("ttl", "on")),
        Seam::Plan,
        "documents end at their `_miroir_expires_at` where the index has a policy",
    ),
    row(
        "Admin console",
        Some(("admin-ui", "on")),
        Seam::EventSubscriber,
        "`/_miroir/admin` shows and changes the cluster in a browser",
    ),
    row(
        "Traffic shadow",
        Some(("shadow", "off")),
        Seam::EventSubscriber,
        "other clusters get a copy of searches, and their answers are compared",
    ),
    row("Canaries", None, Seam::ControlJob, "searches run on a schedule, with assertions on what they find"),
    row(
        "Search pages",
        Some(("search-ui", "on")),
        Seam::Plan,
        "an index that is given one has a page at `/ui/search/{uid}`, with sessions of its own",
    ),
    row(
        "Rolling indexes",
        None,
        Seam::ControlJob,
        "policies move a write alias on to a new index, and delete the oldest after a week at least",
    ),
    row(
        "Change data capture",
        Some(("cdc", "off")),
        Seam::EventSubscriber,
        "each confirmed change of documents is an event, to be asked for or delivered to webhooks and NATS",
    ),
    row("Explain", None, Seam::Plan, "`POST /indexes/{uid}/explain` says how a search would go, and why"),
];

/// The table as markdown, one line a capability, with a line break at the end.
#[must_use]
pub fn markdown() -> String {
    let mut table = "| capability | option | attaches at | what it does |\n|---|---|---|---|\n".to_owned();
    for Capability { name, flag, seam, line } in CAPABILITIES {
        let option =
            flag.map_or_else(|| "always on".to_owned(), |(flag, default)| format!("`--{flag}` [{default}]"));
        table.push_str(&format!("| {name} | {option} | {} | {line} |\n", seam.as_str()));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Parsed, parse};

    #[test]
    fn every_flag_is_an_option_that_takes_its_default() {
        let mut names = std::collections::BTreeSet::new();
        for capability in CAPABILITIES {
            assert!(names.insert(capability.name), "{} is there twice", capability.name);
            assert!(!capability.line.ends_with('.') && capability.line.len() < 100, "{}", capability.line);
            if let Some((flag, default)) = capability.flag {
                let option = format!("--{flag}");
                let parsed = parse(&["--node", "a=http://h:1", &option, default], |_| None);
                assert!(matches!(parsed, Ok(Parsed::Run(_))), "{option} {default}: {parsed:?}");
            }
        }
        assert_eq!(markdown().lines().count(), CAPABILITIES.len() + 2);
    }
}
