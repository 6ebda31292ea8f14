//! Golden vectors of what stored documents contain: the hash and the encodings of reserved fields.
//!
//! Invariant: these values never change; a change loses documents of existing clusters.

use router::reserved::{encode_timestamp, is_reserved, parse_shard_marker, parse_timestamp, shard_marker};
use router::{SHARDS_MAX, ShardSet, shard_filter, shard_of};

#[test]
fn shard_of_is_stable_for_ever() {
    // The hashes are XXH3-64 with seed 0; the first is the published value for the empty input.
    let golden = [("", 0x2d06_8005_38d3_94c2)];
    for (key, hash) in golden {
        for shards in [1, 3, 64, 1000, SHARDS_MAX] {
            assert_eq!(u64::from(shard_of(key, shards)), hash % u64::from(shards), "{key:?} over {shards}");
        }
    }
}

#[test]
fn shards_are_evenly_filled() {
    let mut counts = [0_u32; 64];
    for key in 0..64_000 {
        counts[shard_of(&key.to_string(), 64) as usize] += 1;
    }
    // The expected count is 1000, the standard deviation 31; five deviations either way.
    assert!(counts.iter().all(|count| (845..=1155).contains(count)), "{counts:?}");
}

#[test]
fn shard_markers() {
    let golden: [(u32, &[u8; 8]); 6] = [
        (0, b",,,,,,,,"),
        (1, b",,,,,,,."),
        (2, b",,,,,,,:"),
        (3, b",,,,,,,;"),
        (64, b",,,,.,,,"),
        (65_535, b";;;;;;;;"),
    ];
    for (shard, marker) in golden {
        assert_eq!(&shard_marker(shard), marker);
    }
    let markers: Vec<[u8; 8]> = (0..SHARDS_MAX).map(shard_marker).collect();
    assert!(markers.is_sorted());
    assert!((0..SHARDS_MAX).all(|shard| parse_shard_marker(&markers[shard as usize]) == Some(shard)));
    for bad in [&b""[..], b",,,,,,,", b",,,,,,,,,", b",,,,,,,0", b"        "] {
        assert_eq!(parse_shard_marker(bad), None);
    }
}

#[test]
fn timestamps_keep_their_order() {
    assert_eq!(&encode_timestamp(0), b",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,");
    assert_eq!(&encode_timestamp(0b00_01_10_11), b",,,,,,,,,,,,,,,,,,,,,,,,,,,,,.:;");
    assert_eq!(&encode_timestamp(u64::MAX), b";;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;");
    let mut random = crate::random::Random::new(1);
    for _ in 0..10_000 {
        let (one, two) = (random.next() >> random.below(64), random.next() >> random.below(64));
        assert_eq!(encode_timestamp(one).cmp(&encode_timestamp(two)), one.cmp(&two));
        assert_eq!(parse_timestamp(&encode_timestamp(one)), Some(one));
    }
    assert_eq!(parse_timestamp(b",.:;"), None);
    assert_eq!(parse_timestamp(&[b'-'; 32]), None);
}

#[test]
fn reserved_names() {
    for (name, expected) in [
        ("_miroir_shard", true),
        ("_miroir_", true),
        ("_miroir", false),
        ("miroir_shard", false),
        ("_Miroir_shard", false),
        ("", false),
    ] {
        assert_eq!(is_reserved(name), expected, "{name}");
    }
}

#[test]
fn filters() {
    for (shards, expected) in [
        (vec![], "_miroir_shard IN []"),
        (vec![0], r#"_miroir_shard IN [",,,,,,,,"]"#),
        (vec![65, 2], r#"_miroir_shard IN [",,,,,,,:", ",,,,.,,."]"#),
    ] {
        assert_eq!(shard_filter(&shards.into_iter().collect()), expected);
    }
}

#[test]
fn shard_sets_behave_as_sets() {
    let mut random = crate::random::Random::new(2);
    for round in 0..500 {
        let universe = [1, 63, 64, 65, 200, SHARDS_MAX as usize][round % 6];
        let mut pick = || -> std::collections::BTreeSet<u32> {
            let count = random.below(universe.min(300) + 1);
            (0..count).map(|_| u32::try_from(random.below(universe)).unwrap()).collect()
        };
        let (one, two) = (pick(), pick());
        let as_set =
            |members: &std::collections::BTreeSet<u32>| members.iter().copied().collect::<ShardSet>();
        let (set_one, set_two) = (as_set(&one), as_set(&two));
        assert_eq!(set_one.iter().collect::<Vec<_>>(), one.iter().copied().collect::<Vec<_>>());
        assert_eq!(set_one.len() as usize, one.len());
        assert_eq!(set_one.union(&set_two), as_set(&one.union(&two).copied().collect()));
        assert_eq!(set_one.difference(&set_two), as_set(&one.difference(&two).copied().collect()));
        assert_eq!(set_one.intersection(&set_two), as_set(&one.intersection(&two).copied().collect()));
        assert_eq!(set_one.intersection_len(&set_two) as usize, one.intersection(&two).count());
        assert_eq!(set_one.is_subset(&set_two), one.is_subset(&two));
        let mut emptied = set_one.clone();
        for shard in &one {
            assert!(emptied.contains(*shard) && emptied.remove(*shard) && !emptied.remove(*shard));
        }
        assert_eq!(emptied, ShardSet::new());
        let json = serde_json::to_string(&set_one).unwrap();
        assert_eq!(serde_json::from_str::<ShardSet>(&json).unwrap(), set_one);
    }
    for shards in [0, 1, 64, 65, SHARDS_MAX] {
        assert_eq!(ShardSet::all(shards), (0..shards).collect());
    }
    assert!(serde_json::from_str::<ShardSet>("[65536]").is_err());
}
