//! An index gets another number of shards, and its old one back, while writers write and readers count.
//! Invariant: nothing acknowledged is lost, no read is answered otherwise than whole, and afterwards every document is
//! on exactly its owners under the number of shards that holds.

use anyhow::{Context, ensure};
use cluster::cluster::{Cluster, ClusterOptions};
use serde_json::{Value, json};

use super::shapes::{ask, changed, changed_with, done, done_between_kills, until};
use crate::support::{TestCluster, load_cities, real_node};

/// The index of the load.
const INDEX: &str = "registers";
const RESHARD: &str = "/_miroir/indexes/registers/reshard";

fn status(cluster: &Cluster) -> anyhow::Result<Value> {
    let (status, answer) = ask(cluster, "GET", &format!("{RESHARD}/status"), &Value::Null)?;
    ensure!(status == 200, "{status} {answer}");
    Ok(answer)
}

/// Has an index take a number of shards, and looks at what is kept.
fn reshard(cluster: &Cluster, shards: u32, kept: Option<u32>) -> anyhow::Result<()> {
    let operation = done(cluster, "POST", RESHARD, &json!({"shards": shards}))?;
    ensure!(operation["kind"] == "reshard" && operation["index"] == INDEX, "{operation}");
    expect(cluster, shards, kept)
}

fn expect(cluster: &Cluster, shards: u32, kept: Option<u32>) -> anyhow::Result<()> {
    let status = status(cluster)?;
    let found = (status["shards"].as_u64(), status["kept"]["shards"].as_u64());
    ensure!(found == (Some(shards.into()), kept.map(u64::from)), "{status}");
    Ok(())
}

fn revert(cluster: &Cluster) -> anyhow::Result<Value> {
    done(cluster, "POST", "/_miroir/routing/revert", &json!({"index": INDEX}))
}

