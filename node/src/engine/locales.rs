//! The languages a request or a setting may name, by their ISO 639-1 and 639-3 codes.
//! Invariant: the list is the one of Meilisearch v1.15 (its locales.rs); Mandarin has no two letter code.

use milli::tokenizer::Language;

/// Two letter code and three letter code of each language.
const LOCALES: &[(&str, &str)] = &[
    ("af", "afr"),
    ("ak", "aka"),
    ("am", "amh"),
    ("ar", "ara"),
    ("az", "aze"),
    ("be", "bel"),
    ("bn", "ben"),
    ("bg", "bul"),
    ("ca", "cat"),
    ("cs", "ces"),
    ("da", "dan"),
    ("de", "deu"),
    ("el", "ell"),
    ("en", "eng"),
    ("eo", "epo"),
    ("et", "est"),
    ("fi", "fin"),
    ("fr", "fra"),
    ("gu", "guj"),
    ("he", "heb"),
    ("hi", "hin"),
    ("hr", "hrv"),
    ("hu", "hun"),
    ("hy", "hye"),
    ("id", "ind"),
    ("it", "ita"),
    ("jv", "jav"),
    ("ja", "jpn"),
    ("kn", "kan"),
    ("ka", "kat"),
    ("km", "khm"),
    ("ko", "kor"),
    ("la", "lat"),
    ("lv", "lav"),
    ("lt", "lit"),
    ("ml", "mal"),
    ("mr", "mar"),
    ("mk", "mkd"),
    ("my", "mya"),
    ("ne", "nep"),
    ("nl", "nld"),
    ("nb", "nob"),
    ("or", "ori"),
    ("pa", "pan"),
    ("fa", "pes"),
    ("pl", "pol"),
    ("pt", "por"),
    ("ro", "ron"),
    ("ru", "rus"),
    ("si", "sin"),
    ("sk", "slk"),
    ("sl", "slv"),
    ("sn", "sna"),
    ("es", "spa"),
    ("sr", "srp"),
    ("sv", "swe"),
    ("ta", "tam"),
    ("te", "tel"),
    ("tl", "tgl"),
    ("th", "tha"),
    ("tk", "tuk"),
    ("tr", "tur"),
    ("uk", "ukr"),
    ("ur", "urd"),
    ("uz", "uzb"),
    ("vi", "vie"),
    ("yi", "yid"),
    ("zh", "zho"),
    ("zu", "zul"),
];

/// The language of a code; else Meilisearch's text about an unsupported locale.
pub(crate) fn parse(code: &str) -> Result<Language, String> {
    let three = LOCALES
        .iter()
        .find(|(two, three)| *two == code || *three == code)
        .map(|(_, three)| *three)
        .or_else(|| (code == "cmn").then_some("cmn"));
    three.and_then(Language::from_code).ok_or_else(|| {
        let mut codes: Vec<&str> = LOCALES.iter().flat_map(|(two, three)| [*two, *three]).collect();
        codes.push("cmn");
        codes.sort_by(|left, right| left.len().cmp(&right.len()).then(left.cmp(right)));
        format!("Unsupported locale `{code}`, expected one of {}", codes.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_names_a_language() {
        for (two, three) in LOCALES {
            assert_eq!(parse(two).unwrap().code(), *three);
            assert_eq!(parse(three).unwrap(), parse(two).unwrap());
        }
        assert!(parse("xx").unwrap_err().starts_with("Unsupported locale `xx`, expected one of af, ak, am,"));
    }
}
