//! Nodes come and go, copies become more and fewer, while writers write and readers count.
//! Invariant: nothing acknowledged is lost, no read is answered otherwise than whole, and afterwards every document is
//! on exactly its owners.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use cluster::{
    chaos::{Report, under_load},
    cluster::{Cluster, ClusterOptions, agent},
};
use serde_json::{Value, json};

use crate::support::{TestCluster, load_cities};

/// How long one operation may take here.
const OPERATION_MAX: Duration = Duration::from_secs(300);
const PAUSE: Duration = Duration::from_millis(50);

/// Asks the management API; answers status and body.
pub(crate) fn ask(cluster: &Cluster, method: &str, path: &str, body: &Value) -> anyhow::Result<(u16, Value)> {
    let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", cluster.url()));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut answer = agent().run(request.header("Content-Type", "application/json").body(body)?)?;
    let status = answer.status().as_u16();
    let text = answer.body_mut().read_to_string()?;
    Ok((status, serde_json::from_str(&text).with_context(|| text.clone())?))
}

/// Has an operation done, and waits for its end.
pub(crate) fn done(cluster: &Cluster, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
    let (status, accepted) = ask(cluster, method, path, body)?;
    ensure!(status == 202, "{method} {path}: {status} {accepted}");
    let operation = until(cluster, &accepted["operation"], |operation| {
        operation["status"] != "queued" && operation["status"] != "running"
    })?;
    ensure!(operation["status"] == "succeeded", "{operation}");
    Ok(operation)
}

/// Waits until an operation is as asked for, also while the gateway is away.
pub(crate) fn until(
    cluster: &Cluster,
    number: &Value,
    is_reached: impl Fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let (deadline, mut last) = (Instant::now() + OPERATION_MAX, Value::Null);
    loop {
        let asked = ask(cluster, "GET", &format!("/_miroir/operations/{number}"), &Value::Null);
        if let Ok((200, operation)) = asked {
            if is_reached(&operation) {
                return Ok(operation);
            }
            last = operation;
        }
        ensure!(Instant::now() < deadline, "it takes too long: {last}");
        std::thread::sleep(PAUSE);
    }
}

/// Has an operation done while the gateway is killed whenever it has come further, some times.
pub(crate) fn done_between_kills(
    cluster: &mut Cluster,
    (method, path, body): (&str, &str, &Value),
    kills: usize,
) -> anyhow::Result<Value> {
    let (status, accepted) = ask(cluster, method, path, body)?;
    ensure!(status == 202, "{method} {path}: {status} {accepted}");
    let number = &accepted["operation"];
    let mut phase = Value::Null;
    for _ in 0..kills {
        let has_moved = |operation: &Value| operation["phase"] != phase || !operation["finishedAt"].is_null();
        let operation = until(cluster, number, has_moved)?;
        if !operation["finishedAt"].is_null() {
            break;
        }
        phase = operation["phase"].clone();
        cluster.kill_gateway()?;
        cluster.start_gateway_unready()?;
    }
    let operation = until(cluster, number, |operation| !operation["finishedAt"].is_null())?;
    ensure!(operation["status"] == "succeeded", "{operation}");
    Ok(operation)
}

fn add(cluster: &mut Cluster) -> anyhow::Result<Value> {
    let number = cluster.start_spare_node()?;
    let url = cluster.node(number).context("it runs")?.url();
    done(cluster, "POST", "/_miroir/nodes", &json!({"id": format!("n{number}"), "url": url}))
}

pub(crate) fn changed(
    nodes: usize,
    copies: usize,
    act: impl FnOnce(&mut Cluster) -> anyhow::Result<()>,
) -> Report {
    changed_with(|options| (options.nodes, options.replication_factor) = (nodes, copies), false, act)
}

/// Does something to a cluster under load, and checks that nobody noticed.
pub(crate) fn changed_with(
    set: impl FnOnce(&mut ClusterOptions),
    gateway_dies: bool,
    act: impl FnOnce(&mut Cluster) -> anyhow::Result<()>,
) -> Report {
    let mut cluster = TestCluster::start(|options| {
        options.shards = 16;
        options.no_sync = true;
        set(options);
    });
    let report = under_load(&mut cluster.cluster, 7, gateway_dies, act).unwrap();
    assert!(report.writes > 0 && report.reads > 0, "nobody asked anything\n{report}");
    assert!(report.is_good() && report.degraded_reads == 0, "{report}");
    eprintln!("{report}");
    report
}

#[test]
fn a_fourth_node_takes_its_share() {
    changed(3, 1, |cluster| {
        let operation = add(cluster)?;
        ensure!(operation["shards"].as_array().is_some_and(|shards| shards.len() == 4), "{operation}");
        Ok(())
    });
}

