//! Copies an index from one Meilisearch to another endpoint: settings first, then documents, page by page.
//!
//! `OLD_URL=... OLD_KEY=... NEW_URL=... NEW_KEY=... cargo run --example copy_index INDEX`

use std::{env, time::Duration};

use meilisearch_sdk::{client::Client, documents::DocumentsQuery, task_info::TaskInfo};
use serde_json::{Map, Value};

const PAGE: usize = 1000;
const POLL: Option<Duration> = Some(Duration::from_millis(100));
const WAIT: Option<Duration> = Some(Duration::from_secs(600));

type Failure = Box<dyn std::error::Error>;

fn endpoint(name: &str) -> Result<Client, Failure> {
    Ok(Client::new(env::var(format!("{name}_URL"))?, env::var(format!("{name}_KEY")).ok())?)
}

async fn succeeds(client: &Client, task: TaskInfo) -> Result<(), Failure> {
    let task = task.wait_for_completion(client, POLL, WAIT).await?;
    if task.is_success() { Ok(()) } else { Err(format!("{task:?}").into()) }
}

async fn copy(uid: &str) -> Result<usize, Failure> {
    let (old, new) = (endpoint("OLD")?, endpoint("NEW")?);
    let source = old.get_index(uid).await?;
    succeeds(&new, new.create_index(uid, source.primary_key.as_deref()).await?).await?;
    let target = new.index(uid);
    // Settings before documents: nothing is indexed twice.
    succeeds(&new, target.set_settings(&source.get_settings().await?).await?).await?;
    let mut copied = 0;
    loop {
        let page = DocumentsQuery::new(&source)
            .with_offset(copied)
            .with_limit(PAGE)
            .execute::<Map<String, Value>>()
            .await?
            .results;
        if page.is_empty() {
            break;
        }
        succeeds(&new, target.add_documents(&page, None).await?).await?;
        copied += page.len();
    }
    let found = target.get_stats().await?.number_of_documents;
    if found == copied { Ok(copied) } else { Err(format!("{copied} copied, and {found} are there").into()) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let uid = env::args().nth(1).ok_or("which index?")?;
    eprintln!("{} documents copied", copy(&uid).await?);
    Ok(())
}
