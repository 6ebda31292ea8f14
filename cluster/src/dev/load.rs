//! Load for a development cluster: writes and searches by themselves, so that there is something to watch.
//!
//! Invariants: each worker has one request under way, so that a slow cluster gets fewer. The requests follow from the
//! worker's number.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::json;
use ureq::Agent;

/// Workers that divide the load.
const WORKERS: u32 = 4;
/// One of so many operations is a write.
const READS_PER_WRITE: u64 = 10;
/// Operations a second, at the most.
pub const RATE_MAX: u32 = 10_000;
/// The index that the load writes and searches.
pub const INDEX: &str = "load";
/// Documents that the load writes over and over.
const DOCUMENTS: u64 = 10_000;
const WORDS: [&str; 8] = ["red", "green", "small", "large", "old", "new", "north", "south"];

/// Load that runs until it is dropped.
#[derive(Debug)]
pub struct Load {
    ends: Arc<AtomicBool>,
    counts: Arc<Counts>,
    workers: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// Begins `per_second` operations a second on the gateways at `urls`, in turn.
    pub fn begin(urls: &[String], agent: &Agent, per_second: u32) -> Self {
        let (ends, counts) = (Arc::<AtomicBool>::default(), Arc::<Counts>::default());
        let pause = Duration::from_secs(1) * WORKERS / per_second.max(1);
        let workers = (0..WORKERS).map(|number| {
            let (ends, counts) = (Arc::clone(&ends), Arc::clone(&counts));
            let (urls, agent) = (urls.to_vec(), agent.clone());
            thread::spawn(move || work(u64::from(number), &urls, &agent, pause, &ends, &counts))
        });
        let workers = workers.collect();
        Self { ends, counts, workers }
    }

    /// Operations that were answered well, and those that were not, since it began.
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.done.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so.
            let _ = worker.join();
        }
    }
}

fn work(number: u64, urls: &[String], agent: &Agent, pause: Duration, ends: &AtomicBool, counts: &Counts) {
    let mut random = fastrand::Rng::with_seed(number);
    let mut due = Instant::now();
    for turn in number.. {
        if ends.load(Ordering::Relaxed) {
            return;
        }
        let url = &urls[usize::try_from(turn).unwrap_or(0) % urls.len()];
        let sent = match turn % READS_PER_WRITE {
            0 => write(url, agent, &mut random),
            _ => search(url, agent, &mut random),
        };
        let counter = if sent { &counts.done } else { &counts.failed };
        counter.fetch_add(1, Ordering::Relaxed);
        due += pause;
        // What a slow cluster misses is not made up for.
        let now = Instant::now();
        due = due.max(now);
        thread::sleep(due - now);
    }
}

fn write(url: &str, agent: &Agent, random: &mut fastrand::Rng) -> bool {
    let mut word = || WORDS[random.usize(..WORDS.len())];
    let title = format!("{} {} {}", word(), word(), word());
    let document = json!({"id": random.u64(..DOCUMENTS), "title": title, "size": random.u64(..100)});
    let target = format!("{url}/indexes/{INDEX}/documents?primaryKey=id");
    agent.post(target).send_json(json!([document])).is_ok_and(|answer| answer.status().is_success())
}

fn search(url: &str, agent: &Agent, random: &mut fastrand::Rng) -> bool {
    let words = format!("{} {}", WORDS[random.usize(..WORDS.len())], WORDS[random.usize(..WORDS.len())]);
    let answer = agent.post(format!("{url}/indexes/{INDEX}/search")).send_json(json!({"q": words}));
    // The first searches may come before the index is there.
    answer.is_ok_and(|answer| answer.status().is_success() || answer.status() == 404)
}