#[test]
fn a_node_leaves_and_others_have_what_it_had() {
    changed(4, 1, |cluster| {
        done(cluster, "DELETE", "/_miroir/nodes/n1", &Value::Null)?;
        // Nothing is asked of it any more.
        cluster.kill_node(1)
    });
}

#[test]
fn copies_become_two_and_one_again() {
    changed(3, 1, |cluster| {
        let factor = |copies: u16| json!({"replicationFactor": copies});
        done(cluster, "PATCH", "/_miroir/topology", &factor(2))?;
        done(cluster, "PATCH", "/_miroir/topology", &factor(1)).map(drop)
    });
}

#[test]
fn another_node_takes_the_place_of_one() {
    changed(3, 1, |cluster| {
        let number = cluster.start_spare_node()?;
        let url = cluster.node(number).context("it runs")?.url();
        done(cluster, "POST", "/_miroir/nodes/n2/replace", &json!({"id": "n3", "url": url}))?;
        cluster.kill_node(2)
    });
}

#[test]
fn a_dead_node_is_removed_by_force_where_others_have_copies() {
    changed(3, 2, |cluster| {
        cluster.kill_node(0)?;
        done(cluster, "DELETE", "/_miroir/nodes/n0?force=true", &Value::Null).map(drop)
    });
}

