//! `miroir-ctl migrate`: copies everything of one running Meilisearch into the cluster, and shows that it is there.
//!
//! Invariants: the source is only read, and what the cluster had before is not deleted unless that is asked for. A pass compares every document of an index with the cluster's and writes those
//! that differ, so that a run that was interrupted is simply begun again. It succeeds only after a pass in which
//! nothing differed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    thread,
    time::Duration,
};

use anyhow::{Context as _, anyhow, bail, ensure};
use argh::{ArgsInfo, FromArgs};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Map, Value, json};

use crate::commands::Action;
use crate::kit::{
    client::{Client, encoded},
    context::Context,
    failure::Failure,
    report::{Outcome, Report},
    show::word,
    table::Table,
};

/// Documents in one page, and indexes and keys in one.
const PAGE: u64 = 1000;
/// Documents in one deletion.
const DELETED_AT_ONCE: usize = 1000;
/// Passes over an index: the first copies, and each that follows takes over what changed meanwhile.
const PASSES_MAX: u32 = 6;
/// The pause between two looks at a task, and how often it is looked at.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
const LOOKS_MAX: u32 = 72_000;
/// Writes that may be unfinished at once.
const TASKS_MAX: usize = 8;

/// Copies the keys, indexes, settings and documents of a running Meilisearch
/// into the cluster, with their vectors, and compares both sides. When it was
/// interrupted, the same command goes on.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    subcommand,
    name = "migrate",
    example = "miroir-ctl migrate --from http://old:7700\nmiroir-ctl migrate --from http://old:7700 --index films --index books"
)]
pub(crate) struct Migrate {
    /// the server to copy, HOST:PORT or a URL
    #[argh(option)]
    from: String,
    /// its master key; better in the variable MIROIR_SOURCE_KEY
    #[argh(option)]
    key: Option<String>,
    /// the gateway's master key; better in the variable MIROIR_MASTER_KEY
    #[argh(option)]
    master_key: Option<String>,
    /// only this index; may be given several times
    #[argh(option)]
    index: Vec<String>,
    /// also delete what only the cluster has in these indexes
    #[argh(switch)]
    mirror: bool,
    /// only compare both sides, and write nothing
    #[argh(switch)]
    compare: bool,
}

impl Action for Migrate {
    fn run(&self, context: &Context) -> anyhow::Result<Report> {
        let key = self.key.clone().or_else(|| variable("MIROIR_SOURCE_KEY"));
        let source = Client::with_bearer(&self.from, key, None)?;
        let key = self.master_key.clone().or_else(|| variable("MIROIR_MASTER_KEY"));
        let target = Client::with_bearer(&context.url(), key, context.ca())?;
        let indexes = self.chosen(&source)?;
        let mut copy = Migration {
            source: &source,
            target: &target,
            writes: !self.compare,
            mirrors: self.mirror,
            tasks: Vec::new(),
        };
        let keys = if self.index.is_empty() { copy.keys()? } else { 0 };
        let mut results = Vec::new();
        for (uid, primary_key) in indexes {
            let copied = copy.index(&uid, primary_key.as_deref());
            results.push(copied.with_context(|| format!("index {uid}"))?);
        }
        let answer = json!({"from": source.origin(), "keys": keys, "indexes": results});
        let is_good = results.iter().all(|result| result["equal"] == true);
        Ok(Report::good(answer, told(&results)).judged(is_good, Outcome::Failed))
    }
}

