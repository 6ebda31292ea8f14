//! Queries about words: whole, begun, misspelt, phrases, exclusions, strategies, synonyms, languages.

use serde_json::json;

use crate::differential::corpus::{GOODS, NOTES, THINGS};
use crate::differential::families::Asker;
use crate::differential::question::Question;

pub(super) fn keyword(asker: &mut Asker<'_>) -> Question {
    let index = asker.one_of(&[THINGS, THINGS, NOTES, GOODS]);
    // A trailing blank makes the last word a whole word too.
    let q = format!("{} ", asker.plain_text(4));
    Question::search(index, json!({"q": q}))
}

pub(super) fn prefix(asker: &mut Asker<'_>) -> Question {
    let mut q = asker.begun();
    if asker.random.bool() {
        q = format!("{} {q}", asker.plain_text(2));
    }
    let index = asker.one_of(&[THINGS, NOTES]);
    Question::search(index, json!({"q": q}))
}

pub(super) fn typos(asker: &mut Asker<'_>) -> Question {
    let mut q = asker.misspelt();
    match asker.random.u8(..3) {
        0 => q = format!("{} {q} ", asker.plain_text(1)),
        1 => q = format!("{q} {}", asker.misspelt()),
        _ => {}
    }
    let index = asker.one_of(&[THINGS, NOTES]);
    Question::search(index, json!({"q": q}))
}

/// Two or three consecutive words of some document, or words that are not consecutive.
fn quoted(asker: &mut Asker<'_>) -> String {
    let text = asker.document(THINGS).and_then(|document| document["text"].as_str()).unwrap_or_default();
    let words = text.split(' ').collect::<Vec<_>>();
    if words.len() < 4 || asker.once_in(5) {
        return format!("\"{}\"", asker.plain_text(3));
    }
    let from = asker.random.usize(..words.len() - 3);
    let count = asker.random.usize(1..=3);
    format!("\"{}\"", words[from..from + count].join(" "))
}

pub(super) fn phrase(asker: &mut Asker<'_>) -> Question {
    let mut q = quoted(asker);
    match asker.random.u8(..3) {
        0 => q = format!("{q} {}", asker.plain_text(2)),
        1 => q = format!("{} {q}", asker.plain_text(1)),
        _ => {}
    }
    Question::search(THINGS, json!({"q": q}))
}

pub(super) fn negative(asker: &mut Asker<'_>) -> Question {
    let without = if asker.once_in(3) { quoted(asker) } else { asker.common().to_owned() };
    let q = match asker.random.u8(..3) {
        0 => format!("-{without}"),
        1 => format!("{} -{without}", asker.plain_text(2)),
        _ => format!("-{without} {} -{}", asker.plain_text(1), asker.any()),
    };
    Question::search(THINGS, json!({"q": q}))
}

fn with_strategy(asker: &mut Asker<'_>, strategy: &str) -> Question {
    let q = format!("{} {}", asker.plain_text(3), asker.loose_text());
    Question::search(THINGS, json!({"q": q, "matchingStrategy": strategy}))
}

pub(super) fn strategy_last(asker: &mut Asker<'_>) -> Question {
    with_strategy(asker, "last")
}

pub(super) fn strategy_all(asker: &mut Asker<'_>) -> Question {
    with_strategy(asker, "all")
}

pub(super) fn strategy_frequency(asker: &mut Asker<'_>) -> Question {
    with_strategy(asker, "frequency")
}

pub(super) fn synonyms(asker: &mut Asker<'_>) -> Question {
    // Words with synonyms, synonyms themselves, and stop words.
    let rank = asker.one_of(&[3, 60, 40, 61, 5, 0, 1]);
    let special = asker.words().ranked(rank);
    let q = match asker.random.u8(..3) {
        0 => special.to_owned(),
        1 => format!("{special} {}", asker.plain_text(2)),
        _ => format!("{} {special} ", asker.plain_text(2)),
    };
    Question::search(THINGS, json!({"q": q}))
}

pub(super) fn locales(asker: &mut Asker<'_>) -> Question {
    let foreign =
        ["東京", "京都府", "学校", "שלום", "مرحبا", "ไทย", "café", "strasse", "C++", "fish", "你好"];
    let q = format!("{} {}", asker.one_of(&foreign), asker.begun());
    let locales = asker.some_of(&["jpn", "eng", "heb", "fra", "cmn", "ja"], 2);
    let index = asker.one_of(&[THINGS, NOTES]);
    Question::search(index, json!({"q": q, "locales": locales}))
}

pub(super) fn search_on(asker: &mut Asker<'_>) -> Question {
    let attributes = asker.some_of(&["title", "text", "tags", "maker.name", "words", "maker.*"], 3);
    let q = asker.loose_text();
    Question::search(THINGS, json!({"q": q, "attributesToSearchOn": attributes}))
}

/// Numbers and nested members are searched if no searchable attribute is configured.
pub(super) fn all_searchable(asker: &mut Asker<'_>) -> Question {
    let q = match asker.random.u8(..4) {
        0 => asker.random.u16(..300).to_string(),
        1 => format!("200{} {}", asker.random.u8(..10), asker.plain_text(1)),
        2 => format!("s {:06}", asker.random.u8(..100)),
        _ => asker.loose_text(),
    };
    let index = asker.one_of(&[NOTES, GOODS]);
    Question::search(index, json!({"q": q}))
}

pub(super) fn custom_rules(asker: &mut Asker<'_>) -> Question {
    let mut body = json!({"q": asker.loose_text()});
    if asker.random.bool() {
        body["sort"] = json!([asker.one_of(&["year:asc", "year:desc"])]);
    }
    Question::search(NOTES, body)
}
