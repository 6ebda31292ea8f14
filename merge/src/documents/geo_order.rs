//! Documents sorted by distance among other fields: the order of milli/src/documents/sort.rs, in which distances form
//! buckets.
//!
//! - A bucket has the documents within a metre of its first; the fields behind the distance order it.
//! - A node takes documents from its spatial index by the thousand, in exact order. It orders fewer by whole metres.

use std::cmp::Ordering;

use crate::documents::sort_key::{By, Document, Key, SortField, compare_identities, point};
use crate::order::buckets::{BUCKET_DOCUMENTS_MAX, BUCKET_METRES, EXACT_ORDER_MIN, chord, metres};

/// Orders the documents of all legs. `cut`: whether legs have more than these.
pub(crate) fn arrange(documents: &mut [Document<'_>], sort: &[SortField], cut: bool) {
    arrange_by(documents, sort, 0, cut);
}

/// Orders documents that are equal by the fields before `rule`.
fn arrange_by(documents: &mut [Document<'_>], sort: &[SortField], rule: usize, cut: bool) {
    let Some(field) = sort.get(rule) else { return };
    if let By::Distance { latitude, longitude } = field.by {
        return by_distance(documents, sort, rule, (latitude, longitude), cut);
    }
    // Greater comes first.
    documents.sort_by(|one, other| compare(&other.keys[rule], &one.keys[rule]));
    let same = |one: &Document<'_>, other: &Document<'_>| one.keys[rule] == other.keys[rule];
    documents.chunk_by_mut(same).for_each(|equals| arrange_by(equals, sort, rule + 1, cut));
}

fn by_distance(documents: &mut [Document<'_>], sort: &[SortField], rule: usize, from: (f64, f64), cut: bool) {
    let ascending = sort[rule].ascending;
    let place = |document: &Document<'_>| point(document.text);
    documents.sort_by_key(|document| place(document).is_none());
    let located = documents.iter().position(|document| place(document).is_none()).unwrap_or(documents.len());
    let distance = |document: &Document<'_>| place(document).map_or(f64::NAN, |place| metres(from, place));
    // Nodes order by document number, which corresponds to the order of keys.
    let numbers = |one: &Document<'_>, other: &Document<'_>| {
        let ordering = one.keys.last().zip(other.keys.last()).map(|(one, other)| compare(other, one));
        ordering.unwrap_or(Ordering::Equal).then_with(|| compare_identities(one, other, sort))
    };
    let directed = |ordering: Ordering| if ascending { ordering } else { ordering.reverse() };
    let exact = if cut { located } else { located - located % EXACT_ORDER_MIN };
    let chord_of =
        |document: &Document<'_>| place(document).map_or(0.0, |place| chord(from, ascending, place));
    let whole = |document: &Document<'_>| distance(document).trunc();
    sort_located(
        &mut documents[..located],
        |one| if exact > 0 { chord_of(one) } else { whole(one) },
        |one, other| directed(numbers(one, other)),
        ascending,
    );
    sort_located(
        &mut documents[exact..located],
        whole,
        |one, other| directed(numbers(one, other)),
        ascending,
    );
    let mut start = 0;
    while start < located {
        let first = distance(&documents[start]);
        let differs = |at: &usize| (first - distance(&documents[*at])).abs() > BUCKET_METRES;
        let stop = (start..located).find(differs).unwrap_or(located).min(start + BUCKET_DOCUMENTS_MAX);
        arrange_by(&mut documents[start..stop], sort, rule + 1, cut);
        start = stop;
    }
    arrange_by(&mut documents[located..], sort, rule + 1, cut);
}

fn sort_located<'a>(
    documents: &mut [Document<'a>],
    distance: impl Fn(&Document<'a>) -> f64,
    equals: impl Fn(&Document<'a>, &Document<'a>) -> Ordering,
    ascending: bool,
) {
    documents.sort_by(|one, other| {
        let ordering = distance(one).total_cmp(&distance(other));
        (if ascending { ordering } else { ordering.reverse() }).then_with(|| equals(one, other))
    });
}

fn compare(one: &Key<'_>, other: &Key<'_>) -> Ordering {
    one.partial_cmp(other).unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_within_a_metre_are_ordered_by_the_rest() {
        let check = |sort: &[&str], documents: &[&'static str], expected: &[usize]| {
            let sort = sort.iter().map(|field| SortField::parse(field).unwrap()).collect::<Vec<_>>();
            let read = |text: &&'static str| Document {
                text,
                keys: sort.iter().map(|field| Key::read(text, field)).collect(),
            };
            let mut arranged = documents.iter().map(read).collect::<Vec<_>>();
            arrange(&mut arranged, &sort, false);
            let order =
                arranged.iter().map(|one| documents.iter().position(|text| *text == one.text).unwrap());
            assert_eq!(order.collect::<Vec<_>>(), expected, "{sort:?}");
        };
        let documents = [
            r#"{"id":0,"a":2,"_geo":{"lat":1,"lng":1}}"#,
            r#"{"id":1,"a":1,"_geo":{"lat":1.000001,"lng":1}}"#,
            r#"{"id":2,"a":0,"_geo":{"lat":1.1,"lng":1}}"#,
            r#"{"id":3,"a":0}"#,
        ];
        check(&["_geoPoint(1, 1):asc", "a:asc", "id:asc"], &documents, &[1, 0, 2, 3]);
        check(&["_geoPoint(1, 1):desc", "a:asc", "id:asc"], &documents, &[2, 1, 0, 3]);
        check(&["a:asc", "_geoPoint(1, 1):asc", "id:asc"], &documents, &[2, 3, 1, 0]);
        check(&["_geoPoint(1, 1):asc", "id:asc"], &documents, &[0, 1, 2, 3]);
    }
}
