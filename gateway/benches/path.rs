//! The request path piece by piece, without sockets: reads a request and an answer, plans, reads a search, splits a
//! write of 10 MB.

use std::fmt::Write as _;
use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use gateway::{
    api::{
        documents::payload::{self, ParseOptions, PayloadFormat},
        search::request::SearchRequest,
    },
    wire::h1::{HeadLimits, read_answer, read_request},
};
use router::{Node, Topology, covering_set, shard_of};

const LIMITS: HeadLimits =
    HeadLimits { start_line_bytes_max: 16 << 10, head_bytes_max: 32 << 10, fields_max: 96 };
const SEARCH: &str = r#"{"q":"quick fox","limit":20,"sort":["price:asc"],"filter":"kind = animal"}"#;
const SHARDS: u32 = 64;
const BODY_BYTES_MAX: usize = 100 << 20;

fn topology(nodes: usize, copies: u16) -> Topology {
    let node = |number: usize| Node {
        id: format!("n{number}"),
        url: format!("http://127.0.0.1:{}", 7700 + number),
        group: 0,
        capacity: 1.0,
    };
    let topology = Topology::new((0..nodes).map(node).collect(), copies).expect("a sound topology");
    topology.with_placement_for(SHARDS)
}

fn documents(bytes: usize) -> String {
    let mut lines = String::with_capacity(bytes + 1024);
    let text = "a brown dog ".repeat(60);
    for id in 0.. {
        if lines.len() >= bytes {
            break;
        }
        writeln!(lines, r#"{{"id":{id},"title":"The quick fox","text":"{text}","price":{}}}"#, id % 100)
            .expect("writing to a string cannot fail");
    }
    lines
}

fn messages(criterion: &mut Criterion) {
    let request = format!(
        "POST /indexes/movies/search HTTP/1.1\r\nhost: search.example\r\nuser-agent: bench\r\naccept: */*\r\nauthorization: \
         Bearer 0123456789abcdef\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{SEARCH}",
        SEARCH.len()
    );
    let body = "x".repeat(15_000);
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nvary: Origin\r\ndate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    criterion.bench_function("h1/request", |bencher| {
        bencher.iter(|| read_request(black_box(request.as_bytes()), &LIMITS, BODY_BYTES_MAX));
    });
    criterion.bench_function("h1/answer of 15 KB", |bencher| {
        bencher.iter(|| read_answer(black_box(answer.as_bytes()), BODY_BYTES_MAX));
    });
    criterion.bench_function("search/read", |bencher| {
        bencher.iter(|| SearchRequest::parse(black_box(SEARCH.as_bytes())).is_ok());
    });
}

fn plans(criterion: &mut Criterion) {
    for (nodes, copies) in [(3, 1), (3, 2), (12, 2), (48, 3)] {
        let topology = topology(nodes, copies);
        let placement = topology.placement(SHARDS).expect("placed");
        criterion.bench_function(&format!("plan/{nodes} nodes, {copies} copies"), |bencher| {
            bencher.iter(|| covering_set(placement, &topology, 0, None, |node| Some(f32::from(node.0 % 3))));
        });
    }
}

fn writes(criterion: &mut Criterion) {
    let payload = Bytes::from(documents(10 << 20));
    let topology = topology(3, 1);
    let placement = topology.placement(SHARDS).expect("placed");
    let mut group = criterion.benchmark_group("write of 10 MB");
    group.sample_size(20).throughput(Throughput::Bytes(payload.len() as u64));
    let options = ParseOptions { primary_key: Some("id"), expiry_allowed: false };
    group.bench_function("read and place", |bencher| {
        bencher.iter_batched(
            || payload.clone(),
            |payload| {
                let parsed =
                    payload::parse(payload, PayloadFormat::Ndjson, options).expect("sound documents");
                parsed.shards(SHARDS)
            },
            BatchSize::PerIteration,
        );
    });
    group.bench_function("read, place and split for 3 nodes", |bencher| {
        bencher.iter_batched(
            || payload.clone(),
            |payload| {
                let parsed =
                    payload::parse(payload, PayloadFormat::Ndjson, options).expect("sound documents");
                let shards = parsed.shards(SHARDS);
                let bodies = topology.every_node().into_iter();
                bodies
                    .map(|node| parsed.body(&shards, placement.shards_of(node), Some(7)))
                    .collect::<Vec<_>>()
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    criterion
        .bench_function("hash of a key", |bencher| bencher.iter(|| shard_of(black_box("tt0133093"), SHARDS)));
}

criterion_group!(benches, messages, plans, writes);
criterion_main!(benches);
