//! The files of a backup: hashed, sealed by a manifest, verified, read back and removed, each on a thread of its own.
//!
//! Invariants: the manifest is written last, and its name appears when it is whole and on disk. What is read back was
//! verified before.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Write},
    path::{Path, PathBuf},
};

use futures_channel::oneshot;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::TtlPolicy;
use time::OffsetDateTime;
use tokio::sync::mpsc;

use crate::{
    api::alias::Alias,
    config::limits,
    dump::{
        export::Written,
        fingerprint,
        reader::{self, Part},
    },
};

/// The names of the two archives, without their ending.
pub(super) const CLUSTER: &str = "cluster";
pub(super) const STORE: &str = "store";
const MANIFEST: &str = "manifest.json";
/// The form of a backup.
pub(super) const FORMAT: u32 = 1;

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u32,
    pub id: String,
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Of the gateway that made it.
    pub version: String,
    pub node_version: String,
    pub indexes: Vec<Written>,
    pub ttl_policies: BTreeMap<String, TtlPolicy>,
    pub aliases: Vec<Alias>,
    pub files: Vec<Hashed>,
}

/// A file and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    pub name: String,
    pub bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
}

impl Manifest {
    #[must_use]
    pub fn documents(&self) -> u64 {
        self.indexes.iter().map(|index| index.documents).sum()
    }

    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Hashes the archives and seals them with the manifest; gives it with the hashes.
pub(super) async fn seal(directory: PathBuf, manifest: Manifest) -> io::Result<Manifest> {
    on_thread(move || {
        let mut manifest = manifest;
        for name in [CLUSTER, STORE] {
            manifest.files.push(hashed(&directory, &format!("{name}.dump"))?);
        }
        let partial = directory.join(format!(".{MANIFEST}.partial"));
        let mut file = File::create(&partial)?;
        file.write_all(format!("{:#}\n", json!(manifest)).as_bytes())?;
        file.sync_all()?;
        fs::rename(&partial, directory.join(MANIFEST))?;
        File::open(&directory)?.sync_all()?;
        Ok(manifest)
    })
    .await
}

/// Compares the files with the manifest on disk; gives what is wrong with them, one line each.
///
/// # Errors
/// No manifest that can be read.
pub async fn verify(directory: PathBuf) -> io::Result<(Manifest, Vec<String>)> {
    on_thread(move || {
        let text = fs::read(directory.join(MANIFEST))?;
        let manifest: Manifest = serde_json::from_slice(&text)?;
        if manifest.format != FORMAT {
            let reason = format!("it has format {}; this gateway reads {FORMAT}", manifest.format);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let mut wrong = Vec::new();
        for known in &manifest.files {
            match hashed(&directory, &known.name) {
                Ok(found) if found == *known => {}
                Ok(found) => wrong.push(format!(
                    "{} has {} bytes and hash {}, not {} and {}",
                    known.name, found.bytes, found.sha256, known.bytes, known.sha256
                )),
                Err(error) => wrong.push(format!("{} cannot be read: {error}", known.name)),
            }
        }
        Ok((manifest, wrong))
    })
    .await
}

/// The manifests of the complete backups in a folder; none where there is no folder.
///
/// # Errors
/// A folder that cannot be read.
pub(super) async fn found(directory: PathBuf) -> io::Result<Vec<Manifest>> {
    on_thread(move || {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = Vec::new();
        for entry in entries.take(limits::BACKUPS_MAX) {
            let path = entry?.path();
            let text = fs::read(path.join(MANIFEST)).unwrap_or_default();
            // What is no manifest, or lies under another name, is no backup.
            if let Ok(manifest) = serde_json::from_slice::<Manifest>(&text)
                && path.file_name().is_some_and(|name| name == manifest.id.as_str())
            {
                found.push(manifest);
            }
        }
        Ok(found)
    })
    .await
}

/// Removes a backup's files; those that are gone already are no failure.
pub(super) async fn remove(directory: PathBuf) -> io::Result<()> {
    on_thread(move || match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
    .await
}

/// Reads the cluster's archive part by part; memory is bounded by the parts that wait. The last part is an error when
/// the archive, or an index in it, is not as the manifest has it.
///
/// # Errors
/// When no thread can be started.
pub fn read(directory: &Path, manifest: &Manifest) -> io::Result<mpsc::Receiver<io::Result<Part>>> {
    let (parts, outbox) = mpsc::channel(limits::BACKUP_PARTS_WAITING_MAX);
    let file = directory.join(format!("{CLUSTER}.dump"));
    let manifest = manifest.clone();
    std::thread::Builder::new().name("restore".to_owned()).spawn(move || {
        let send = |part: io::Result<Part>| parts.blocking_send(part).is_ok();
        if let Err(error) = read_parts(&file, &manifest, &send) {
            send(Err(error));
        }
    })?;
    Ok(outbox)
}

fn read_parts(file: &Path, manifest: &Manifest, send: &dyn Fn(io::Result<Part>) -> bool) -> io::Result<()> {
    let (mut documents, mut sum) = (0_u64, 0_u64);
    reader::read_parts(BufReader::new(File::open(file)?), &|_| true, &mut |part| {
        match &part {
            Part::Documents { lines, count, .. } => {
                documents += *count as u64;
                sum = sum.wrapping_add(fingerprint::of_lines(lines));
            }
            Part::End { uid } => {
                let (documents, sum) = (std::mem::take(&mut documents), std::mem::take(&mut sum));
                let found = Written { uid: uid.clone(), documents, fingerprint: format!("{sum:016x}") };
                if manifest.indexes.iter().any(|known| known.uid == *uid && *known != found) {
                    let reason = format!("the documents of {uid} are not those of the manifest");
                    return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
                }
            }
            Part::Metadata(_)
            | Part::Key(_)
            | Part::Name { .. }
            | Part::Index { .. }
            | Part::Settings { .. } => {}
        }
        Ok(send(Ok(part)))
    })
}

fn hashed(directory: &Path, name: &str) -> io::Result<Hashed> {
    let mut file = File::open(directory.join(name))?;
    let mut hash = Sha256::new();
    let bytes = io::copy(&mut file, &mut hash)?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Hashed { name: name.to_owned(), bytes, sha256 })
}

/// Runs work that touches files where no executor waits for it.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, outcome) = oneshot::channel();
    std::thread::Builder::new().name("backup".to_owned()).spawn(move || {
        // Nobody waits any more when the request was given up.
        let _ = done.send(work());
    })?;
    outcome.await.unwrap_or_else(|_| Err(io::Error::other("the thread of the backup has died")))
}
