//! The operator: changes the cluster's shape through any pod's management API, one change after the other.
//! - It knows only what pods tell it. It follows what has not ended, whoever asked for it, and resumes what is paused.
//! - It may have second thoughts: it pauses, resumes, aborts and orders cutovers at any moment.
//! - An operation that has ended stays as it is, and whatever is refused or fails has a reason.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, INDEX};
use super::http::Question;
use super::kernel::{Site, kernel, sleep};
use super::network::address_of;

/// Numbers of shards that an index is given.
const SHARDS: [u32; 4] = [4, 8, 12, 16];
/// How many of a hundred looks at an operation lead to second thoughts.
const SECOND_THOUGHTS_PERCENT: u8 = 4;

#[derive(Clone)]
pub(super) struct Operator {
    pub(super) client: Client,
    /// All servers that are nodes, or may become nodes.
    pub(super) servers: Vec<Site>,
}

/// The nodes as a pod shows them.
struct Seen {
    members: Vec<Site>,
    strangers: Vec<Site>,
    groups: Vec<u64>,
    group_of: BTreeMap<Site, u64>,
}

/// A request that changes something.
struct Wish {
    method: &'static str,
    target: String,
    body: Value,
    subject: Option<Site>,
}

impl Operator {
    /// Asks for changes until then, and goes on until every operation has ended.
    pub(super) async fn work(self, until: Duration) {
        loop {
            match self.open().await {
                None => {}
                Some(open) => match open.first() {
                    Some(operation) => self.steer(operation, kernel().now() < until).await,
                    None if kernel().now() >= until => break,
                    None => self.ask_for_a_change().await,
                },
            }
            let pause = kernel().random(|rng| rng.u64(100..1_200));
            sleep(Duration::from_millis(pause)).await;
        }
        self.client.record.borrow_mut().changes.is_over = true;
    }

    /// The operations that have not ended, oldest first; `None` when no pod says.
    async fn open(&self) -> Option<Vec<Value>> {
        let pod = self.client.any_pod();
        let asked = self.client.ask(pod, Question::get("/_miroir/operations?limit=1000")).await;
        let Ok((200, list)) = asked else { return None };
        let mut record = self.client.record.borrow_mut();
        let mut open = Vec::new();
        for operation in list["results"].as_array()? {
            let status = operation["status"].as_str().unwrap_or_default();
            let has_ended = matches!(status, "succeeded" | "failed" | "aborted");
            let number = operation["operation"].as_u64().unwrap_or_default();
            let before = record.changes.statuses.insert(number, status.to_owned()).unwrap_or_default();
            let had_ended = matches!(&*before, "succeeded" | "failed" | "aborted");
            if had_ended && before != status {
                record
                    .wrong
                    .push(format!("operation {number} was {before}, and pod-{pod} shows {operation}"));
            }
            if has_ended && !had_ended {
                let kind = operation["kind"].as_str().unwrap_or_default();
                *record.changes.ended.entry(format!("{kind} {status}")).or_default() += 1;
                let lacks_reason =
                    status == "failed" && operation["reason"].as_str().is_none_or(str::is_empty);
                if lacks_reason {
                    record.wrong.push(format!("operation {number} failed without a reason: {operation}"));
                }
            }
            if !has_ended {
                open.push(operation.clone());
            }
        }
        open.sort_by_key(|operation| operation["operation"].as_u64());
        record.changes.open = open.iter().map(Value::to_string).collect();
        Some(open)
    }

    /// Resumes an operation that is paused, and sometimes thinks again.
    async fn steer(&self, operation: &Value, may_think_again: bool) {
        let number = &operation["operation"];
        let is_paused = operation["status"] == "paused";
        let waits = operation["reason"].as_str().is_some_and(|reason| reason.contains("`cutover`"));
        let drawn = kernel().random(|rng| rng.u8(0..100));
        let thinks_again = may_think_again && drawn < SECOND_THOUGHTS_PERCENT;
        let wish = match drawn % 2 {
            0 if thinks_again => "abort",
            _ if thinks_again && !is_paused => "pause",
            _ if is_paused && waits => "cutover",
            _ if is_paused => "resume",
            _ => return,
        };
        let target = format!("/_miroir/operations/{number}/{wish}");
        let question = Question { method: "POST", target: &target, body: None, key: None };
        let asked = self.client.ask(self.client.any_pod(), question).await;
        self.note_refusal(&target, asked.ok());
    }