/// The state of a node by the topology, once it is another than `state`.
fn no_longer(cluster: &Cluster, id: &str, state: &str) -> anyhow::Result<Value> {
    let deadline = Instant::now() + OPERATION_MAX;
    loop {
        if let Ok((200, topology)) = ask(cluster, "GET", "/_miroir/topology", &Value::Null) {
            let nodes = topology["nodes"].as_array().context("nodes")?;
            let found = nodes.iter().find(|node| node["id"] == id);
            if let Some(found) = found.filter(|found| found["state"] != state) {
                return Ok(found["state"].clone());
            }
        }
        ensure!(Instant::now() < deadline, "{id} stays {state}");
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn a_node_that_stays_away_is_given_up_where_others_have_copies() {
    let set = |options: &mut ClusterOptions| {
        (options.nodes, options.replication_factor) = (3, 2);
        options.gateway_arguments.extend(["--replace-after", "2s"].map(str::to_owned));
    };
    changed_with(set, false, |cluster| {
        cluster.kill_node(0)?;
        let operation = until(cluster, &json!(1), |operation| !operation["finishedAt"].is_null())?;
        ensure!(operation["kind"] == "removeNode" && operation["status"] == "succeeded", "{operation}");
        ensure!(no_longer(cluster, "n0", "down")? == "removed", "n0 is still a member");
        // With two nodes for two copies none can be given up, and the one that was away comes back.
        cluster.kill_node(1)?;
        while no_longer(cluster, "n1", "healthy")? != "down" {}
        cluster.start_node(1)?;
        while no_longer(cluster, "n1", "down")? != "healthy" {}
        let (_, all) = ask(cluster, "GET", "/_miroir/operations", &Value::Null)?;
        ensure!(all["results"].as_array().is_some_and(|all| all.len() == 1), "{all}");
        Ok(())
    });
}

#[test]
fn nodes_that_die_meanwhile_are_waited_for() {
    changed(3, 2, |cluster| {
        let number = cluster.start_spare_node()?;
        let url = cluster.node(number).context("it runs")?.url();
        let (status, accepted) = ask(cluster, "POST", "/_miroir/nodes", &json!({"id": "n3", "url": url}))?;
        ensure!(status == 202, "{accepted}");
        for victim in [number, 1, 2] {
            let id = format!("n{victim}");
            cluster.kill_node(victim)?;
            while no_longer(cluster, &id, "healthy")? != "down" {}
            cluster.start_node(victim)?;
            while no_longer(cluster, &id, "down")? != "healthy" {}
        }
        let operation =
            until(cluster, &accepted["operation"], |operation| !operation["finishedAt"].is_null())?;
        ensure!(operation["status"] == "succeeded", "{operation}");
        Ok(())
    });
}

#[test]
fn a_second_group_is_filled_and_goes_again() {
    changed(2, 1, |cluster| {
        let number = cluster.start_spare_node()?;
        let url = cluster.node(number).context("it runs")?.url();
        done(cluster, "POST", "/_miroir/nodes", &json!({"id": "m0", "url": url, "group": 1}))?;
        done(cluster, "DELETE", "/_miroir/groups/1", &Value::Null).map(drop)
    });
}

#[test]
fn a_gateway_that_starts_anew_knows_its_nodes_from_its_store() {
    let mut cluster = TestCluster::start(|options| options.shards = 16);
    add(&mut cluster.cluster).unwrap();
    done(&cluster.cluster, "DELETE", "/_miroir/nodes/n0", &Value::Null).unwrap();
    cluster.cluster.kill_gateway().unwrap();
    cluster.cluster.start_gateway().unwrap();
    let (_, topology) = ask(&cluster.cluster, "GET", "/_miroir/topology", &Value::Null).unwrap();
    let nodes = topology["nodes"].as_array().unwrap();
    let states = nodes.iter().map(|node| (node["id"].as_str().unwrap(), &node["state"])).collect::<Vec<_>>();
    assert_eq!(states.len(), 4, "{topology}");
    assert!(
        states.contains(&("n0", &json!("removed"))) && states.contains(&("n3", &json!("healthy"))),
        "{states:?}"
    );
}

#[test]
fn a_gateway_that_dies_midway_goes_on_where_it_was() {
    let set = |options: &mut ClusterOptions| (options.nodes, options.replication_factor) = (3, 1);
    changed_with(set, true, |cluster| {
        let number = cluster.start_spare_node()?;
        let url = cluster.node(number).context("it runs")?.url();
        let node = json!({"id": "n3", "url": url});
        done_between_kills(cluster, ("POST", "/_miroir/nodes", &node), 4)?;
        done_between_kills(cluster, ("DELETE", "/_miroir/nodes/n0", &Value::Null), 4)?;
        cluster.wait_until_ready()
    });
}

#[test]
fn copies_become_more_and_fewer_while_the_gateway_dies() {
    let set = |options: &mut ClusterOptions| (options.nodes, options.replication_factor) = (3, 1);
    changed_with(set, true, |cluster| {
        for copies in [2, 1] {
            let body = json!({"replicationFactor": copies});
            done_between_kills(cluster, ("PATCH", "/_miroir/topology", &body), 3)?;
        }
        cluster.wait_until_ready()
    });
}

#[test]
fn what_is_given_up_midway_leaves_what_was() {
    changed(3, 1, |cluster| {
        let number = cluster.start_spare_node()?;
        let url = cluster.node(number).context("it runs")?.url();
        let before = ask(cluster, "GET", "/_miroir/shards", &Value::Null)?.1["placements"].clone();
        let node = json!({"id": "n3", "url": url});
        let (status, accepted) = ask(cluster, "POST", "/_miroir/nodes", &node)?;
        ensure!(status == 202, "{accepted}");
        let number = &accepted["operation"];
        until(cluster, number, |operation| operation["phase"] == "DualWrite")?;
        let wish =
            |wish: &str| ask(cluster, "POST", &format!("/_miroir/operations/{number}/{wish}"), &Value::Null);
        let (status, paused) = wish("pause")?;
        ensure!(status == 200 && paused["status"] == "paused", "{status} {paused}");
        let (status, again) = wish("pause")?;
        ensure!(status == 409, "{status} {again}");
        let (status, answer) = wish("cutover")?;
        ensure!(status == 409, "{status} {answer}");
        let (status, aborted) = wish("abort")?;
        ensure!(status == 200, "{status} {aborted}");
        let ended = until(cluster, number, |operation| !operation["finishedAt"].is_null())?;
        ensure!(ended["status"] == "aborted", "{ended}");
        let after = ask(cluster, "GET", "/_miroir/shards", &Value::Null)?.1["placements"].clone();
        ensure!(before == after, "{before} {after}");
        Ok(())
    });
}

#[test]
fn a_throttled_change_shows_what_it_has_copied_and_heeds_an_abort() {
    let mut cluster = TestCluster::start(|options| {
        options.nodes = 2;
        options.replication_factor = 1;
        options.gateway_arguments.extend(["--migration-throttle".to_owned(), "1".to_owned()]);
    });
    load_cities(&cluster.client);
    let cluster = &mut cluster.cluster;
    let number = cluster.start_spare_node().unwrap();
    let node = json!({"id": "n2", "url": cluster.node(number).unwrap().url()});
    let (status, accepted) = ask(cluster, "POST", "/_miroir/nodes", &node).unwrap();
    assert_eq!(status, 202, "{accepted}");
    let number = &accepted["operation"];
    // At one document a second the cities would take minutes: it is still at it when this shows.
    let moved = |operation: &Value| operation["progress"]["documentsMoved"].as_u64() > Some(0);
    let shown = until(cluster, number, moved).unwrap();
    assert_eq!((&shown["status"], &shown["phase"]), (&json!("running"), &json!("DualWrite")), "{shown}");
    let abort = format!("/_miroir/operations/{number}/abort");
    let (status, aborted) = ask(cluster, "POST", &abort, &Value::Null).unwrap();
    assert_eq!(status, 200, "{aborted}");
    let ended = until(cluster, number, |operation| !operation["finishedAt"].is_null()).unwrap();
    assert_eq!(ended["status"], "aborted", "{ended}");
}
