//! A gateway starts under whatever limit of locked memory a machine has: where the rings of its cores do not fit, it
//! runs on epoll. A child of the tests gives up the right to lock memory without limit before it becomes the gateway.

use std::{
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use rustix::{
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, remove_capability_from_bounding_set},
};

/// The limit in KiB, and the gateway's arguments, for the child.
const CHILD_LIMIT: &str = "MIROIR_TEST_MEMLOCK_KIB";
const CHILD_ARGUMENTS: &str = "MIROIR_TEST_ARGUMENTS";

/// The command that runs a gateway under a limit.
fn limited(kibibytes: u64, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "start_limits::a_low_limit_of_locked_memory_stops_no_start", "--nocapture"])
        .env(CHILD_LIMIT, kibibytes.to_string())
        .env(CHILD_ARGUMENTS, arguments.join(" "))
        .stderr(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

/// Turns the child into the gateway.
fn become_gateway(kibibytes: &str) -> ! {
    // A process that may not do this has no right to lock memory without limit either.
    let _ = remove_capability_from_bounding_set(CapabilitySet::IPC_LOCK);
    let bytes = Some(kibibytes.parse::<u64>().unwrap() << 10);
    setrlimit(Resource::Memlock, Rlimit { current: bytes, maximum: bytes }).unwrap();
    let arguments = std::env::var(CHILD_ARGUMENTS).unwrap();
    let error = Command::new(env!("CARGO_BIN_EXE_miroir")).args(arguments.split(' ')).exec();
    panic!("the gateway cannot be run: {error}");
}

/// Starts a gateway of two cores, and gives the driver that it reports.
fn driver_under(kibibytes: u64) -> String {
    let data = tempfile::Builder::new().tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = format!("--store=sled:{}", data.path().join("store").display());
    let common = ["--listen=127.0.0.1:0", "--metrics-listen=off", "--cores=2", "--node=a=http://127.0.0.1:1"];
    let mut child = limited(kibibytes, &[&common[..], &[&store]].concat()).spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut seen = Vec::new();
    for line in log {
        if let Some((_, rest)) = line.split_once(r#""driver":""#) {
            child.kill().unwrap();
            child.wait().unwrap();
            return rest.split('"').next().unwrap().to_owned();
        }
        seen.push(line);
    }
    panic!("no start under {kibibytes} KiB: {:?}, {seen:?}", child.wait());
}

#[test]
fn a_low_limit_of_locked_memory_stops_no_start() {
    if let Ok(kibibytes) = std::env::var(CHILD_LIMIT) {
        become_gateway(&kibibytes);
    }
    for kibibytes in [0, 4, 8, 64, 256, 640, 1024, 1536] {
        let driver = driver_under(kibibytes);
        // How much a ring takes is the kernel's affair; none fits into what is less than its entries.
        assert!(kibibytes > 256 || driver == "epoll", "{driver} under {kibibytes} KiB");
        let check = ["--check-config", "--cores=2", "--node=a=http://127.0.0.1:1"];
        let output = limited(kibibytes, &check).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("the configuration is sound"), "{said}");
        assert!(kibibytes > 256 || said.contains("epoll"), "{said}");
    }
    let output =
        limited(256, &["--check-config", "--runtime=glommio", "--node=a=http://127.0.0.1:1"]).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("--runtime glommio") && said.contains("--runtime monoio"), "{said}");
}
