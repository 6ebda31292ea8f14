//! Damages sound input, steered by the fuzzer's bytes.
//!
//! The tokens are those that the code under attack examines; random bytes alone would rarely spell them.

use arbitrary::{Result, Unstructured};

/// The most changes made to one input.
const CHANGES_MAX: usize = 4;

/// The tokens that parsers of JSON, of nodes' answers and of their messages examine.
pub(crate) const TOKENS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\\"",
    b"\\ud800",
    b"0",
    b"-",
    b"9",
    b".",
    b"1e999",
    b"-0.0",
    b"18446744073709551615",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b" ",
    b"\n",
    b"\x00",
    b"\x0c",
    b"\xff",
    b"\xc3",
    "é".as_bytes(),
    "\u{a0}".as_bytes(),
    b"`",
    b"`, `",
    b"_miroir_",
    b"\"_miroir_shard\":\",,,,,,,,\"",
    b"\"_rankingScore\":0.5",
    b"\"_rankingScoreDetails\":{",
    b"\"_formatted\":{",
    b"\"_matchesPosition\":{",
    b"\"words\":{\"order\":0,\"matchingWords\":1}",
    b"\"order\":",
    b"\"hits\":[",
    b"\"results\":[",
    b"\"facetHits\":[",
    b"\"value\":",
    b"\"count\":1",
    b"\"total\":1",
    b"\"estimatedTotalHits\":1",
    b"\"totalHits\":1",
    b"\"facetDistribution\":{",
    b"\"facetStats\":{",
    b"Available sortable attributes are: `",
    b"\"version\":",
    b"\"nodes\":[",
    b"\"placements\":[",
    b"\"capacity\":",
    b"\r\n",
    b"\r\n\r\n",
    b" HTTP/1.1\r\n",
    b"Host: a\r\n",
    b"Content-Length: ",
    b"Transfer-Encoding: chunked\r\n",
    b"0\r\n\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b"\t",
    b"\"id\":",
    b"\"filter\":",
    b"\"queries\":[",
    b"\"indexUid\":\"a\"",
    b"\"facetName\":\"a\"",
    b"\"sort\":[\"a:asc\"]",
];

/// Changes `bytes` in up to four places; in a third of the cases in none. Returns the number of changes.
pub(crate) fn mutate(choices: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<usize> {
    if choices.ratio(1, 3)? {
        return Ok(0);
    }
    let changes = choices.int_in_range(1..=CHANGES_MAX)?;
    for _ in 0..changes {
        change(choices, bytes)?;
    }
    Ok(changes)
}

fn change(choices: &mut Unstructured<'_>, bytes: &mut Vec<u8>) -> Result<()> {
    let at = choices.int_in_range(0..=bytes.len())?;
    let length = choices.int_in_range(0..=16)?.min(bytes.len() - at);
    match choices.int_in_range(0..=5)? {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..at + length)),
        2 => {
            let again = bytes[at..at + length].to_vec();
            bytes.splice(at..at, again);
        }
        3 => {
            let byte = choices.arbitrary::<u8>()?;
            if let Some(changed) = bytes.get_mut(at) {
                *changed = byte;
            }
        }
        4 => drop(bytes.splice(at..at + length, choices.choose(TOKENS)?.iter().copied())),
        _ => drop(bytes.splice(at..at, choices.choose(TOKENS)?.iter().copied())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_change_happens_and_some_inputs_stay_whole() {
        let sound = b"{\"hits\":[{\"id\":1}],\"estimatedTotalHits\":1}";
        let mut random = fastrand::Rng::with_seed(1);
        let (mut whole, mut shorter, mut longer, mut as_long) = (0, 0, 0, 0);
        for _ in 0..400 {
            let steering = std::iter::repeat_with(|| random.u8(..)).take(64).collect::<Vec<_>>();
            let mut bytes = sound.to_vec();
            let changes = mutate(&mut Unstructured::new(&steering), &mut bytes).unwrap();
            let kind = match bytes.len().cmp(&sound.len()) {
                _ if changes == 0 => &mut whole,
                std::cmp::Ordering::Less => &mut shorter,
                std::cmp::Ordering::Greater => &mut longer,
                std::cmp::Ordering::Equal => &mut as_long,
            };
            *kind += 1;
        }
        assert!(whole > 50 && shorter > 20 && longer > 20 && as_long > 5);
    }
}
