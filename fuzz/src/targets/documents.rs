//! Attacks `merge::documents`.
//!
//! Checked: the caller's buffer; sound JSON; no reserved member at the top level of any document; consecutive pages
//! equal one big page; undamaged legs yield their documents in leg order.

use arbitrary::{Result, Unstructured};

use super::{must_be_sound, mutate_one, raw_legs, written};
use crate::answer_oracle::{Object, answer, check_document};
use crate::sound_answers::World;

pub(crate) fn run(bytes: &[u8]) {
    // Running out of bytes to choose by is no finding.
    let _ = attack(Unstructured::new(bytes));
}

fn attack(mut choices: Unstructured<'_>) -> Result<()> {
    let page_size = choices.int_in_range(0..=5)?;
    let pages = choices.int_in_range(1..=6)?;
    if choices.arbitrary()? {
        check(&raw_legs(choices.take_rest()), page_size, pages);
        return Ok(());
    }
    let world = World::arbitrary(&mut choices)?;
    let mut legs = world.document_answers();
    let sound = mutate_one(&mut choices, &mut legs)?;
    let whole = check(&legs, page_size, pages);
    if sound {
        let whole = whole.expect("undamaged legs are joined");
        let ids = whole.iter().map(|text| id(text)).collect::<Vec<_>>();
        let expected = world.listed_ids().into_iter().take(page_size * pages).map(|id| id.to_string());
        assert_eq!(ids, expected.collect::<Vec<_>>(), "not leg after leg");
    }
    Ok(())
}

fn id(document: &str) -> String {
    let document = Object::read(document).expect("a document is an object");
    document.get("id").expect("generated documents have ids").to_owned()
}

/// Checks the properties of any legs. Returns the documents of one page that covers all others.
fn check(legs: &[Vec<u8>], page_size: usize, pages: usize) -> Option<Vec<String>> {
    let whole = page(legs, 0, page_size * pages)?;
    let mut joined = Vec::new();
    for at in 0..pages {
        let part = page(legs, at * page_size, page_size);
        joined.extend(part.unwrap_or_else(|| panic!("page {at} is refused, the page that holds it is not")));
    }
    assert_eq!(joined, whole, "the pages together are not the page that holds them");
    Some(whole)
}

fn page(legs: &[Vec<u8>], offset: usize, limit: usize) -> Option<Vec<String>> {
    let slices = legs.iter().map(Vec::as_slice).collect::<Vec<_>>();
    let (merged, out) = written(|out| merge::documents(&slices, &[], None, offset, limit, out))?;
    if !must_be_sound(&slices) {
        return None;
    }
    let text = answer(&out);
    let documents = Object::read(text).expect("an answer is an object").elements("results");
    assert_eq!(documents.len(), merged.hits, "another number of documents than reported: {text}");
    documents.iter().for_each(|document| check_document(document));
    Some(documents.into_iter().map(str::to_owned).collect())
}
