//! The languages that a request or a setting may name, by their ISO 639-1 and 639-3 codes.
//! Invariant: the list is that of Meilisearch v1.15 (its locales.rs); Mandarin has no two-letter code.

use std::convert::Infallible;

use deserr::{DeserializeError, Deserr, ErrorKind, IntoValue, ValuePointerRef, take_cf_content};
use milli::tokenizer::Language;

use crate::wire::WireError;

const MANDARIN: &str = "cmn";

/// The two-letter and the three-letter code of each language.
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

/// A language in a request or a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Locale(pub(crate) Language);

impl Deserr<WireError> for Locale {
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, WireError> {
        let code = <String as Deserr<WireError>>::deserialize_from_value(value, location)?;
        parse(&code).map(Self).ok_or_else(|| {
            let (two, three) = (LOCALES.iter().map(|codes| codes.0), LOCALES.iter().map(|codes| codes.1));
            let accepted: Vec<&str> = two.chain(three).chain([MANDARIN]).collect();
            let error = ErrorKind::UnknownValue { value: &code, accepted: &accepted };
            take_cf_content(WireError::error::<Infallible>(None, error, location))
        })
    }
}

fn parse(code: &str) -> Option<Language> {
    let listed = LOCALES.iter().find(|(two, three)| *two == code || *three == code);
    let three = listed.map(|(_, three)| *three).or_else(|| (code == MANDARIN).then_some(MANDARIN))?;
    Language::from_code(three)
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
        assert_eq!(parse("xx"), None);
    }
}
