//! Merges answers of realistic size and counts allocations: 20 and 1000 hits from 3 legs, a single leg, and facets.
//!
//! Hits are about 1.1 KB: a marker, a title, an overview, tags, a date, and seven ranking rules.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use merge::{FacetRules, Paging, SearchSpec};

const LEGS: usize = 3;

/// The hit at `rank` of the merged order, which leg `rank % LEGS` has.
fn hit(rank: usize) -> String {
    let overview = "A quiet engineer finds an old machine under the town and learns what it was built for. ";
    // Proximity falls every 60 ranks and exactness decides within; many hits tie.
    let proximity = 1.0 - (rank / 60) as f64 * 0.01;
    let words = 3 - (rank % 60) / 20;
    format!(
        concat!(
            r#"{{"id":{},"_miroir_shard":":.:.:.::","title":"The machine under the town {}","overview":"{}","#,
            r#""genres":["Drama","Mystery"],"poster":"https://images.example/{}.jpg","release_date":875000000,"#,
            r#""_rankingScoreDetails":{{"words":{{"order":0,"matchingWords":3,"maxMatchingWords":3,"score":1.0}},"#,
            r#""typo":{{"order":1,"typoCount":0,"maxTypoCount":5,"score":1.0}},"#,
            r#""proximity":{{"order":2,"score":{}}},"#,
            r#""attributeRank":{{"order":3,"score":1.0}},"#,
            r#""price:asc":{{"order":4,"value":19.5}},"#,
            r#""wordPosition":{{"order":5,"score":0.9523809523809523}},"#,
            r#""exactness":{{"order":6,"matchType":"noExactMatch","matchingWords":{},"maxMatchingWords":3,"score":0.3}},"#,
            r#""id:asc":{{"order":7,"value":{}.0}}}}}}"#,
        ),
        rank,
        rank,
        overview.repeat(4),
        rank,
        proximity,
        words,
        rank
    )
}

fn legs(hits: usize, facets: bool) -> Vec<Vec<u8>> {
    let leg = |leg: usize| {
        let hits = (0..hits).map(|position| hit(position * LEGS + leg)).collect::<Vec<_>>().join(",");
        let mut answer = format!(
            r#"{{"hits":[{hits}],"query":"machine","processingTimeMs":1,"limit":20,"offset":0,"estimatedTotalHits":4000"#
        );
        if facets {
            let values = |name: &str| {
                (0..100)
                    .map(|value| format!(r#""{name} {value:03}":{}"#, value + 1))
                    .collect::<Vec<_>>()
                    .join(",")
            };
            let (genres, years) = (values("genre"), values("Year"));
            write!(
                answer,
                r#","facetDistribution":{{"genres":{{{genres}}},"years":{{{years}}}}},"facetStats":{{}}"#
            )
            .expect("writing to a string cannot fail");
        }
        answer.push('}');
        answer.into_bytes()
    };
    (0..LEGS).map(leg).collect()
}

fn merging(criterion: &mut Criterion) {
    let rules = FacetRules { values_max: 100, ..FacetRules::default() };
    let mut bench = |name: &str, hits: usize, limit: usize, leg_count: usize, facets: bool| {
        let legs = legs(hits, facets);
        let legs = legs.iter().take(leg_count).map(Vec::as_slice).collect::<Vec<_>>();
        let spec = SearchSpec {
            facets: facets.then_some(&rules),
            tie_break: Some("id:asc"),
            ..SearchSpec::plain(Paging::Offset { offset: 0, limit }, hits)
        };
        let mut out = Vec::with_capacity(4 << 20);
        let allocated = allocation_counter::measure(|| {
            merge::search(black_box(&legs), &spec, &mut out).expect("the legs are sound");
        });
        eprintln!("{name}: {} allocations, {} bytes", allocated.count_total, allocated.bytes_total);
        let mut group = criterion.benchmark_group("search");
        group.throughput(Throughput::Bytes(legs.iter().map(|leg| leg.len() as u64).sum()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                let merged = merge::search(black_box(&legs), &spec, &mut out).expect("the legs are sound");
                assert_eq!(merged.hits, limit);
            });
        });
    };
    bench("3 x 20 to 20", 20, 20, 3, false);
    bench("3 x 1000 to 20", 1000, 20, 3, false);
    bench("3 x 1000 to 1000", 1000, 1000, 3, false);
    bench("1 x 20 to 20", 20, 20, 1, false);
    bench("3 x 20 to 20, 2 facets of 100 values", 20, 20, 3, true);
}

/// The time to validate the legs and find their hits, without reading the hits. A merge of the same legs minus this,
/// and minus copying its page, is the cost of reading the details.
fn checking(criterion: &mut Criterion) {
    let legs = legs(20, false);
    criterion.benchmark_group("check").bench_function("3 x 20", |bencher| {
        bencher.iter(|| legs.iter().map(|leg| hits_of(black_box(leg))).sum::<usize>());
    });
}

fn hits_of(leg: &[u8]) -> usize {
    let mut hits = 0;
    for member in sonic_rs::to_object_iter(leg) {
        let (name, value) = member.expect("the legs are sound");
        if name == "hits" {
            hits += value.into_array_iter().expect("hits are an array").map(black_box).count();
        }
    }
    hits
}

criterion_group!(benches, merging, checking);
criterion_main!(benches);
