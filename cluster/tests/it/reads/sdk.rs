//! The official Rust SDK against a cluster, unchanged, on both runtimes.

use meilisearch_sdk::client::Client as Sdk;
use meilisearch_sdk::documents::DocumentDeletionQuery;
use meilisearch_sdk::search::{SearchResults, Selectors};
use meilisearch_sdk::settings::Settings;
use serde_json::{Value, json};

use crate::support::{TestCluster, cities};

/// The key that clients send; only the gateway knows the nodes' key.
const KEY: &str = "the-key-of-the-clients";

#[test]
fn the_official_sdk_works_on_monoio() {
    drive("monoio");
}

#[test]
fn the_official_sdk_works_on_glommio() {
    drive("glommio");
}

fn drive(runtime: &str) {
    let cluster = TestCluster::start(|options| {
        let arguments = ["--runtime", runtime, "--master-key", KEY];
        options.gateway_arguments.extend(arguments.map(str::to_owned));
    });
    let sdk = Sdk::new(cluster.cluster.url(), Some(KEY)).unwrap();
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    executor.block_on(async {
        fill(&sdk).await;
        search(&sdk).await;
        change(&sdk).await;
        let stranger = Sdk::new(cluster.cluster.url(), Some("another-key")).unwrap();
        assert!(stranger.index("cities").search().execute::<Value>().await.is_err());
    });
}

async fn fill(sdk: &Sdk) {
    assert!(sdk.is_healthy().await);
    let task = sdk.create_index("cities", Some("id")).await.unwrap();
    assert!(task.wait_for_completion(sdk, None, None).await.unwrap().is_success());
    let settings = Settings::new()
        .with_searchable_attributes(["name", "alternateNames", "country"])
        .with_filterable_attributes(["id", "country", "population", "timezone", "_geo"])
        .with_sortable_attributes(["name", "population", "_geo"]);
    let index = sdk.index("cities");
    let task = index.set_settings(&settings).await.unwrap();
    assert!(task.wait_for_completion(sdk, None, None).await.unwrap().is_success());
    let task = index.add_documents(&cities(), None).await.unwrap();
    let wait = Some(std::time::Duration::from_secs(120));
    assert!(task.wait_for_completion(sdk, None, wait).await.unwrap().is_success());
    assert_eq!(index.get_stats().await.unwrap().number_of_documents, cities().len());
    assert_eq!(sdk.list_all_indexes().await.unwrap().results.len(), 1);
}

async fn search(sdk: &Sdk) {
    let index = sdk.index("cities");
    let found: SearchResults<Value> =
        index.search().with_query("budapst").with_limit(3).execute().await.unwrap();
    let name = found.hits[0].result["name"].as_str().unwrap();
    assert!(name.starts_with("Budapest"), "a typo is forgiven: {name}");

    let mut query = index.search();
    query.with_filter("country = Japan AND population > 1000000");
    query.with_facets(Selectors::Some(&["timezone", "country"])).with_limit(100);
    let found: SearchResults<Value> = query.execute().await.unwrap();
    let expected = cities();
    let large_in_japan =
        |city: &&Value| city["country"] == "Japan" && city["population"].as_u64() > Some(1_000_000);
    let expected_count = expected.iter().filter(large_in_japan).count();
    assert_eq!(found.estimated_total_hits, Some(expected_count));
    let facets = found.facet_distribution.unwrap();
    assert_eq!(facets["country"]["Japan"], expected_count);
    assert_eq!(facets["timezone"]["Asia/Tokyo"], expected_count);

    let found: SearchResults<Value> =
        index.search().with_sort(&["population:desc"]).with_limit(50).execute().await.unwrap();
    let mut largest = expected.iter().map(|city| city["population"].as_u64().unwrap()).collect::<Vec<_>>();
    largest.sort_unstable_by(|one, other| other.cmp(one));
    let populations = found.hits.iter().map(|hit| hit.result["population"].as_u64().unwrap());
    assert_eq!(populations.collect::<Vec<_>>(), largest[..50]);

    let mut query = index.search();
    query.with_filter("_geoRadius(48.8566, 2.3522, 100000)").with_sort(&["_geoPoint(48.8566, 2.3522):asc"]);
    let found: SearchResults<Value> = query.execute().await.unwrap();
    assert_eq!(found.hits[0].result["name"], "Paris");
    assert!(found.hits.iter().all(|hit| hit.result["_geoDistance"].as_u64().unwrap() <= 100_000));
}

async fn change(sdk: &Sdk) {
    let index = sdk.index("cities");
    let paris: Value = index.get_document("2988507").await.unwrap();
    assert_eq!(paris["name"], "Paris");
    assert!(paris.as_object().unwrap().keys().all(|name| !name.starts_with("_miroir_")));

    let task = index.add_or_update(&[json!({"id": 2_988_507, "population": 7})], None).await.unwrap();
    assert!(task.wait_for_completion(sdk, None, None).await.unwrap().is_success());
    let paris: Value = index.get_document("2988507").await.unwrap();
    assert_eq!((&paris["population"], &paris["name"]), (&json!(7), &json!("Paris")));

    let before = index.get_stats().await.unwrap().number_of_documents;
    let french = cities().iter().filter(|city| city["country"] == "France").count();
    let mut deletion = DocumentDeletionQuery::new(&index);
    deletion.with_filter("country = France");
    let task = index.delete_documents_with(&deletion).await.unwrap();
    assert!(task.wait_for_completion(sdk, None, None).await.unwrap().is_success());
    assert_eq!(index.get_stats().await.unwrap().number_of_documents, before - french);
    assert!(index.get_document::<Value>("2988507").await.is_err());

    let task = index.delete_documents(&[1_850_147]).await.unwrap();
    assert!(task.wait_for_completion(sdk, None, None).await.unwrap().is_success());
    assert!(index.get_document::<Value>("1850147").await.is_err());
}