impl Migrate {
    /// The indexes to copy, with their primary keys.
    fn chosen(&self, source: &Client) -> anyhow::Result<BTreeMap<String, Option<String>>> {
        let mut all = BTreeMap::new();
        for index in listed(source, "/indexes")? {
            let uid =
                index["uid"].as_str().ok_or_else(|| anyhow!("the source lists an index without a uid"))?;
            all.insert(uid.to_owned(), index["primaryKey"].as_str().map(str::to_owned));
        }
        if let Some(missing) = self.index.iter().find(|uid| !all.contains_key(*uid)) {
            return Err(Failure::usage(format!("option index: the source has no index {missing:?}")));
        }
        all.retain(|uid, _| self.index.is_empty() || self.index.contains(uid));
        Ok(all)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Everything that a list has, page by page.
fn listed(client: &Client, path: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    loop {
        let page = client.get(&format!("{path}?limit={PAGE}&offset={}", all.len()))?;
        let results = page["results"].as_array().ok_or_else(|| anyhow!("{path}: no list was answered"))?;
        if results.is_empty() {
            return Ok(all);
        }
        all.extend(results.iter().cloned());
    }
}

/// What one pass has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Pass {
    /// Documents of the source.
    read: u64,
    /// Documents that the cluster lacked or had otherwise.
    differing: u64,
    /// Documents that only the cluster had, and how many of them were deleted.
    foreign: u64,
    deleted: u64,
}

/// A copy of one server under way.
struct Migration<'a> {
    source: &'a Client,
    target: &'a Client,
    writes: bool,
    /// Whether documents that only the target has are deleted, whoever wrote them.
    mirrors: bool,
    /// Tasks of the target that may not have ended.
    tasks: Vec<u64>,
}

