//! Measures a store: durable writes per second by number in flight, reads beside them, renewals of a lease. It uses
//! this machine's disk, or the Redis whose URL is the first argument. With a task count as the last argument it also
//! measures disk, filtered pages, opening time and memory at that size.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a measuring tool for engineers")]

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_lite::future::block_on;
use store::{
    NewTask, RedisOptions, Reply, Store, TaskChange, TaskKind, TaskOwner, TaskQuery, TaskStatus, open_redis,
    open_sled,
};
use time::OffsetDateTime;

/// The gateway's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TIME_PER_STEP: Duration = Duration::from_secs(3);
const IN_FLIGHT: [usize; 3] = [1, 16, 128];
const FILL_IN_FLIGHT: usize = 2048;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, path] = &arguments[..]
        && flag == "--filled"
    {
        return measure_filled(Path::new(path));
    }
    let directory = tempfile::tempdir().unwrap();
    let url = arguments.get(1).filter(|argument| argument.starts_with("redis"));
    let (store, thread) = match url {
        Some(url) => open_redis(RedisOptions { url: url.clone(), clock: None }).unwrap(),
        None => open_sled(directory.path()).unwrap(),
    };
    renewals(&store);
    for in_flight in IN_FLIGHT {
        let start = Instant::now();
        let count = create(&store, in_flight, |_| start.elapsed() < TIME_PER_STEP);
        let rate = f64::from(count) / start.elapsed().as_secs_f64();
        println!("{in_flight} in flight: {rate:.0} durable writes/s");
    }
    reads_beside_writes(&store);
    if let Some(count) = arguments.last().and_then(|count| count.parse().ok()) {
        fill(&store, count);
        println!("{} MB resident", resident_bytes() >> 20);
        thread.join().unwrap();
        if url.is_some() {
            return;
        }
        println!("{} MB on disk", bytes_below(directory.path()) >> 20);
        // In a separate process, whose memory is only what the filled store takes.
        let mut measuring = Command::new(std::env::current_exe().unwrap());
        measuring.arg("--filled").arg(directory.path()).status().unwrap();
    }
}

/// Creates tasks, `in_flight` at a time, while `more` says so. Returns how many.
fn create(store: &Store, in_flight: usize, more: impl Fn(u32) -> bool) -> u32 {
    let mut waiting: VecDeque<Reply<_>> = VecDeque::new();
    let mut count = 0;
    while more(count) {
        if waiting.len() == in_flight {
            block_on(waiting.pop_front().unwrap()).unwrap();
        }
        waiting.push_back(store.create_task(new_task(count)));
        count += 1;
    }
    for reply in waiting {
        block_on(reply).unwrap();
    }
    count
}

fn new_task(number: u32) -> NewTask {
    NewTask {
        index_uid: Some(format!("index-{}", number % 10)),
        named: None,
        kind: TaskKind::ALL[number as usize % TaskKind::ALL.len()],
        accepted: true,
        details: Some(serde_json::json!({"receivedDocuments": number, "indexedDocuments": null})),
        custom_metadata: None,
        enqueued_at: date(number),
        idempotency_key: None,
        owners: (0..3)
            .map(|node| TaskOwner { node: format!("node-{node}"), shards: vec![node, 9] })
            .collect(),
    }
}

fn date(number: u32) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + u64::from(number))
}

/// Times the renewal of a lease while nothing else happens, and a read, which is one round trip to the store.
fn renewals(store: &Store) {
    let ttl = Duration::from_secs(10);
    let lease =
        block_on(store.acquire_lease("measured", "p1", serde_json::Value::Null, ttl)).unwrap().unwrap();
    let time = |act: &dyn Fn()| {
        let mut times: Vec<Duration> = (0..2000)
            .map(|_| {
                let before = Instant::now();
                act();
                before.elapsed()
            })
            .collect();
        times.sort();
        (times[1000], times[1980])
    };
    let renewal = time(&|| block_on(store.renew_lease(&lease, ttl)).unwrap());
    let read = time(&|| drop(block_on(store.index("nothing")).unwrap()));
    println!(
        "renewal of a lease: p50 {:?}, p99 {:?}; a read: p50 {:?}, p99 {:?}",
        renewal.0, renewal.1, read.0, read.1
    );
    block_on(store.release_lease(&lease)).unwrap();
}

fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let size = |entry: std::fs::DirEntry| match entry.metadata().unwrap() {
        of if of.is_dir() => bytes_below(&entry.path()),
        of => of.len(),
    };
    entries.map(size).sum()
}

/// Times one read while 128 writes are always in flight.
fn reads_beside_writes(store: &Store) {
    let start = Instant::now();
    let writer = store.clone();
    let writing = std::thread::spawn(move || create(&writer, 128, |_| start.elapsed() < TIME_PER_STEP));
    let mut times = Vec::new();
    while start.elapsed() < TIME_PER_STEP {
        let before = Instant::now();
        block_on(store.task(7)).unwrap();
        times.push(before.elapsed());
    }
    writing.join().unwrap();
    times.sort();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000];
    println!("a read beside 128 writers: p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999));
}

fn fill(store: &Store, count: u32) {
    let first = block_on(store.create_task(new_task(0))).unwrap().uid + 1;
    let start = Instant::now();
    create(store, FILL_IN_FLIGHT, |created| created < count);
    let mut waiting: VecDeque<Reply<_>> = VecDeque::new();
    for number in 0..count - 100 {
        if waiting.len() == FILL_IN_FLIGHT {
            block_on(waiting.pop_front().unwrap()).unwrap();
        }
        let change = TaskChange {
            status: Some(if number % 7 == 0 { TaskStatus::Failed } else { TaskStatus::Succeeded }),
            started_at: Some(date(number)),
            finished_at: Some(date(number + 5)),
            ..TaskChange::default()
        };
        waiting.push_back(store.update_task(first + number, change));
    }
    for reply in waiting {
        block_on(reply).unwrap();
    }
    println!("filled with {count} tasks in {:?}", start.elapsed());
}

fn measure_filled(path: &Path) {
    let start = Instant::now();
    let (store, _thread) = open_sled(path).unwrap();
    println!("opened in {:?}, {} MB resident", start.elapsed(), resident_bytes() >> 20);
    let total = block_on(store.tasks(TaskQuery::default())).unwrap().total;
    let middle = date(u32::try_from(total / 2).unwrap());
    let queries = [
        ("newest", TaskQuery::default()),
        (
            "failed of two indexes",
            TaskQuery {
                statuses: Some(vec![TaskStatus::Failed]),
                index_uids: Some(vec!["index-1".to_owned(), "index-4".to_owned()]),
                ..TaskQuery::default()
            },
        ),
        (
            "from the middle, reversed, one kind",
            TaskQuery {
                from: Some(u32::try_from(total / 2).unwrap()),
                kinds: Some(vec![TaskKind::DocumentDeletion]),
                reverse: true,
                ..TaskQuery::default()
            },
        ),
        (
            "finished in one half",
            TaskQuery {
                after_finished_at: Some(middle),
                before_started_at: Some(middle + Duration::from_secs(200_000)),
                ..TaskQuery::default()
            },
        ),
    ];
    for (name, query) in queries {
        let mut times: Vec<Duration> = (0..50)
            .map(|_| {
                let before = Instant::now();
                block_on(store.tasks(query.clone())).unwrap();
                before.elapsed()
            })
            .collect();
        let first = times[0];
        times.sort();
        println!("page of 20, {name}: first {first:?}, p50 {:?}, worst {:?}", times[25], times[49]);
    }
    println!("{} MB resident", resident_bytes() >> 20);
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
