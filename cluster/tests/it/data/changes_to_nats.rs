//! The stream of changes to a real NATS server: what clients were confirmed arrives there in order, whoever is killed
//! meanwhile, and what was refused does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_nats::{ConnectOptions, Subscriber, jetstream, jetstream::stream};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::nats_server::{GATEWAY, NatsServer, PASSWORD, WATCHER};
use crate::support::{Client, TestCluster};

const LONGEST: Duration = Duration::from_secs(180);
const ADMIN: &str = "the-key-of-operators";
const WRITERS: u32 = 3;
/// Documents of each writer, which it writes in turn.
const DOCUMENTS: u32 = 4;
/// Writes that are confirmed before the next thing is killed.
const STEP: u32 = 60;

fn cluster(sinks: &[String]) -> TestCluster {
    TestCluster::start(|options| {
        options.nodes = 2;
        let more = ["--admin-key", ADMIN, "--allowed-ip-networks", "127.0.0.0/8"].map(str::to_owned);
        let sinks = sinks.iter().flat_map(|sink| ["--cdc-sink".to_owned(), sink.clone()]);
        options.gateway_arguments.extend(more.into_iter().chain(sinks));
    })
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONGEST;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until each sink is in a state.
fn wait_for_sinks(cluster: &TestCluster, state: &str) {
    let admin = Client::new(cluster.client.base()).with_key(ADMIN);
    wait_until(state, || {
        let shown = admin.read("/_miroir/changes/sinks");
        shown["results"].as_array().unwrap().iter().all(|sink| sink["state"] == state)
    });
}

/// Writers that never pause, and what they were confirmed.
#[derive(Default)]
struct Writers {
    count: AtomicU32,
    confirmed: Mutex<BTreeSet<(String, u64)>>,
    have_ended: AtomicBool,
}

impl Writers {
    fn write(&self, base: &str, writer: u32) {
        let client = Client::new(base);
        let send = |body: &str| {
            let headers = [("Content-Type", "application/json")];
            client.raw("POST", "/indexes/films/documents?primaryKey=id", &headers, body.as_bytes())
        };
        for version in 1.. {
            if self.have_ended.load(Ordering::SeqCst) {
                return;
            }
            let id = format!("{writer}-{}", version % u64::from(DOCUMENTS));
            let Ok(answer) = send(&json!([{"id": id, "version": version}]).to_string()) else {
                // The gateway is being started.
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            if answer.0 == 202 {
                self.confirmed.lock().unwrap().insert((id, version));
                self.count.fetch_add(1, Ordering::SeqCst);
            }
            if version % 10 == 0 {
                // A payload with a wrong id is a task that fails, and one that is no JSON is refused.
                let _ = send(&json!([{"id": "refused", "version": version}, {"id": "no id"}]).to_string());
                let _ = send("[{\"id\": \"refused\"}, {\"id\"");
            }
        }
    }

    /// Waits until so many more writes were confirmed.
    fn go_on(&self) {
        let wanted = self.count.load(Ordering::SeqCst) + STEP;
        wait_until("writes go on", || self.count.load(Ordering::SeqCst) >= wanted);
    }

    fn end(&self) {
        self.have_ended.store(true, Ordering::SeqCst);
    }

    /// Runs `act` while they write; they end with it.
    fn during(&self, base: &str, act: impl FnOnce()) {
        // A test that fails must not wait for them.
        struct AtEnd<'w>(&'w Writers);
        impl Drop for AtEnd<'_> {
            fn drop(&mut self) {
                self.0.end();
            }
        }
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                scope.spawn(move || self.write(base, writer));
            }
            let _end = AtEnd(self);
            act();
        });
    }

    /// Checks events in the order in which they arrived: every confirmed write is there, no refused one is, and of
    /// each document no version appears first behind a later one.
    fn check(&self, events: &[Value]) {
        let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in events {
            let document = &event["document"];
            let (id, version) = (document["id"].as_str().unwrap(), document["version"].as_u64().unwrap());
            assert_eq!(event["primaryKeys"], json!([id]));
            assert_ne!(id, "refused", "{event}");
            let seen = versions.entry(id.to_owned()).or_default();
            if !seen.contains(&version) {
                assert!(seen.last().is_none_or(|last| *last < version), "{id}: {version} after {seen:?}");
                seen.push(version);
            }
        }
        let confirmed = self.confirmed.lock().unwrap();
        let is_missing = |(id, version): &&(String, u64)| !versions[id].contains(version);
        let missing = confirmed.iter().filter(is_missing).collect::<Vec<_>>();
        assert!(missing.is_empty(), "{missing:?} of {}", confirmed.len());
    }
}

/// A client of the server.
async fn connect(server: &str) -> async_nats::Client {
    let options = ConnectOptions::with_user_and_password(WATCHER.to_owned(), PASSWORD.to_owned());
    options.subscription_capacity(1 << 20).connect(server).await.unwrap()
}

/// A client that listens to the server while the test does other things.
struct Watcher {
    runtime: Runtime,
    client: async_nats::Client,
    heard: Subscriber,
}