    /// Asks for a change; whether it was taken shows in the list of operations.
    async fn ask_for_a_change(&self) {
        let Some(seen) = self.look().await else { return };
        let Some(wish) = self.wish(&seen) else { return };
        self.client.record.borrow_mut().changes.subject = wish.subject;
        let question =
            Question { method: wish.method, target: &wish.target, body: Some(&wish.body), key: None };
        let asked = self.client.ask(self.client.any_pod(), question).await;
        kernel().note(("wish", &wish.target));
        self.note_refusal(&wish.target, asked.ok());
    }

    fn note_refusal(&self, target: &str, answer: Option<(u16, Value)>) {
        let Some((status, body)) = answer else { return };
        let mut record = self.client.record.borrow_mut();
        if status >= 400 {
            record.changes.refused += 1;
            if body["message"].as_str().is_none_or(str::is_empty) || status == 404 || status == 500 {
                record.wrong.push(format!("{target} was answered {status}: {body}"));
            }
        }
    }

    async fn look(&self) -> Option<Seen> {
        let asked = self.client.ask(self.client.any_pod(), Question::get("/_miroir/topology")).await;
        let Ok((200, topology)) = asked else { return None };
        let nodes = topology["nodes"].as_array()?.iter().filter(|node| node["state"] != "removed");
        let group_of: BTreeMap<Site, u64> = nodes
            .filter_map(|node| {
                let site = node["id"].as_str()?.strip_prefix("node-")?.parse().ok()?;
                Some((site, node["group"].as_u64()?))
            })
            .collect();
        let mut groups: Vec<u64> = group_of.values().copied().collect();
        groups.sort_unstable();
        groups.dedup();
        let members = group_of.keys().copied().collect();
        let strangers = self.servers.iter().copied().filter(|site| !group_of.contains_key(site)).collect();
        Some(Seen { members, strangers, groups, group_of })
    }

    fn wish(&self, seen: &Seen) -> Option<Wish> {
        let one_of = |sites: &[Site]| {
            (!sites.is_empty()).then(|| kernel().random(|rng| sites[rng.usize(0..sites.len())]))
        };
        let (kind, number) = kernel().random(|rng| (rng.u8(0..100), rng.usize(0..1_000)));
        let plain = |method, target: String, body| Wish { method, target, body, subject: None };
        let about = |method, target: String, body, site| Wish { method, target, body, subject: Some(site) };
        Some(match kind {
            0..28 => {
                let site = one_of(&seen.strangers)?;
                let known = seen.groups[number % seen.groups.len()];
                let group = if number % 10 == 0 { seen.groups.last()? + 1 } else { known };
                about("POST", "/_miroir/nodes".to_owned(), described(site, Some(group)), site)
            }
            28..42 => {
                let site = one_of(&seen.members)?;
                about("POST", format!("/_miroir/nodes/node-{site}/drain"), json!({}), site)
            }
            42..55 => {
                let site = one_of(&seen.members)?;
                about("DELETE", format!("/_miroir/nodes/node-{site}"), json!({}), site)
            }
            55..64 => {
                let (old, new) = (one_of(&seen.members)?, one_of(&seen.strangers)?);
                let group = seen.group_of.get(&old).copied();
                about("POST", format!("/_miroir/nodes/node-{old}/replace"), described(new, group), new)
            }
            64..74 => {
                let factor = 1 + number % 2;
                plain("PATCH", "/_miroir/topology".to_owned(), json!({"replicationFactor": factor}))
            }
            74..78 => {
                let group = seen.groups[number % seen.groups.len()];
                plain("DELETE", format!("/_miroir/groups/{group}"), json!({}))
            }
            78..84 => plain("POST", "/_miroir/rebalance".to_owned(), json!({})),
            84..95 => {
                let body = json!({"shards": SHARDS[number % SHARDS.len()], "autoCutover": number % 3 > 0});
                plain("POST", format!("/_miroir/indexes/{INDEX}/reshard"), body)
            }
            _ => plain("POST", "/_miroir/routing/revert".to_owned(), json!({"index": INDEX})),
        })
    }
}

fn described(site: Site, group: Option<u64>) -> Value {
    let url = format!("http://{}", address_of(site));
    json!({"id": format!("node-{site}"), "url": url, "group": group})
}
