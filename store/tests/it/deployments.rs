//! Redis as it is deployed: behind TLS and a password, as a cluster, and behind Sentinel, which promotes a replica
//! during the test. All servers are started here, on free ports.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use store::{RedisOptions, Store, StoreError, TaskQuery, open_redis};
use tempfile::TempDir;

use crate::conformance::check_some;
use crate::redis::{Server, free_port};
use crate::support::{Subject, at, new_task, wait};

const READY_WITHIN: Duration = Duration::from_secs(20);
const SLOTS: u32 = 16_384;

/// Runs the cases of every backend on a server with this URL, which may have parameters already.
fn check(url: &str) {
    let stores = AtomicU32::new(0);
    check_some(|| {
        let separator = if url.contains('?') { '&' } else { '?' };
        let number = stores.fetch_add(1, Ordering::Relaxed);
        let url = format!("{url}{separator}miroir_prefix=test-{number}");
        Subject::new(move |clock| {
            let options = RedisOptions { url: url.clone(), clock: Some(clock) };
            open_redis(options).unwrap_or_else(|error| panic!("{error}"))
        })
    });
}

fn refusal(url: &str) -> String {
    let error = open_redis(RedisOptions { url: url.to_owned(), clock: None }).err().unwrap().to_string();
    assert!(!error.contains('\n') && !error.contains("sesame"), "{error}");
    error
}

/// Sends a command to the server on a port, and returns the first line of its answer.
fn ask(port: u16, command: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(READY_WITHIN)).unwrap();
    stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Repeats a command until the whole answer of redis-cli contains `part`.
fn until(port: u16, command: &[&str], part: &str) {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        let asked = Command::new("redis-cli").args(["-p", &port.to_string()]).args(command).output().unwrap();
        let answer = String::from_utf8_lossy(&asked.stdout).into_owned();
        if answer.contains(part) {
            return;
        }
        assert!(Instant::now() < deadline, "{command:?}: {answer}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_redis_behind_tls_and_a_password_is_a_store() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(path("cert"), signed.cert.pem()).unwrap();
    fs::write(path("key"), signed.signing_key.serialize_pem()).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    fs::write(path("other"), other.cert.pem()).unwrap();
    let (port, cert, key) = (free_port().to_string(), path("cert"), path("key"));
    let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &cert];
    let options = ["--requirepass", "sesame", "--tls-port", &port, "--tls-auth-clients", "no"];
    let _server = Server::start(&[&options[..], &files].concat());
    let url =
        |password: &str, ca: &str| format!("rediss://:{password}@127.0.0.1:{port}?miroir_ca={}", path(ca));
    check(&url("sesame", "cert"));
    let wrong = refusal(&url("sesamee", "cert"));
    assert!(wrong.contains("WRONGPASS"), "{wrong}");
    let stranger = refusal(&url("sesame", "other"));
    assert!(stranger.contains("Certificate"), "{stranger}");
    let missing = refusal(&url("sesame", "nothing"));
    assert!(missing.contains("miroir_ca="), "{missing}");
}

#[test]
fn a_redis_cluster_is_a_store() {
    let servers: Vec<Server> = (0..3)
        .map(|_| {
            let bus = free_port().to_string();
            Server::start(&[
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                &bus,
                "--cluster-node-timeout",
                "2000",
            ])
        })
        .collect();
    let share = SLOTS / 3 + 1;
    for (number, server) in (0..).zip(&servers) {
        let last = (share * (number + 1)).min(SLOTS) - 1;
        assert_eq!(ask(server.port(), &format!("CLUSTER ADDSLOTSRANGE {} {last}", share * number)), "+OK");
        let bus = ask_cli(servers[0].port(), &["CONFIG", "GET", "cluster-port"]);
        let bus = bus.lines().last().unwrap();
        assert_eq!(ask(server.port(), &format!("CLUSTER MEET 127.0.0.1 {} {bus}", servers[0].port())), "+OK");
    }
    for server in &servers {
        until(server.port(), &["CLUSTER", "INFO"], "cluster_state:ok");
        until(server.port(), &["CLUSTER", "INFO"], "cluster_known_nodes:3");
    }
    check(&format!("redis-cluster://127.0.0.1:{}", servers[1].port()));
}

