//! Several gateways on one Redis move shards, while the one that leads is killed.
//! Invariant: the load goes through a gateway that lives; another one carries the operation on.

use std::process::Command;

use anyhow::{Context, ensure};
use cluster::{
    chaos::under_load,
    cluster::{Cluster, Pod},
};
use serde_json::{Value, json};

use super::shapes::{ask, until};
use crate::pods::coordination::Pods;

/// Kills the pod that leads changes of the topology, if it is one of these.
fn kill_leader(pods: &[Pod]) -> anyhow::Result<bool> {
    for pod in pods {
        let asked = cluster::cluster::agent().get(format!("{}/_miroir/topology", pod.url())).call();
        let Ok(mut answer) = asked else { continue };
        let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
        let leads = answer["coordinator"]["leads"].as_array().context("a list")?;
        if leads.contains(&json!("topology")) {
            let id = pod.process_id().to_string();
            ensure!(Command::new("kill").args(["-9", &id]).status()?.success());
            return Ok(true);
        }
    }
    Ok(false)
}

/// Has an operation done, and kills the pod that carries it out once it is in a phase.
fn done_by_two(
    cluster: &Cluster,
    pods: &[Pod],
    (path, body): (&str, &Value),
    phase: &str,
) -> anyhow::Result<Value> {
    let (status, accepted) = ask(cluster, "POST", path, body)?;
    ensure!(status == 202, "{path}: {status} {accepted}");
    let number = &accepted["operation"];
    until(cluster, number, |operation| operation["phase"] == phase || !operation["finishedAt"].is_null())?;
    let killed = kill_leader(pods)?;
    let operation = until(cluster, number, |operation| !operation["finishedAt"].is_null())?;
    ensure!(operation["status"] == "succeeded", "after a kill ({killed}): {operation}");
    Ok(operation)
}

#[test]
fn another_pod_goes_on_where_one_died() {
    let mut pods = Pods::start_with(true, |options| {
        options.gateway_arguments = ["--cores", "1"].map(str::to_owned).to_vec();
        options.node_binary = crate::support::real_node();
    });
    // The load goes through this one, which is told of no node that has come since.
    pods.cluster.start_gateway().unwrap();
    let processes = &pods.pods;
    let report = under_load(&mut pods.cluster, 7, false, |cluster| {
        let number = cluster.start_spare_node()?;
        let url = cluster.node(number).context("it runs")?.url();
        let node = json!({"id": "n3", "url": url});
        done_by_two(cluster, processes, ("/_miroir/nodes", &node), "CutoverDeltaPass")?;
        let shards = json!({"shards": 24, "throttle": 100});
        done_by_two(cluster, processes, ("/_miroir/indexes/registers/reshard", &shards), "Backfill")?;
        Ok(())
    });
    let report = report.unwrap();
    assert!(report.is_good(), "{report}");
    assert_eq!(report.degraded_reads, 0, "{report}");
}