/// The indexes that the nodes hold, apart from those that are being dropped.
fn on_nodes(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let key = cluster.options().node_master_key.clone();
    let mut names = Vec::new();
    for url in cluster.node_urls() {
        let client = node::test_client::Client::new(url);
        let client = match &key {
            Some(key) => client.with_key(key),
            None => client,
        };
        let answer = client.read("/indexes?limit=1000");
        let found = answer["results"].as_array().context("a list")?.clone();
        names.extend(found.iter().filter_map(|index| index["uid"].as_str().map(str::to_owned)));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

#[test]
fn an_index_gets_more_shards_and_its_old_ones_back() {
    changed(3, 1, |cluster| {
        reshard(cluster, 64, Some(16))?;
        let reverted = revert(cluster)?;
        ensure!(reverted["kind"] == "revertReshard", "{reverted}");
        expect(cluster, 16, None)
    });
}

#[test]
fn copies_follow_and_a_number_that_is_no_multiple_will_do() {
    changed(3, 2, |cluster| {
        reshard(cluster, 7, Some(16))?;
        // What was kept makes room.
        reshard(cluster, 24, Some(7))
    });
}

#[test]
fn nodes_come_and_go_while_old_copies_are_kept() {
    changed(3, 1, |cluster| {
        reshard(cluster, 32, Some(16))?;
        let number = cluster.start_spare_node()?;
        let url = cluster.node(number).context("it runs")?.url();
        done(cluster, "POST", "/_miroir/nodes", &json!({"id": "n3", "url": url}))?;
        done(cluster, "DELETE", "/_miroir/nodes/n0", &Value::Null)?;
        cluster.kill_node(0)?;
        revert(cluster)?;
        expect(cluster, 16, None)
    });
}

#[test]
fn a_gateway_that_dies_midway_goes_on_resharding() {
    let set = |options: &mut ClusterOptions| (options.nodes, options.replication_factor) = (3, 1);
    changed_with(set, true, |cluster| {
        let body = json!({"shards": 64, "throttle": 100});
        done_between_kills(cluster, ("POST", RESHARD, &body), 6)?;
        cluster.wait_until_ready()?;
        expect(cluster, 64, Some(16))?;
        let body = json!({"index": INDEX});
        done_between_kills(cluster, ("POST", "/_miroir/routing/revert", &body), 4)?;
        cluster.wait_until_ready()?;
        expect(cluster, 16, None)
    });
}

#[test]
fn what_is_given_up_leaves_nothing() {
    changed(3, 1, |cluster| {
        let before = on_nodes(cluster)?;
        for phase in ["Backfill", "CutoverBegin"] {
            let body = json!({"shards": 48, "throttle": 100, "autoCutover": false});
            let (code, accepted) = ask(cluster, "POST", RESHARD, &body)?;
            ensure!(code == 202, "{code} {accepted}");
            let number = &accepted["operation"];
            until(cluster, number, |operation| operation["phase"] == phase)?;
            let (code, second) = ask(cluster, "POST", RESHARD, &json!({"shards": 8}))?;
            ensure!(code == 409, "{code} {second}");
            let (code, aborted) =
                ask(cluster, "POST", &format!("/_miroir/operations/{number}/abort"), &Value::Null)?;
            ensure!(code == 200, "{code} {aborted}");
            let ended = until(cluster, number, |operation| !operation["finishedAt"].is_null())?;
            ensure!(ended["status"] == "aborted", "{ended}");
            expect(cluster, 16, None)?;
        }
        // Nodes may have yet to drop what they were told to.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while on_nodes(cluster)? != before {
            ensure!(std::time::Instant::now() < deadline, "{:?}", on_nodes(cluster)?);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Ok(())
    });
}

#[test]
fn a_cutover_is_made_when_it_is_asked_for() {
    changed(3, 1, |cluster| {
        let (_, accepted) = ask(cluster, "POST", RESHARD, &json!({"shards": 32, "autoCutover": false}))?;
        let number = &accepted["operation"];
        let waiting = until(cluster, number, |operation| operation["status"] == "paused")?;
        ensure!(waiting["phase"] == "CutoverBegin", "{waiting}");
        expect(cluster, 16, None)?;
        let path = format!("/_miroir/operations/{number}/cutover");
        let (code, answer) = ask(cluster, "POST", &path, &Value::Null)?;
        ensure!(code == 200, "{code} {answer}");
        let ended = until(cluster, number, |operation| !operation["finishedAt"].is_null())?;
        ensure!(ended["status"] == "succeeded", "{ended}");
        expect(cluster, 32, Some(16))?;
        let (code, answer) = ask(cluster, "POST", &path, &Value::Null)?;
        ensure!(code == 409, "{code} {answer}");
        Ok(())
    });
}

#[test]
fn old_copies_go_when_their_time_is_over() {
    let set = |options: &mut ClusterOptions| {
        options.gateway_arguments.extend(["--reshard-keep", "0s"].map(str::to_owned));
    };
    changed_with(set, false, |cluster| {
        let before = on_nodes(cluster)?.len();
        reshard(cluster, 32, None)?;
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while on_nodes(cluster)?.len() != before {
            ensure!(std::time::Instant::now() < deadline, "{:?}", on_nodes(cluster)?);
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let (code, answer) = ask(cluster, "POST", "/_miroir/routing/revert", &json!({"index": INDEX}))?;
        ensure!(
            code == 400 && answer["message"].as_str().is_some_and(|text| text.contains("keeps no copies")),
            "{answer}"
        );
        Ok(())
    });
}

#[test]
fn every_kind_of_change_reaches_both_sets_of_copies() {
    let cluster = TestCluster::start(|options| options.shards = 8);
    let client = &cluster.client;
    load_cities(client);
    let documents = |client: &node::test_client::Client| {
        let all = client.call("POST", "/indexes/cities/documents/fetch", &json!({"limit": 10_000})).1;
        let mut found = all["results"].as_array().unwrap().clone();
        found.sort_by_key(|city| city["id"].to_string());
        found
    };
    let body = json!({"shards": 24, "autoCutover": false});
    let (status, accepted) = ask(&cluster.cluster, "POST", "/_miroir/indexes/cities/reshard", &body).unwrap();
    assert_eq!(status, 202, "{accepted}");
    let number = &accepted["operation"];
    until(&cluster.cluster, number, |operation| operation["status"] == "paused").unwrap();
    client.done(
        "PUT",
        "/indexes/cities/documents",
        &json!([{"id": 1, "name": "one"}, {"id": "new", "name": "two"}]),
    );
    client.done("POST", "/indexes/cities/documents/delete", &json!({"filter": "population > 10000000"}));
    client.done("POST", "/indexes/cities/documents/delete-batch", &json!(["new"]));
    client.done(
        "PATCH",
        "/indexes/cities/settings",
        &json!({"rankingRules": ["sort", "words"], "stopWords": ["the"]}),
    );
    // Embedded nodes run no functions.
    if real_node().is_some() {
        client.call("PATCH", "/experimental-features", &json!({"editDocumentsByFunction": true}));
        let edit = json!({"filter": "country = France", "function": "doc.seen = true"});
        client.done("POST", "/indexes/cities/documents/edit", &edit);
    }
    let settings = client.read("/indexes/cities/settings");
    let before = documents(client);
    let path = format!("/_miroir/operations/{number}/cutover");
    let (status, answer) = ask(&cluster.cluster, "POST", &path, &Value::Null).unwrap();
    assert_eq!(status, 200, "{answer}");
    let ended = until(&cluster.cluster, number, |operation| !operation["finishedAt"].is_null()).unwrap();
    assert_eq!(ended["status"], "succeeded", "{ended}");
    // Both were written to, so that there is next to nothing to repair.
    assert_eq!(documents(client), before);
    assert_eq!(client.read("/indexes/cities/settings"), settings);
    assert_eq!(client.read("/indexes/cities/stats")["numberOfDocuments"], before.len());
    // The index goes with all its copies.
    client.done("DELETE", "/indexes/cities", &Value::Null);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while !on_nodes(&cluster.cluster).unwrap().is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?}", on_nodes(&cluster.cluster));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

#[test]
fn what_cannot_be_done_is_refused_and_nothing_changes() {
    let cluster = TestCluster::start(|options| {
        options.shards = 8;
        options.gateway_arguments.extend(["--schedule-window", "night=22:00-06:00"].map(str::to_owned));
    });
    load_cities(&cluster.client);
    let check = |path: &str, body: Value, status: u16, expected: &str| {
        let (found, answer) = ask(&cluster.cluster, "POST", path, &body).unwrap();
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(found == status && message.contains(expected), "{path} {body}: {found} {answer}");
    };
    let cities = "/_miroir/indexes/cities/reshard";
    check(cities, json!({"shards": 8}), 400, "has 8 shards already");
    check(cities, json!({"shards": 0}), 400, "0 shards are not allowed");
    check(cities, json!({"shards": 70_000}), 400, "70000 shards are not allowed");
    check(cities, json!({"shards": -1}), 400, "invalid value");
    check(cities, json!({}), 400, "missing field `shards`");
    check(cities, json!({"shards": 16, "speed": 1}), 400, "unknown field `speed`");
    check(cities, json!({"shards": 16, "throttle": 4_000_000_000_u32}), 400, "`throttle` is 4000000000");
    check(cities, json!({"shards": 16, "scheduleWindow": "noon"}), 400, "allowed: night");
    check("/_miroir/indexes/none/reshard", json!({"shards": 16}), 404, "Index `none` not found.");
    check("/_miroir/routing/revert", json!({"index": "cities"}), 400, "keeps no copies");
    check("/_miroir/routing/revert", json!({"index": "none"}), 404, "Index `none` not found.");
    check("/_miroir/routing/revert", json!({}), 400, "missing field `index`");
    let (status, plan) = ask(
        &cluster.cluster,
        "POST",
        cities,
        &json!({"shards": 16, "dryRun": true, "scheduleWindow": "night"}),
    )
    .unwrap();
    assert_eq!((status, &plan["shardsBefore"], &plan["shards"]), (200, &json!(8), &json!(16)), "{plan}");
    assert!(plan["documents"].as_u64() > Some(0) && plan["bytes"].as_u64() > Some(0), "{plan}");
    assert_eq!(plan["scheduleWindow"]["window"], "night=22:00-06:00", "{plan}");
    let (_, list) = ask(&cluster.cluster, "GET", "/_miroir/operations", &Value::Null).unwrap();
    assert_eq!(list["total"], 0, "{list}");
}
