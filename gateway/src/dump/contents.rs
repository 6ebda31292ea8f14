//! What a dump has, found by reading it whole once before anything of it is written.
//!
//! Invariant: a dump that passes can be imported: its version is known, it is not damaged, and each index with
//! documents has a primary key under which every line is a JSON object.

use std::{collections::BTreeMap, fs::File, io, path::Path};

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

use crate::{
    dump::{
        older,
        reader::{self, Part},
    },
    state::snapshot::check_index_uid,
};

/// The version of dumps that gateways write; those that are older are converted.
const VERSION: &str = "V6";

/// An index of a dump.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundIndex {
    pub primary_key: Option<String>,
    pub documents: u64,
    #[serde(skip)]
    is_described: bool,
}

/// What a dump has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// The version of the server that wrote it.
    pub server_version: String,
    pub keys: usize,
    pub indexes: BTreeMap<String, FoundIndex>,
    /// The names of indexes by those of their folders, of an older dump.
    #[serde(default)]
    pub names: BTreeMap<String, String>,
}

impl Contents {
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.indexes.values().map(|index| index.documents).sum()
    }
}

/// Reads a dump whole.
///
/// # Errors
/// Why it cannot be imported, as half a sentence about it.
pub fn read(file: &Path) -> Result<Contents, String> {
    let mut contents = Contents::default();
    let mut version = None;
    let file = File::open(file).map_err(|error| format!("it cannot be opened: {error}"))?;
    reader::read_parts(io::BufReader::new(file), &|_| true, &mut |part| {
        look(&mut contents, &mut version, part)
            .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
        Ok(true)
    })
    .map_err(|error| error.to_string())?;
    check(contents, version.as_ref())
}

fn look(contents: &mut Contents, version: &mut Option<Value>, part: Part) -> Result<(), String> {
    match part {
        Part::Metadata(metadata) => {
            check_version(&metadata)?;
            *version = Some(metadata);
        }
        Part::Key(_) => contents.keys += 1,
        Part::Name { folder, uid } => name(contents, folder, uid)?,
        Part::Index { uid, primary_key } => {
            let index = known(contents, &uid)?;
            if std::mem::replace(&mut index.is_described, true) {
                return Err(format!("it has the index `{uid}` twice"));
            }
            index.primary_key = primary_key;
        }
        Part::Settings { uid, settings } => {
            known(contents, &uid)?;
            if !settings.is_object() {
                return Err(format!("the settings of the index `{uid}` are no JSON object"));
            }
        }
        Part::Documents { uid, lines, count } => {
            let shown = contents.names.get(&uid).unwrap_or(&uid).clone();
            let index = known(contents, &uid)?;
            for (number, line) in lines.split(|byte| *byte == b'\n').take(count).enumerate() {
                let is_object = line.trim_ascii_start().first() == Some(&b'{')
                    && serde_json::from_slice::<IgnoredAny>(line).is_ok();
                if !is_object {
                    let number = index.documents + number as u64 + 1;
                    return Err(format!("document {number} of the index `{shown}` is no JSON object"));
                }
            }
            index.documents += count as u64;
        }
        Part::End { .. } => {}
    }
    Ok(())
}

fn name(contents: &mut Contents, folder: String, uid: String) -> Result<(), String> {
    check_uid(&uid)?;
    if contents.names.values().any(|known| *known == uid) || contents.names.contains_key(&folder) {
        return Err(format!("it names the index `{uid}` or its folder twice"));
    }
    contents.names.insert(folder, uid);
    Ok(())
}

fn check_uid(uid: &str) -> Result<(), String> {
    check_index_uid(uid).map_err(|_| format!("it has an index named {uid:?}, which no index can be"))
}

fn known<'c>(contents: &'c mut Contents, uid: &str) -> Result<&'c mut FoundIndex, String> {
    check_uid(uid)?;
    Ok(contents.indexes.entry(uid.to_owned()).or_default())
}

fn check_version(metadata: &Value) -> Result<(), String> {
    match metadata["dumpVersion"].as_str() {
        Some(VERSION) => Ok(()),
        Some(version) if older::is_older(version) => Ok(()),
        Some(other) => Err(format!(
            "it is of version {other:?}, and this gateway reads V4, V5 and {VERSION}: load it into a server of version 1 and make a new one there"
        )),
        None => Err("it does not say its version in metadata.json".to_owned()),
    }
}

fn check(mut contents: Contents, metadata: Option<&Value>) -> Result<Contents, String> {
    let metadata = metadata.ok_or("it has no metadata.json")?;
    contents.server_version = metadata["dbVersion"].as_str().unwrap_or("unknown").to_owned();
    match metadata["dumpVersion"].as_str().is_some_and(older::is_older) {
        true => rename(&mut contents)?,
        false if contents.names.is_empty() => {}
        false => return Err("it has index_uuids/data.jsonl, which no dump of its version has".to_owned()),
    }
    for (uid, index) in &contents.indexes {
        if !index.is_described {
            return Err(format!("it has files of the index `{uid}` and no metadata.json of it"));
        }
        if index.documents > 0 && index.primary_key.is_none() {
            return Err(format!("the index `{uid}` has documents and no primary key"));
        }
    }
    Ok(contents)
}

