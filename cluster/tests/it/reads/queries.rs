//! Random queries over the cities.
//! Invariant: the random source alone determines what is drawn.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::cities;

/// Words of the cities, for queries.
pub(crate) fn vocabulary() -> Vec<String> {
    let mut words = BTreeSet::new();
    for city in cities() {
        for word in
            city["name"].as_str().unwrap().split_whitespace().chain([city["country"].as_str().unwrap()])
        {
            words.insert(word.to_lowercase());
        }
    }
    words.into_iter().collect()
}

/// One to three words: whole, begun, or with a typo.
pub(crate) fn query_text(random: &mut fastrand::Rng, words: &[String]) -> String {
    let count = random.usize(1..=3);
    let picked = (0..count).map(|_| {
        let word = &words[random.usize(..words.len())];
        let letters = word.chars().collect::<Vec<_>>();
        match random.u8(..6) {
            0 => letters[..random.usize(1..=letters.len())].iter().collect(),
            1 if letters.len() > 5 => {
                let mut letters = letters.clone();
                letters.remove(random.usize(1..letters.len()));
                letters.into_iter().collect()
            }
            2 if letters.len() > 5 => {
                let mut letters = letters.clone();
                let place = random.usize(1..letters.len());
                letters[place] = random.lowercase();
                letters.into_iter().collect()
            }
            _ => word.clone(),
        }
    });
    picked.collect::<Vec<String>>().join(" ")
}

pub(crate) fn filter(random: &mut fastrand::Rng) -> Value {
    let countries = ["Japan", "France", "Brazil", "India", "China", "Nigeria", "United States"];
    let country = countries[random.usize(..countries.len())];
    let population = random.u32(100_000..3_000_000);
    match random.u8(..6) {
        0 => json!(format!("country = \"{country}\"")),
        1 => json!(format!("population > {population}")),
        2 => json!([
            [format!("country = \"{country}\""), format!("population < {population}")],
            "timezone EXISTS"
        ]),
        3 => json!(format!("population {population} TO {} AND NOT country = \"{country}\"", population * 3)),
        4 => json!(format!("country IN [\"{country}\", Kenya, Peru] OR countryCode = \"DE\"")),
        _ => json!(format!("_geoRadius({}, {}, 2000000)", random.i32(-40..60), random.i32(-120..140))),
    }
}
