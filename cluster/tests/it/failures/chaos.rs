//! Short runs of `miroir-chaos`: nodes, the gateway and whole groups fail under load, and every acknowledged operation
//! is verified afterwards. Long runs, and runs on a real Meilisearch, use the program itself.
//! Invariant: a failed run reports its seed.

use std::{path::PathBuf, time::Duration};

use cluster::{
    chaos::{Options, Report, Scenario, run},
    cluster::ClusterOptions,
};

use crate::support::{PROGRAM, real_node};

fn broken(seed: u64, scenario: Scenario, change: impl FnOnce(&mut ClusterOptions)) -> Report {
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut cluster = ClusterOptions {
        nodes: 3,
        replication_factor: 2,
        node_binary: real_node(),
        node_master_key: Some("the-key-of-the-nodes".to_owned()),
        ..ClusterOptions::new(PathBuf::from(PROGRAM), data.path().to_owned())
    };
    change(&mut cluster);
    let (lasts, fault_lasts) = (Duration::from_secs(6), Duration::from_secs(2));
    let mut told = String::new();
    let mut say = |line: &str| {
        told += line;
        told.push('\n');
    };
    let report = run(&Options { seed, cluster, lasts, fault_lasts, scenario }, &mut say).unwrap();
    assert!(report.is_good(), "seed {seed}\n{told}{report}");
    assert!(report.writes > 0 && report.reads > 0, "seed {seed}: nobody asked anything\n{report}");
    report
}

#[test]
fn nothing_acknowledged_is_lost_while_nodes_fail_in_turn() {
    broken(11, Scenario::Nodes, |_| {});
}

#[test]
fn nothing_acknowledged_is_lost_while_the_gateway_is_killed_as_well() {
    broken(12, Scenario::NodesAndGateway, |_| {});
}

#[test]
fn a_whole_group_may_fail_under_load() {
    let report = broken(13, Scenario::Group, |cluster| {
        cluster.groups = 2;
        cluster.nodes = 4;
    });
    assert_eq!(report.degraded_reads, 0, "{report}");
}
