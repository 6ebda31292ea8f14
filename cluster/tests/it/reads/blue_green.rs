//! Reindexing without downtime, as an application does it with the official SDK: a new index is filled beside the old
//! one, and the alias that everybody uses is flipped. Readers never see a half-filled index.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use meilisearch_sdk::{client::Client as Sdk, search::SearchResults, settings::Settings};
use serde_json::{Value, json};

use crate::support::{TestCluster, cities};

/// Hits of a page; the largest cities of either version.
const PAGE: usize = 20;
const WAIT: Option<Duration> = Some(Duration::from_secs(120));

/// Every version of the index says in each document which one it is.
fn version(number: u64) -> Vec<Value> {
    let numbered = |mut city: Value| {
        city["version"] = json!(number);
        city
    };
    cities().into_iter().map(numbered).collect()
}

async fn fill(sdk: &Sdk, uid: &str, number: u64) {
    let done = |task: meilisearch_sdk::task_info::TaskInfo| async move {
        assert!(task.wait_for_completion(sdk, None, WAIT).await.unwrap().is_success());
    };
    done(sdk.create_index(uid, Some("id")).await.unwrap()).await;
    let settings = Settings::new().with_sortable_attributes(["population"]);
    done(sdk.index(uid).set_settings(&settings).await.unwrap()).await;
    done(sdk.index(uid).add_documents(&version(number), None).await.unwrap()).await;
}

/// One page through the alias: its version, after checking that it is whole.
async fn page(sdk: &Sdk) -> u64 {
    let index = sdk.index("cities");
    let found: SearchResults<Value> =
        index.search().with_sort(&["population:desc"]).with_limit(PAGE).execute().await.unwrap();
    let hits = found.hits.iter().map(|hit| &hit.result).collect::<Vec<_>>();
    assert_eq!(hits.len(), PAGE);
    let of = hits[0]["version"].as_u64().unwrap();
    assert!(hits.iter().all(|hit| hit["version"] == of), "two versions on one page");
    of
}

#[test]
fn an_index_is_replaced_while_everybody_reads_it() {
    let cluster = TestCluster::start(|_| {});
    let url = cluster.cluster.url();
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let sdk = Sdk::new(url.clone(), None::<&str>).unwrap();
    executor.block_on(fill(&sdk, "cities-1", 1));
    let (status, made) =
        cluster.client.call("POST", "/_miroir/aliases", &json!({"name": "cities", "target": "cities-1"}));
    assert_eq!(status, 201, "{made}");
    let (over, pages) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let sdk = Sdk::new(url.clone(), None::<&str>).unwrap();
                let mut seen = 1;
                while !over.load(Ordering::Relaxed) {
                    let of = executor.block_on(page(&sdk));
                    assert!(of >= seen, "version {of} after {seen}");
                    seen = of;
                    pages.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        executor.block_on(fill(&sdk, "cities-2", 2));
        assert_eq!(executor.block_on(page(&sdk)), 1, "the old index until the flip");
        let flip = json!({"target": "cities-2", "version": made["version"]});
        let (status, flipped) = cluster.client.call("PUT", "/_miroir/aliases/cities", &flip);
        assert_eq!(status, 200, "{flipped}");
        assert_eq!(executor.block_on(page(&sdk)), 2, "the new one from then on");
        // The old index can go at once: nobody asks it any more.
        let task = executor.block_on(sdk.index("cities-1").delete()).unwrap();
        assert!(executor.block_on(task.wait_for_completion(&sdk, None, WAIT)).unwrap().is_success());
        let after = pages.load(Ordering::Relaxed);
        while pages.load(Ordering::Relaxed) < after + 4 {
            std::thread::yield_now();
        }
        over.store(true, Ordering::Relaxed);
    });
}
