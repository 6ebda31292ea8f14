//! Tests the whole way from arguments, environment and file to a configuration or one line of error.

use std::fs;
use std::time::Duration;

use super::{Config, Parsed, RuntimeChoice, SessionMode, StoreConfig, UnavailableShardPolicy, parse};

const NODE: &str = "n1=http://10.0.0.1:7700";

fn config(args: &[&str]) -> Config {
    match parse(args, |_| None) {
        Ok(Parsed::Run(config)) => *config,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn printed(args: &[&str]) -> String {
    match parse(args, |_| None) {
        Ok(Parsed::Print(text)) => text,
        other => panic!("{args:?}: {other:?}"),
    }
}

fn error(args: &[&str]) -> String {
    match parse(args, |_| None) {
        Err(error) => error.to_string(),
        other => panic!("{args:?}: {other:?}"),
    }
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn one_node_is_all_that_must_be_said() {
    let config = config(&["--node", NODE]);
    assert_eq!(config.listen.to_string(), "127.0.0.1:7700");
    assert_eq!(config.metrics_listen.unwrap().to_string(), "127.0.0.1:9090");
    assert!(config.cores >= 1);
    assert_eq!(config.runtime, RuntimeChoice::Auto);
    assert_eq!((config.shards, config.replication_factor), (64, 1));
    assert_eq!(config.store, StoreConfig::Sled { path: "./miroir-data".into() });
    assert_eq!((&config.master_key, &config.node_master_key, &config.admin_key), (&None, &None, &None));
    assert_eq!(config.unavailable_shard_policy, UnavailableShardPolicy::Partial);
    assert_eq!(config.edge.body_bytes_max, 100_000_000);
    assert_eq!(config.request_timeout, Duration::from_secs(60));
    assert_eq!(config.node_timeout, Duration::from_secs(30));
    assert_eq!(config.edge.in_flight_max, 1024);
    assert!(
        config.hedging && config.adaptive_selection && config.query_coalescing && config.shard_aware_planning
    );
    assert_eq!(config.session_mode, SessionMode::Block);
    assert!(!config.test_faults);
    let node = &config.nodes[0];
    assert_eq!((node.id.as_str(), node.url.to_string().as_str()), ("n1", "http://10.0.0.1:7700"));
    assert_eq!((node.group, node.capacity), (0, 1.0));
}

#[test]
fn every_flag_is_heard() {
    let args = "--listen 0.0.0.0:80 --metrics-listen off --cores 3 --runtime glommio --shards 128 \
        --node a=http://one,group=1,capacity=2.5 --node=b.c_D-1=http://[::1]:7701/,group=1 --replication-factor 2 \
        --store sled:/var/lib/miroir --master-key mk --node-master-key nk --admin-key ak \
        --unavailable-shard-policy error --body-limit 64MiB --request-timeout=20s --node-timeout 1500ms \
        --in-flight-max 7 --test-faults --hedging off --adaptive-selection off --query-coalescing off --shard-aware-planning off --session-mode route_pin";
    let config = config(&args.split_whitespace().collect::<Vec<_>>());
    assert_eq!(config.listen.to_string(), "0.0.0.0:80");
    assert_eq!((config.metrics_listen, config.cores, config.runtime), (None, 3, RuntimeChoice::Glommio));
    let urls: Vec<String> = config.nodes.iter().map(|node| node.url.to_string()).collect();
    assert_eq!(urls, ["http://one:80", "http://[::1]:7701"]);
    assert_eq!(config.nodes[1].url.host, "::1");
    assert_eq!((config.nodes[0].group, config.nodes[0].capacity), (1, 2.5));
    assert_eq!(config.nodes[1].id, "b.c_D-1");
    assert_eq!((config.shards, config.replication_factor), (128, 2));
    assert_eq!(config.store, StoreConfig::Sled { path: "/var/lib/miroir".into() });
    let keys = [&config.master_key, &config.node_master_key, &config.admin_key];
    assert_eq!(keys.map(|key| key.as_ref().unwrap().expose()), ["mk", "nk", "ak"]);
    assert_eq!(config.unavailable_shard_policy, UnavailableShardPolicy::Error);
    assert_eq!(config.edge.body_bytes_max, 64 << 20);
    assert_eq!(config.request_timeout, Duration::from_secs(20));
    assert_eq!(config.node_timeout, Duration::from_millis(1500));
    assert_eq!((config.edge.in_flight_max, config.test_faults), (7, true));
    assert_eq!((config.hedging, config.adaptive_selection, config.query_coalescing), (false, false, false));
    assert!(!config.shard_aware_planning);
    assert_eq!(config.session_mode, SessionMode::RoutePin);
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let file = file(
        "shards = 8\ncores = 2\nbody-limit = \"1MB\"\nmaster-key = \"file\"\nadmin-key = \"file\"\n\
         node-master-key = \"file\"\nnode = [\"f1=http://f1\", \"f2=http://f2:1\"]\n",
    );
    let path = file.path().to_str().unwrap();
    let environment = |name: &str| match name {
        "MIROIR_MASTER_KEY" | "MIROIR_NODE_MASTER_KEY" => Some("environment".to_owned()),
        "MIROIR_ADMIN_API_KEY" => Some(String::new()),
        "MIROIR_SHARDS" => Some("9".to_owned()),
        "MIROIR_STORE" => Some("redis://:hush@h:6379".to_owned()),
        _ => None,
    };
    let args = ["--config", path, "--cores", "4", "--master-key", "flag"];
    let Ok(Parsed::Run(config)) = parse(&args, environment) else { panic!("not accepted") };
    assert_eq!((config.cores, config.shards, config.edge.body_bytes_max), (4, 8, 1_000_000));
    assert_eq!(config.edge.in_flight_max, 1024);
    let keys = [&config.master_key, &config.node_master_key, &config.admin_key];
    assert_eq!(keys.map(|key| key.as_ref().unwrap().expose()), ["flag", "environment", "file"]);
    assert_eq!(config.nodes.len(), 2);
    assert!(matches!(&config.store, StoreConfig::Redis { url } if url.expose() == "redis://:hush@h:6379"));
    let args = ["--config", path, "--node", NODE];
    let Ok(Parsed::Run(config)) = parse(&args, environment) else { panic!("not accepted") };
    assert_eq!(config.nodes.len(), 1, "flags replace the file's nodes, they do not add to them");
}

#[test]
fn the_printed_configuration_reads_back_and_shows_no_key() {
    let args = ["--node", NODE, "--node", "n2=http://h,group=3,capacity=0.5", "--node-timeout", "250ms"];
    let tenants = ["--tenant-affinity", "header", "--tenant-dedicated-groups", "3"];
    let args = [&args[..], &tenants, &["--shadow", "name=s,url=http://h,sample=0.5"]].concat();
    let text = printed(&[&args[..], &["--metrics-listen", "off", "--print-config"]].concat());
    let file = file(&text);
    let again = config(&["--config", file.path().to_str().unwrap()]);
    // Where the values come from does not count.
    assert_eq!(again, config(&[&args[..], &["--metrics-listen", "off"]].concat()));
    assert!(text.contains("node = [\"n1=http://10.0.0.1:7700,group=0,capacity=1\""), "{text}");
    assert!(!text.contains("key"), "{text}");
    let keys =
        ["--node", NODE, "--master-key", "hush1", "--node-master-key", "hush2", "--admin-key", "hush3"];
    let text = printed(&[&keys[..], &["--print-config"]].concat());
    for line in ["master-key = \"(set)\"\n", "node-master-key = \"(set)\"\n", "admin-key = \"(set)\"\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(!text.contains("hush"), "{text}");
    assert!(!format!("{:?}", config(&keys)).contains("hush"));
}

#[test]
fn help_and_version_are_printed_whatever_else_is_missing() {
    assert_eq!(printed(&["--version"]), format!("miroir {}\n", env!("CARGO_PKG_VERSION")));
    let help = printed(&["--help"]);
    for flag in ["--listen", "--replication-factor", "--unavailable-shard-policy", "--print-config"] {
        assert!(help.contains(flag), "{help}");
    }
    assert!(!help.contains("test-faults"), "{help}");
}

#[test]
#[allow(clippy::too_many_lines, reason = "one line a case")]
fn bad_input_is_one_line_with_option_value_and_what_is_allowed() {
    const URL: &str = "a node's URL is http[s]://HOST[:PORT]";
    const SHARDS: &str = "give a whole number from 1 to 65536";
    const BYTES: &str = "give 1024 to 4294967296 bytes, for example 100MB or 64MiB";
    const TIME: &str = "give a time from 10ms to 60m, for example 500ms or 30s";
    const NODE_FORM: &str = "give ID=URL[,group=N][,capacity=W], for example n1=http://10.0.0.1:7700";
    const NODE_ID: &str = "a node's ID has 1 to 64 of the characters A-Z a-z 0-9 _ . -";
    const COLLECTOR: &str =
        "give http[s]://HOST:PORT without a user, for example http://127.0.0.1:4318, or off";
    const ADDRESS: &str = "give IP:PORT, for example 127.0.0.1:7700";
    let long_id = format!("{}=http://h", "x".repeat(65));
    let cases: &[(&str, &str, &str)] = &[
        ("listen", "localhost", ADDRESS),
        ("listen", "127.0.0.1:70000", ADDRESS),
        ("listen", "off", ADDRESS),
        ("metrics-listen", "9090", "give IP:PORT, for example 127.0.0.1:9090, or off"),
        ("cores", "0", "give a whole number from 1 to 1024"),
        ("cores", "two", "give a whole number from 1 to 1024"),
        ("runtime", "tokio", "give one of auto, monoio, glommio"),
        ("shards", "0", SHARDS),
        ("shards", "65537", SHARDS),
        ("shards", "-1", SHARDS),
        ("shards", "", SHARDS),
        ("replication-factor", "0", "give a whole number from 1 to 4096"),
        ("store", "sled:", "give sled:PATH, for example sled:./miroir-data, or redis://HOST:PORT"),
        ("store", "./data", "give sled:PATH, for example sled:./miroir-data, or redis://HOST:PORT"),
        ("unavailable-shard-policy", "ignore", "give one of partial, error"),
        ("body-limit", "12", BYTES),
        ("body-limit", "100 TB", BYTES),
        ("body-limit", "18446744073709551615GB", BYTES),
        ("body-limit", "5GiB", BYTES),
        ("body-limit", "MB", BYTES),
        ("request-timeout", "60", TIME),
        ("request-timeout", "9ms", TIME),
        ("request-timeout", "61m", TIME),
        ("node-timeout", "1h", TIME),
        ("node-timeout", "61s", "give at most the request-timeout, 60s"),
        ("in-flight-max", "0", "give a whole number from 1 to 65536"),
        ("slow-query-log", "on", "give a time from 10ms to 60m, for example 500ms or 30s, or off"),
        ("otlp-endpoint", "127.0.0.1:4318", COLLECTOR),
        ("otlp-endpoint", "http://user:word@h", COLLECTOR),
        ("otlp-endpoint", "http:///v1", COLLECTOR),
        ("trace-sample", "1.5", "give a number from 0 to 1"),
        ("backup-interval", "1d", "give a time from 100ms to 720h, for example 300s or 6h, or off"),
        ("backup-keep", "0", "give a whole number from 1 to 500"),
        ("import-dump", "/", "give a file"),
        ("node", "http://10.0.0.1", NODE_FORM),
        ("node", "", NODE_FORM),
        ("node", "=http://h", NODE_ID),
        ("node", "a b=http://h", NODE_ID),
        ("node", &long_id, NODE_ID),
        ("node", "n2=10.0.0.1:7700", URL),
        ("node", "n2=h", URL),
        ("node", "n2=", URL),
        ("node", "n2=ftp://h", URL),
        ("node", "n2=http://", URL),
        ("node", "n2=http://:80", URL),
        ("node", "n2=http://[::zz]:80", URL),
        ("node", "n2=ftp://h", "a node's URL is http[s]://HOST[:PORT]"),
        ("node", "n2=http://h/indexes", "a node's URL is http[s]://HOST[:PORT] without a path"),
        ("node", "n2=http://h?a", "a node's URL is http[s]://HOST[:PORT] without a path"),
        ("node", "n2=http://h#a", "a node's URL is http[s]://HOST[:PORT] without a path"),
        ("node", "n2=http://h:0", "a node's URL is http[s]://HOST[:PORT], the port from 1 to 65535"),
        ("node", "n2=http://h:65536", "a node's URL is http[s]://HOST[:PORT], the port from 1 to 65535"),
        ("node", "n2=http://h,group=64", "for group give a whole number from 0 to 63"),
        ("node", "n2=http://h,group", "for group give a whole number from 0 to 63"),
        ("node", "n2=http://h,group=1,group=1", "give group once"),
        ("node", "n2=http://h,capacity=0", "for capacity give a number from 0.001 to 1000"),
        ("node", "n2=http://h,capacity=NaN", "for capacity give a number from 0.001 to 1000"),
        ("node", "n2=http://h,zone=3", "after the URL only group=N and capacity=W may follow"),
        ("node", "n1=http://h", "another node already has the ID n1"),
        ("node", "n2=http://10.0.0.1:7700/", "another node already has the URL http://10.0.0.1:7700"),
    ];
    for (option, value, allowed) in cases {
        let expected = format!("option {option}: {value:?} is not allowed; {allowed}");
        assert_eq!(error(&["--node", NODE, &format!("--{option}"), value]), expected);
    }
}

#[test]
fn groups_are_dedicated_only_where_reads_have_tenants() {
    for (option, value, allowed) in [
        ("tenant-affinity", "cookie", "give one of off, header, api-key, explicit"),
        ("tenant-fallback", "any", "give one of hash, random, reject"),
        ("tenant-dedicated-groups", "x", "give numbers of groups from 0 to 63 with commas, for example 2,3"),
        ("tenant-dedicated-groups", "64", "give numbers of groups from 0 to 63 with commas, for example 2,3"),
    ] {
        let expected = format!("option {option}: {value:?} is not allowed; {allowed}");
        assert_eq!(error(&["--node", NODE, &format!("--{option}"), value]), expected);
    }
    let args = ["--node", "a=http://a", "--node", "b=http://b,group=1", "--tenant-dedicated-groups", "1,1"];
    let line = error(&args);
    assert!(line.contains("tenant-dedicated-groups") && line.contains("--tenant-affinity"), "{line}");
    let config = config(&[&args[..], &["--tenant-affinity", "explicit"]].concat());
    assert_eq!(config.tenants.dedicated_groups, [1]);
    assert_eq!(config.tenants.fallback, crate::config::TenantFallback::Hash);
}

#[test]
fn groups_are_large_enough_for_their_copies() {
    let args = ["--node", "a=http://a", "--node", "b=http://b", "--node", "c=http://c,group=2"];
    assert_eq!(
        error(&[&args[..], &["--replication-factor", "2"]].concat()),
        "option replication-factor: 2 is not allowed; group 2 has 1 of the nodes, so give at most 1"
    );
    let args = [&args[..], &["--node", "d=http://d,group=2", "--replication-factor", "2"]].concat();
    assert_eq!(config(&args).nodes.len(), 4);
}

#[test]
fn a_cluster_has_so_many_nodes_at_most() {
    assert!(config(&[]).nodes.is_empty(), "the store may know them");
    let many: Vec<String> = (0..4097).map(|number| format!("--node=n{number}=http://h{number}")).collect();
    let line = error(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(line.starts_with("option node: 4097 is not allowed; give at most 4096 nodes"), "{line}");
}

#[test]
fn peers_are_found_by_a_service_of_dns() {
    let service = |text: &str| config(&["--node", NODE, "--peer-service", text]).peer_service.unwrap();
    let named = service("_miroir._tcp.pods.example.");
    assert_eq!((named.name.as_str(), named.server), ("_miroir._tcp.pods.example", None));
    let named = service("pods.example@10.0.0.53:5353");
    assert_eq!(named.server, Some("10.0.0.53:5353".parse().unwrap()));
    for wrong in
        ["pods", "", "a..b", "a b.c", "pods.example@host:53", "pods.example@10.0.0.53", &"a.".repeat(200)]
    {
        let line = error(&["--node", NODE, "--peer-service", wrong]);
        assert!(line.contains("give the name of a DNS SRV record"), "{line}");
    }
}

#[test]
fn errors_show_no_secret() {
    let refused = "option store: \"redis://...\" is not allowed; give sled:PATH, for example sled:./miroir-data, \
        or redis://HOST:PORT";
    assert_eq!(error(&["--node", NODE, "--store", "redis://"]), refused);
    let url = "redis://:hush@10.0.0.1:6379/0";
    let config = config(&["--node", NODE, "--store", url]);
    assert_eq!(config.store, StoreConfig::Redis { url: super::value::secret(url).unwrap() });
    assert!(!format!("{config:?}").contains("hush"));
    assert_eq!(
        error(&["--node", NODE, "--peer", "pod-2"]),
        "option peer: \"pod-2\" is not allowed; more than one pod needs --store redis://HOST:PORT"
    );
    assert_eq!(
        error(&["--node", "n2=http://me:hush@h"]),
        "option node: \"n2=http://...@h\" is not allowed; a node's URL is http[s]://HOST[:PORT] without a user"
    );
    for key in ["hush hush", "", "hush\u{e9}"] {
        let expected = "option master-key: this key is not allowed; give at least one character, all of them \
            visible ASCII without spaces";
        assert_eq!(error(&["--node", NODE, "--master-key", key]), expected);
    }
    assert_eq!(
        error(&["--node", NODE, "--admin-key", "(set)"]),
        "option admin-key: this key is not allowed; (set) only stands for a key in printed configurations"
    );
    assert_eq!(
        error(&["--master-key", "hush", "--master-key", "hush"]),
        "option master-key is given twice; --help lists the options"
    );
}

#[test]
fn misuse_of_flags_is_one_line() {
    let cases: &[(&[&str], &str)] = &[
        (&["--bogus"], "Unrecognized argument: --bogus; --help lists the options"),
        (&["--shard", "1"], "Unrecognized argument: --shard; --help lists the options"),
        (&["start"], "Unrecognized argument: start; --help lists the options"),
        (&["--listen"], "No value provided for option '--listen'; --help lists the options"),
        (&["--shards", "1", "--shards=2"], "option shards is given twice; --help lists the options"),
    ];
    for (args, expected) in cases {
        assert_eq!(error(args), *expected);
    }
}

#[test]
fn a_bad_file_is_one_line_with_path_and_place() {
    let cases = [
        (
            "shards = 1\nshard = 2\n",
            "line 2: unknown field `shard`, expected one of `listen`, `metrics-listen`",
        ),
        ("config = \"other.toml\"\n", "line 1: unknown field `config`, expected one of"),
        ("test-faults = true\n", "line 1: unknown field `test-faults`, expected one of"),
        ("\ncores = true\n", "line 2: key cores: expected a text or a number"),
        (
            "node = \"n1=http://h\"\n",
            "line 1: key node: invalid type: string \"n1=http://h\", expected a sequence",
        ),
        ("shards = \n", "line 1: "),
        ("shards = 1\nshards = 2\n", "line 2: duplicate key"),
    ];
    for (text, reason) in cases {
        let file = file(text);
        let path = file.path().to_str().unwrap();
        let line = error(&["--node", NODE, "--config", path]);
        assert!(line.starts_with(&format!("config file {path}: {reason}")), "{line}");
        assert!(!line.contains('\n'), "{line}");
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("none.toml");
    let path = path.to_str().unwrap();
    let line = error(&["--node", NODE, "--config", path]);
    assert_eq!(line, format!("config file {path}: No such file or directory (os error 2)"));
}

#[test]
fn values_from_a_file_are_checked_as_flags_are() {
    let file = file("shards = 0\nnode = [\"n1=http://h\"]\n");
    let line = error(&["--config", file.path().to_str().unwrap()]);
    assert!(
        line.ends_with("line 1: option shards: \"0\" is not allowed; give a whole number from 1 to 65536"),
        "{line}"
    );
}

#[test]
fn the_shipped_example_is_a_configuration() {
    let path = format!("{}/../deploy/systemd/miroir.toml", env!("CARGO_MANIFEST_DIR"));
    let Ok(Parsed::Run(config)) =
        parse(&["--config", &path], |name| name.ends_with("KEY").then(|| "a-key-that-is-long".to_owned()))
    else {
        panic!("{path} is refused");
    };
    assert_eq!(config.nodes.len(), 3);
}

#[test]
fn production_needs_a_long_master_key() {
    let check = |key: &str, expected: Option<&str>| {
        let key = if key.is_empty() { vec![] } else { vec!["--master-key", key] };
        let args = [vec!["--node", NODE, "--env", "production"], key].concat();
        match expected {
            Some(reason) => assert_eq!(error(&args), reason),
            None => assert!(config(&args).master_key.is_some()),
        }
    };
    check("", Some("option master-key: none is not allowed; in production give at least 16 bytes"));
    check("hush", Some("option master-key: this key is not allowed; in production give at least 16 bytes"));
    check("sixteen-bytes-ok", None);
    assert!(config(&["--node", NODE, "--master-key", "hush"]).master_key.is_some());
    assert!(error(&["--node", NODE, "--env", "staging"]).contains("give one of development, production"));
}