impl Migration<'_> {
    /// Makes the keys that the target does not know; gives how many it has made.
    fn keys(&mut self) -> anyhow::Result<u64> {
        // A server without a master key has no keys to list.
        let Ok(keys) = listed(self.source, "/keys") else { return Ok(0) };
        let mut made = 0;
        for key in keys.iter().filter(|_| self.writes) {
            let mut body = Map::new();
            for name in ["uid", "name", "description", "actions", "indexes", "expiresAt"] {
                body.insert(name.to_owned(), key[name].clone());
            }
            match self.target.post("/keys", &Value::Object(body)) {
                Ok(_) => made += 1,
                Err(error) if is_refused_with(&error, &["api_key_already_exists"]) => {}
                // One that has expired cannot be made any more.
                Err(error) if is_refused_with(&error, &["invalid_api_key_expires_at"]) => {}
                Err(error) => return Err(error.context(format!("key {}", word(&key["uid"])))),
            }
        }
        Ok(made)
    }

    /// Copies one index, and reports on it.
    fn index(&mut self, uid: &str, primary_key: Option<&str>) -> anyhow::Result<Value> {
        let path = format!("/indexes/{}", encoded(uid));
        if self.writes {
            self.make(uid, &path, primary_key)?;
        }
        let has_settings = self.settings(&path)?;
        let (mut passes, mut written, mut last) = (0, 0, Pass::default());
        // Documents that this run has seen at the source may be deleted once they are gone there.
        let mut seen = HashSet::new();
        if let Some(primary_key) = primary_key {
            while passes < PASSES_MAX {
                passes += 1;
                last = self.pass(uid, &path, primary_key, &mut seen)?;
                if (last.differing, last.deleted) == (0, 0) || !self.writes {
                    break;
                }
                written += last.differing;
            }
        }
        Ok(json!({
            "uid": uid,
            "documents": last.read,
            "written": written,
            "passes": passes,
            "differing": last.differing,
            "foreign": last.foreign,
            "settingsEqual": has_settings,
            "equal": has_settings && (last.differing, last.foreign) == (0, 0),
        }))
    }

    fn make(&mut self, uid: &str, path: &str, primary_key: Option<&str>) -> anyhow::Result<()> {
        match self.target.get(path) {
            Ok(found) => {
                let found = found["primaryKey"].as_str();
                ensure!(
                    found.is_none() || found == primary_key,
                    "the cluster has it with the primary key {found:?}, and the source with {primary_key:?}"
                );
                Ok(())
            }
            Err(error) if is_refused_with(&error, &["index_not_found"]) => {
                let body = json!({"uid": uid, "primaryKey": primary_key});
                let made = self.target.post("/indexes", &body)?;
                self.begun(&made)?;
                self.wait_for_tasks(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes over the settings; gives whether both sides show the same.
    fn settings(&mut self, path: &str) -> anyhow::Result<bool> {
        let path = format!("{path}/settings");
        let wanted = self.source.get(&path)?;
        if self.writes && self.target.get(&path)? != wanted {
            let changed = self.target.patch(&path, &wanted)?;
            self.begun(&changed)?;
            self.wait_for_tasks(0)?;
        }
        let found = match self.target.get(&path) {
            Ok(found) => found,
            Err(error) if !self.writes && is_refused_with(&error, &["index_not_found"]) => Value::Null,
            Err(error) => return Err(error),
        };
        // One side may be newer, and have settings that the other does not know.
        let members = wanted.as_object().into_iter().flatten();
        Ok(found.is_object() && members.into_iter().all(|(name, value)| found[name] == *value))
    }

    /// Compares all documents, and writes those that differ.
    fn pass(
        &mut self,
        uid: &str,
        path: &str,
        primary_key: &str,
        seen: &mut HashSet<u64>,
    ) -> anyhow::Result<Pass> {
        let fetch = format!("{path}/documents/fetch");
        let total = self.source.get(&format!("{path}/stats"))?["numberOfDocuments"].as_u64().unwrap_or(0);
        let bar = bar(total, uid)?;
        let (mut pass, mut keys) = (Pass::default(), HashSet::new());
        loop {
            let question = json!({"offset": pass.read, "limit": PAGE, "retrieveVectors": true});
            let page = results(self.source.post(&fetch, &question)?)?;
            if page.is_empty() {
                break;
            }
            let ids = page.iter().map(|document| document[primary_key].clone()).collect::<Vec<_>>();
            let mut known = self.known(&fetch, &ids, primary_key)?;
            let differing = page.iter().zip(&ids).filter(|(document, id)| {
                known.remove(&id.to_string()).is_none_or(|known| !is_equal(document, &known))
            });
            let differing = differing.map(|(document, _)| document).collect::<Vec<_>>();
            pass.read += page.len() as u64;
            pass.differing += differing.len() as u64;
            keys.extend(ids.iter().map(hash));
            if self.writes && !differing.is_empty() {
                let key = encoded(primary_key);
                let answer =
                    self.target.post(&format!("{path}/documents?primaryKey={key}"), &json!(differing))?;
                self.begun(&answer)?;
                self.wait_for_tasks(TASKS_MAX)?;
            }
            bar.inc(page.len() as u64);
        }
        self.wait_for_tasks(0)?;
        let foreign = self.foreign(path, primary_key, &keys)?;
        let mut gone = foreign.clone();
        gone.retain(|id| self.writes && (self.mirrors || seen.contains(&hash(id))));
        (pass.foreign, pass.deleted) = (foreign.len() as u64, gone.len() as u64);
        self.delete(path, &gone)?;
        seen.extend(keys);
        bar.finish_and_clear();
        Ok(pass)
    }

    /// The target's documents of these ids, by their ids.
    fn known(&self, fetch: &str, ids: &[Value], primary_key: &str) -> anyhow::Result<HashMap<String, Value>> {
        let question = json!({"ids": ids, "limit": ids.len(), "retrieveVectors": true});
        let found = match self.target.post(fetch, &question) {
            Ok(found) => results(found)?,
            Err(error) if !self.writes && is_refused_with(&error, &["index_not_found"]) => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(found.into_iter().map(|document| (document[primary_key].to_string(), document)).collect())
    }

    /// The ids that only the target has.
    fn foreign(&self, path: &str, primary_key: &str, keys: &HashSet<u64>) -> anyhow::Result<Vec<Value>> {
        let fetch = format!("{path}/documents/fetch");
        let (mut foreign, mut offset) = (Vec::new(), 0_u64);
        loop {
            let question = json!({"offset": offset, "limit": PAGE, "fields": [primary_key]});
            let page = match self.target.post(&fetch, &question) {
                Ok(found) => results(found)?,
                Err(error) if !self.writes && is_refused_with(&error, &["index_not_found"]) => Vec::new(),
                Err(error) => return Err(error),
            };
            if page.is_empty() {
                return Ok(foreign);
            }
            offset += page.len() as u64;
            let ids = page.iter().map(|document| document[primary_key].clone());
            foreign.extend(ids.filter(|id| !keys.contains(&hash(id))));
        }
    }

    fn delete(&mut self, path: &str, ids: &[Value]) -> anyhow::Result<()> {
        for ids in ids.chunks(DELETED_AT_ONCE) {
            let answer = self.target.post(&format!("{path}/documents/delete-batch"), &json!(ids))?;
            self.begun(&answer)?;
            self.wait_for_tasks(0)?;
        }
        Ok(())
    }

    fn begun(&mut self, answer: &Value) -> anyhow::Result<()> {
        self.tasks
            .push(answer["taskUid"].as_u64().ok_or_else(|| anyhow!("the cluster made no task: {answer}"))?);
        Ok(())
    }

    /// Waits until at most so many tasks have not ended.
    fn wait_for_tasks(&mut self, open_max: usize) -> anyhow::Result<()> {
        let mut looks = 0;
        while self.tasks.len() > open_max {
            let mut open = Vec::new();
            for uid in std::mem::take(&mut self.tasks) {
                let task = self.target.get(&format!("/tasks/{uid}"))?;
                match task["status"].as_str() {
                    Some("succeeded") => {}
                    Some("enqueued" | "processing") => open.push(uid),
                    _ => {
                        bail!("task {uid} has {}: {}", word(&task["status"]), word(&task["error"]["message"]))
                    }
                }
            }
            self.tasks = open;
            looks += 1;
            ensure!(looks < LOOKS_MAX, "task {} does not end", self.tasks[0]);
            if self.tasks.len() > open_max {
                thread::sleep(LOOK_PAUSE);
            }
        }
        Ok(())
    }
}

fn results(answer: Value) -> anyhow::Result<Vec<Value>> {
    if let Value::Object(mut members) = answer
        && let Some(Value::Array(results)) = members.remove("results")
    {
        return Ok(results);
    }
    Err(anyhow!("documents were asked for, and no list was answered"))
}

/// Whether two documents are the same; the order of fields does not count, nor does an empty list of vectors, which
/// servers show or not.
fn is_equal(one: &Value, other: &Value) -> bool {
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return one == other };
    let counts = |(name, value): &(&String, &Value)| name.as_str() != "_vectors" || **value != json!({});
    let of = |document: &Map<String, Value>| document.iter().filter(counts).count();
    of(one) == of(other) && one.iter().filter(counts).all(|(name, value)| other.get(name) == Some(value))
}

fn hash(id: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    // A number and its text are one key.
    id.as_str().map_or_else(|| id.to_string(), str::to_owned).hash(&mut hasher);
    hasher.finish()
}

fn is_refused_with(error: &anyhow::Error, codes: &[&str]) -> bool {
    matches!(error.downcast_ref(), Some(Failure::Refused { code, .. }) if codes.contains(&code.as_str()))
}

fn bar(total: u64, uid: &str) -> anyhow::Result<ProgressBar> {
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {per_sec}")?.progress_chars("=> ");
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr()).with_style(style);
    Ok(bar.with_message(uid.to_owned()))
}

fn told(results: &[Value]) -> String {
    let mut table =
        Table::new(&["INDEX", "DOCUMENTS", "WRITTEN", "PASSES", "DIFFERING", "FOREIGN", "SETTINGS", "EQUAL"]);
    for result in results {
        table.row(&[
            word(&result["uid"]),
            word(&result["documents"]),
            word(&result["written"]),
            word(&result["passes"]),
            word(&result["differing"]),
            word(&result["foreign"]),
            if result["settingsEqual"] == true { "equal" } else { "differ" }.to_owned(),
            word(&result["equal"]),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_equal_whatever_the_order_of_their_fields() {
        let check = |one: Value, other: Value, expected: bool| {
            assert_eq!(is_equal(&one, &other), expected, "{one} {other}");
            assert_eq!(is_equal(&other, &one), expected, "{other} {one}");
        };
        check(json!({"id": 1, "a": [1, 2]}), json!({"a": [1, 2], "id": 1}), true);
        check(json!({"id": 1, "a": [1, 2]}), json!({"id": 1, "a": [2, 1]}), false);
        check(json!({"id": 1}), json!({"id": 1, "a": null}), false);
        check(json!({"id": 1}), json!({"id": 1, "_vectors": {}}), true);
        check(json!({"id": 1}), json!({"id": 1, "_vectors": {"e": {"embeddings": [[1.0]]}}}), false);
        check(json!({"id": "1"}), json!({"id": 1}), false);
        assert_eq!(hash(&json!("1")), hash(&json!(1)));
        assert_ne!(hash(&json!("1")), hash(&json!(2)));
    }
}