fn ask_cli(port: u16, command: &[&str]) -> String {
    let asked = Command::new("redis-cli").args(["-p", &port.to_string()]).args(command).output().unwrap();
    String::from_utf8(asked.stdout).unwrap()
}

/// A master with a replica, and one Sentinel that watches both.
struct Watched {
    servers: [Server; 2],
    sentinel: Server,
    _directory: TempDir,
}

impl Watched {
    fn start() -> Watched {
        let password =
            ["--requirepass", "sesame", "--masterauth", "sesame", "--repl-diskless-sync-delay", "0"];
        let master = Server::start(&password);
        let of = ["--replicaof", "127.0.0.1", &master.port().to_string()];
        let replica = Server::start(&[&password[..], &of].concat());
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("sentinel.conf");
        let port = master.port();
        fs::write(
            &file,
            format!(
                "sentinel monitor miroir 127.0.0.1 {port} 1\nsentinel auth-pass miroir sesame\n\
                 sentinel down-after-milliseconds miroir 500\nsentinel failover-timeout miroir 2000\n"
            ),
        )
        .unwrap();
        until(replica.port(), &["-a", "sesame", "INFO", "replication"], "master_link_status:up");
        let sentinel = Server::start_sentinel(&file);
        until(sentinel.port(), &["SENTINEL", "MASTER", "miroir"], "num-slaves\n1");
        Watched { servers: [master, replica], sentinel, _directory: directory }
    }

    fn url(&self) -> String {
        format!(
            "redis-sentinel://:sesame@127.0.0.1:{}?sentinelServiceName=miroir&miroir_replicas=1",
            self.sentinel.port()
        )
    }
}

/// Creates tasks until `stop`. Returns the acknowledged ones, and how many of them came after the first failure.
fn write_until(store: &Store, stop: impl Fn(usize) -> bool) -> (Vec<u32>, usize) {
    let deadline = Instant::now() + 2 * READY_WITHIN;
    let (mut told, mut since, mut refused) = (Vec::new(), 0, 0);
    while !stop(since) {
        assert!(Instant::now() < deadline, "{} acknowledged, {refused} refused", told.len());
        match wait(store.create_task(new_task("films", at(0)))) {
            Ok(task) => {
                told.push(task.uid);
                since += usize::from(refused > 0);
            }
            Err(StoreError::Unreachable(_)) => {
                refused += 1;
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => panic!("{error}"),
        }
    }
    (told, since)
}

#[test]
fn a_sentinel_makes_a_replica_the_master_and_nothing_acknowledged_is_lost() {
    let watched = Watched::start();
    check(&watched.url());
    let pod = || open_redis(RedisOptions { url: watched.url(), clock: None }).unwrap();
    let ((one, _one), (other, _other)) = (pod(), pod());
    let [master, _replica] = &watched.servers;
    let all = thread::scope(|scope| {
        // Stops after enough tasks were acknowledged by the new master.
        let writers = [&one, &other].map(|store| scope.spawn(|| write_until(store, |since| since >= 50)));
        thread::sleep(Duration::from_millis(300));
        master.signal("-KILL");
        // A master without its replica acknowledges nothing, so the killed server has to come back as the replica.
        until(
            watched.sentinel.port(),
            &["SENTINEL", "MASTER", "miroir"],
            &watched.servers[1].port().to_string(),
        );
        let back = Server::start_on(
            master.port(),
            &[
                "--requirepass",
                "sesame",
                "--masterauth",
                "sesame",
                "--repl-diskless-sync-delay",
                "0",
                "--replicaof",
                "127.0.0.1",
                &watched.servers[1].port().to_string(),
            ],
        );
        let told: Vec<u32> = writers.into_iter().flat_map(|writer| writer.join().unwrap().0).collect();
        drop(back);
        told
    });
    let (third, _third) = open_redis(RedisOptions { url: watched.url(), clock: None }).unwrap();
    for store in [&one, &other, &third] {
        let everything = TaskQuery { limit: u32::MAX, ..TaskQuery::default() };
        let known: Vec<u32> =
            wait(store.tasks(everything)).unwrap().tasks.iter().map(|task| task.uid).collect();
        let lost: Vec<&u32> = all.iter().filter(|uid| !known.contains(uid)).collect();
        assert!(lost.is_empty(), "{} of {} are lost", lost.len(), all.len());
    }
    let mut once = all.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), all.len(), "a uid is given once");
}