impl Watcher {
    fn listen(server: &NatsServer) -> Self {
        let runtime = Runtime::new().unwrap();
        let (client, heard) = runtime.block_on(async {
            let client = connect(&server.url(WATCHER)).await;
            let heard = client.subscribe("changes.>").await.unwrap();
            (client, heard)
        });
        let mut watcher = Self { runtime, client, heard };
        assert!(watcher.take().is_empty(), "the server knows of the subscription");
        watcher
    }

    /// What the server had for it until now: the server answers a connection in order.
    fn take(&mut self) -> Vec<async_nats::Message> {
        let until_now = async {
            self.client.publish("changes.end", "".into()).await.unwrap();
            let mut all = Vec::new();
            loop {
                let message = self.heard.next().await.unwrap();
                if message.subject.as_str() == "changes.end" {
                    return all;
                }
                all.push(message);
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(LONGEST, until_now).await.unwrap() })
    }
}

fn event(headers: Option<&async_nats::HeaderMap>, payload: &[u8]) -> Value {
    let event: Value = serde_json::from_slice(payload).unwrap();
    assert_eq!(event["eventId"], headers.unwrap().get("Nats-Msg-Id").unwrap().as_str());
    event
}

#[test]
fn core_nats_gets_every_confirmed_write_in_order_though_all_are_killed() {
    let mut server = NatsServer::start();
    let mut watcher = Watcher::listen(&server);
    let sink = format!("nats={}/changes,body=on,batch=20,flush=10ms", server.url(GATEWAY));
    let mut cluster = cluster(&[sink]);
    let (writers, base) = (Writers::default(), cluster.client.base().to_owned());
    let mut heard = Vec::new();
    writers.during(&base, || {
        writers.go_on();
        // What a server without a stream has taken dies with it. So the gateway is cut off amid its deliveries, and
        // the server is killed once the watcher has what it took.
        server.let_in(&[WATCHER]);
        wait_for_sinks(&cluster, "retrying");
        heard.extend(watcher.take());
        server.kill();
        writers.go_on();
        server.start_again();
        watcher = Watcher::listen(&server);
        server.let_in(&[GATEWAY, WATCHER]);
        writers.go_on();
        cluster.cluster.kill_gateway().unwrap();
        cluster.cluster.start_gateway().unwrap();
        writers.go_on();
    });
    wait_for_sinks(&cluster, "idle");
    heard.extend(watcher.take());
    assert!(heard.iter().all(|message| message.subject.as_str() == "changes.films"));
    let events = heard.iter().map(|message| event(message.headers.as_ref(), &message.payload));
    writers.check(&events.collect::<Vec<_>>());
}

/// All messages of a stream, in its order.
async fn stored(context: &jetstream::Context, name: &str) -> (stream::Config, Vec<Value>) {
    let mut stream = context.get_stream(name).await.unwrap();
    let (config, state) = {
        let info = stream.info().await.unwrap();
        (info.config.clone(), info.state.clone())
    };
    let mut events = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        let message = stream.get_raw_message(sequence).await.unwrap();
        events.push(event(Some(&message.headers), &message.payload));
    }
    assert_eq!(events.len() as u64, state.messages);
    (config, events)
}

#[test]
fn jetstream_stores_every_confirmed_write_once_and_in_order_though_all_are_killed() {
    let mut server = NatsServer::start();
    let runtime = Runtime::new().unwrap();
    let config = stream::Config {
        name: "CHANGES".to_owned(),
        subjects: vec!["changes.>".to_owned()],
        storage: stream::StorageType::File,
        // Longer than the test: whatever is sent again is known.
        duplicate_window: Duration::from_secs(3600),
        ..stream::Config::default()
    };
    runtime.block_on(async {
        let context = jetstream::new(connect(&server.url(WATCHER)).await);
        context.create_stream(config).await.unwrap();
    });
    let sink = |path: &str| format!("nats={}/{path},body=on,batch=20,flush=10ms", server.url(GATEWAY));
    let mut cluster = cluster(&[sink("changes?stream=CHANGES"), sink("more?stream=MADE")]);
    let (writers, base) = (Writers::default(), cluster.client.base().to_owned());
    writers.during(&base, || {
        writers.go_on();
        server.kill();
        writers.go_on();
        server.start_again();
        writers.go_on();
        cluster.cluster.kill_gateway().unwrap();
        cluster.cluster.start_gateway().unwrap();
        writers.go_on();
        // Once more at another moment, and the server is there again before the gateway.
        server.kill();
        cluster.cluster.kill_gateway().unwrap();
        server.start_again();
        cluster.cluster.start_gateway().unwrap();
        writers.go_on();
    });
    wait_for_sinks(&cluster, "idle");
    runtime.block_on(async {
        let context = jetstream::new(connect(&server.url(WATCHER)).await);
        let (_, events) = stored(&context, "CHANGES").await;
        writers.check(&events);
        let ids = events.iter().map(|event| event["eventId"].to_string()).collect::<BTreeSet<_>>();
        assert_eq!(ids.len(), events.len(), "the server knows what it has already");
        // The stream that was missing was made. Its window is the server's own, so it may have something twice.
        let (config, events) = stored(&context, "MADE").await;
        writers.check(&events);
        assert_eq!((config.storage, config.subjects), (stream::StorageType::File, vec!["more.>".to_owned()]));
    });
}