/// Calls indexes by their names, once all names of folders were read.
fn rename(contents: &mut Contents) -> Result<(), String> {
    let mut folders = std::mem::take(&mut contents.indexes);
    for (folder, uid) in &contents.names {
        let index = folders.remove(folder);
        let index = index.ok_or_else(|| format!("it has no folder {folder:?} for the index `{uid}`"))?;
        contents.indexes.insert(uid.clone(), index);
    }
    match folders.pop_first() {
        Some((folder, _)) => Err(format!("index_uuids/data.jsonl names no index for the folder {folder:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn looked(parts: Vec<Part>) -> Result<Contents, String> {
        let (mut contents, mut version) = (Contents::default(), None);
        for part in parts {
            look(&mut contents, &mut version, part)?;
        }
        check(contents, version.as_ref())
    }

    fn metadata(version: &str) -> Part {
        Part::Metadata(json!({"dumpVersion": version, "dbVersion": "1.12.8"}))
    }

    fn index(uid: &str, primary_key: Option<&str>) -> Part {
        Part::Index { uid: uid.to_owned(), primary_key: primary_key.map(str::to_owned) }
    }

    fn documents(uid: &str, lines: &'static str) -> Part {
        let count = lines.lines().count();
        Part::Documents { uid: uid.to_owned(), lines: lines.into(), count }
    }

    #[test]
    fn a_dump_is_summed_up() {
        let found = looked(vec![
            documents("a", "{}\n{\"x\":1}\n"),
            Part::End { uid: "a".to_owned() },
            index("a", Some("id")),
            index("b", None),
            metadata("V6"),
            Part::Key(json!({})),
        ])
        .unwrap();
        assert_eq!((found.keys, found.documents(), found.indexes.len()), (1, 2, 2));
        assert_eq!(found.server_version, "1.12.8");
        assert_eq!(found.indexes["a"].primary_key.as_deref(), Some("id"));
    }

    fn named(folder: &str, uid: &str) -> Part {
        Part::Name { folder: folder.to_owned(), uid: uid.to_owned() }
    }

    #[test]
    fn folders_of_older_dumps_are_called_as_their_indexes() {
        for version in ["V4", "V5"] {
            let found = looked(vec![
                index("f1", Some("id")),
                documents("f1", "{}\n{}\n"),
                metadata(version),
                named("f2", "f1"),
                named("f1", "films"),
                index("f2", None),
            ])
            .unwrap();
            assert_eq!(found.indexes["films"].documents, 2);
            assert_eq!(found.indexes["f1"].documents, 0);
        }
        let refused = |parts: Vec<Part>, word: &str| {
            let error = looked([vec![metadata("V5")], parts].concat()).unwrap_err();
            assert!(error.contains(word), "{error}");
        };
        refused(vec![index("f1", None)], "names no index for the folder \"f1\"");
        refused(vec![named("f1", "films")], "no folder \"f1\" for the index `films`");
        refused(vec![named("f1", "a b")], "\"a b\"");
        refused(vec![named("f1", "films"), named("f1", "books")], "twice");
        refused(vec![named("f1", "films"), named("f2", "films")], "twice");
        let error = looked(vec![metadata("V6"), index("a", None), named("a", "b")]).unwrap_err();
        assert!(error.contains("index_uuids"), "{error}");
    }

    #[test]
    fn what_cannot_be_imported_says_why() {
        let check = |parts: Vec<Part>, word: &str| {
            let error = looked(parts).unwrap_err();
            assert!(error.contains(word), "{error}");
        };
        check(vec![], "metadata.json");
        for version in ["V1", "V2", "V3", "V7"] {
            check(vec![metadata(version)], &format!("{version:?}"));
        }
        check(vec![Part::Metadata(json!({}))], "version");
        check(vec![metadata("V6"), index("a b", None)], "\"a b\"");
        check(vec![metadata("V6"), index("a", None), index("a", None)], "twice");
        check(vec![metadata("V6"), documents("a", "{}\n")], "no metadata.json of it");
        check(vec![metadata("V6"), index("a", None), documents("a", "{}\n")], "no primary key");
        check(vec![documents("a", "{}\n{}\n"), documents("a", "{}\n[]\n")], "document 4 of the index `a`");
        check(vec![documents("a", "{\n")], "document 1 of the index `a`");
        let settings = Part::Settings { uid: "a".to_owned(), settings: json!([]) };
        check(vec![settings], "no JSON object");
    }
}
