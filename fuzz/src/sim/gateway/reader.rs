//! Readers: they ask all the time, and what is certain has to be answered as it is, whatever moves meanwhile.
//! - `record` says what is certain.
//! - A list has every certain register exactly once or, where it is deleted, not at all, and nothing twice.
//! - An answer that says itself that it may lack something proves nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::client::{Client, INDEX};
use super::http::Question;
use super::kernel::{Site, kernel, sleep};

/// More than all registers.
const LISTED: usize = 1_000;

impl Client {
    /// Reads through any pod until then.
    pub(super) async fn watch(self, until: Duration) {
        while kernel().now() < until {
            let pod = self.any_pod();
            let kind = kernel().random(|rng| rng.u8(0..5));
            if kind < 4 {
                self.list(pod, kind.is_multiple_of(2)).await;
            } else {
                let count = self.record.borrow().registers.len();
                let chosen = kernel().random(|rng| rng.usize(0..count.max(1)));
                let key = self.record.borrow().registers.keys().nth(chosen).cloned();
                if let Some(key) = key {
                    self.read(&key).await;
                }
            }
            let pause = kernel().random(|rng| rng.u64(10..300));
            sleep(Duration::from_millis(pause)).await;
        }
    }

    pub(super) async fn read(&self, key: &str) {
        let pod = self.any_pod();
        let certain = self.record.borrow().certain(pod);
        let Ok(found) = self.value_of(pod, key).await else { return };
        let mut record = self.record.borrow_mut();
        record.reads += 1;
        let known = record.registers.get(key).map(Vec::as_slice).unwrap_or_default();
        if found.value.is_some() && !known.iter().any(|operation| operation.value == found.value) {
            record.wrong.push(format!("pod-{pod} gave {:?} for {key}, which nobody wrote", found.value));
        }
        if found.is_degraded {
            return;
        }
        if let Some(value) = record.still(certain).get(key) {
            record.certain_reads += 1;
            if found.value != *value {
                record.wrong.push(format!("pod-{pod} gave {:?} for {key}, which is {value:?}", found.value));
            }
        }
    }

    /// Asks a pod for all registers: by a search, or for the documents.
    pub(super) async fn list(&self, pod: Site, searches: bool) {
        let certain = self.record.borrow().certain(pod);
        let (route, name, total) = match searches {
            true => ("search", "hits", "estimatedTotalHits"),
            false => ("documents/fetch", "results", "total"),
        };
        let (target, body) = (format!("/indexes/{INDEX}/{route}"), json!({"limit": LISTED}));
        let question = Question { method: "POST", target: &target, body: Some(&body), key: None };
        let Ok(reply) = self.exchange(pod, question).await else { return };
        if reply.status != 200 || reply.is_degraded {
            return;
        }
        let mut record = self.record.borrow_mut();
        record.lists += 1;
        let still = record.still(certain);
        record.certain_reads += u64::try_from(still.len()).unwrap_or(u64::MAX);
        let wrong = wrong_in_list(pod, (&reply.body[name], &reply.body[total]), &still);
        let now = kernel().now();
        record.wrong.extend(wrong.into_iter().map(|what| format!("at {now:?}, by {route}: {what}")));
    }
}

/// What is wrong with a list of all registers.
fn wrong_in_list(
    pod: Site,
    (results, total): (&Value, &Value),
    certain: &BTreeMap<String, Option<u64>>,
) -> Vec<String> {
    let results = results.as_array().map(Vec::as_slice).unwrap_or_default();
    let (mut wrong, mut seen) = (Vec::new(), BTreeMap::new());
    for document in results {
        let key = document["id"].as_str().unwrap_or_default();
        if seen.insert(key, document["value"].as_u64()).is_some() {
            wrong.push(format!("pod-{pod} lists {key} twice"));
        }
    }
    if *total != results.len() {
        wrong.push(format!("pod-{pod} lists {} documents and counts {total}", results.len()));
    }
    for (key, value) in certain {
        let found = seen.get(key.as_str()).copied().flatten();
        if found != *value {
            wrong.push(format!("pod-{pod} lists {found:?} for {key}, which is {value:?}"));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_lack_or_double_something_are_wrong() {
        let certain = BTreeMap::from([("a".to_owned(), Some(1)), ("b".to_owned(), None)]);
        let check = |results: Value, total: u64, expected: usize| {
            let wrong = wrong_in_list(1, (&results, &json!(total)), &certain);
            assert_eq!(wrong.len(), expected, "{results}: {wrong:?}");
        };
        let (a, b) = (json!({"id": "a", "value": 1}), json!({"id": "b", "value": 2}));
        check(json!([a]), 1, 0);
        check(json!([a, {"id": "c", "value": 5}]), 2, 0);
        check(json!([]), 0, 1);
        check(json!([{"id": "a", "value": 2}]), 1, 1);
        check(json!([a, b]), 2, 1);
        check(json!([a, a]), 2, 1);
        check(json!([a]), 2, 1);
    }
}
