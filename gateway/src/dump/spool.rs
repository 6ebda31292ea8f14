//! A dump that is sent to this pod, on its way to the disk: a thread of its own writes it as it comes.
//!
//! Invariants: the file gets its name only when it is whole and on disk; one that was cut is removed. Memory is bounded
//! by the pieces that wait, and the file by [`limits::IMPORT_BYTES_MAX`].

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use futures_channel::oneshot;
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::config::limits;

const START: &str = ".import-";

enum Piece {
    Bytes(Bytes),
    End,
}

/// A file that is being written.
pub(crate) struct Spool {
    name: String,
    pieces: mpsc::Sender<Piece>,
    outcome: oneshot::Receiver<io::Result<u64>>,
}

impl Spool {
    /// Begins a file in a folder, which is made if it is missing; files that others have left there go.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(crate) fn begin(directory: PathBuf) -> io::Result<Self> {
        let name = Uuid::new_v4().simple().to_string();
        let (pieces, inbox) = mpsc::channel(limits::IMPORT_PIECES_WAITING_MAX);
        let (done, outcome) = oneshot::channel();
        let file = path_of(&directory, &name);
        std::thread::Builder::new().name("spool".to_owned()).spawn(move || {
            forget_old(&directory, SystemTime::now());
            let partial = file.with_extension("partial");
            let written = write(inbox, &directory, &partial, &file);
            if written.is_err() {
                let _ = fs::remove_file(&partial);
            }
            let _ = done.send(written);
        })?;
        Ok(Self { name, pieces, outcome })
    }

    /// Adds a piece; waits while the disk is slower than the sender.
    ///
    /// # Errors
    /// The disk's; the file is gone then.
    pub(crate) async fn add(&mut self, piece: Bytes) -> io::Result<()> {
        match self.pieces.send(Piece::Bytes(piece)).await {
            Ok(()) => Ok(()),
            Err(_) => Err(self.failure().await),
        }
    }

    /// Ends the file; gives its name for [`path_of`], and its bytes.
    ///
    /// # Errors
    /// The disk's; the file is gone then.
    pub(crate) async fn finish(mut self) -> io::Result<(String, u64)> {
        if self.pieces.send(Piece::End).await.is_err() {
            return Err(self.failure().await);
        }
        match self.outcome.await {
            Ok(written) => written.map(|bytes| (self.name, bytes)),
            Err(_) => Err(io::Error::other("the thread that writes it has died")),
        }
    }

    /// Gives the file up, and waits until it is gone.
    pub(crate) async fn abandon(self) {
        drop(self.pieces);
        // What it was given up for is told; that it was cut is no news.
        let _ = self.outcome.await;
    }

    async fn failure(&mut self) -> io::Error {
        match (&mut self.outcome).await {
            Ok(Err(error)) => error,
            Ok(Ok(_)) | Err(_) => io::Error::other("the thread that writes it has died"),
        }
    }
}

/// Copies a file into a folder as if it had been sent; blocks. Gives its name for [`path_of`], and its bytes.
///
/// # Errors
/// The disk's; no copy is left then.
pub(crate) fn copy(from: &Path, directory: &Path) -> io::Result<(String, u64)> {
    let name = Uuid::new_v4().simple().to_string();
    let file = path_of(directory, &name);
    let partial = file.with_extension("partial");
    fs::create_dir_all(directory)?;
    let copied = fs::copy(from, &partial).and_then(|bytes| {
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, &file)?;
        File::open(directory)?.sync_all()?;
        Ok(bytes)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&partial);
    }
    copied.map(|bytes| (name, bytes))
}

/// Where a spooled file lies.
pub(crate) fn path_of(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{START}{name}.dump"))
}

fn write(mut inbox: mpsc::Receiver<Piece>, directory: &Path, partial: &Path, file: &Path) -> io::Result<u64> {
    fs::create_dir_all(directory)?;
    let mut out = BufWriter::with_capacity(limits::IMPORT_WRITE_BYTES, File::create(partial)?);
    let mut bytes = 0_u64;
    loop {
        match inbox.blocking_recv() {
            Some(Piece::Bytes(piece)) => {
                bytes += piece.len() as u64;
                if bytes > limits::IMPORT_BYTES_MAX {
                    let reason = format!("it has more than {} bytes", limits::IMPORT_BYTES_MAX);
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
                }
                out.write_all(&piece)?;
            }
            Some(Piece::End) => break,
            // The sender has left.
            None => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(partial, file)?;
    File::open(directory)?.sync_all()?;
    Ok(bytes)
}

/// Removes what crashes have left behind: spooled files that nobody has touched for long. What an import still needs
/// is touched by [`touch`].
fn forget_old(directory: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        let is_spooled = entry.file_name().to_str().is_some_and(|name| name.starts_with(START));
        let touched = entry.metadata().and_then(|metadata| metadata.modified()).ok();
        let age = touched.and_then(|touched| now.duration_since(touched).ok());
        if is_spooled && age.is_some_and(|age| age > limits::IMPORT_FILE_KEPT) {
            // Another one may be removing it as well.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Marks a spooled file as needed still.
///
/// # Errors
/// When it is not there.
pub(crate) fn touch(file: &Path) -> io::Result<()> {
    File::options().append(true).open(file)?.set_modified(SystemTime::now())
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;

    use super::*;

    #[test]
    fn a_file_is_there_once_it_is_whole_and_gone_when_it_was_cut() {
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join("below");
        let (name, bytes) = block_on(async {
            let mut spool = Spool::begin(folder.clone()).unwrap();
            for piece in ["ab", "", "cde"] {
                spool.add(piece.into()).await.unwrap();
            }
            spool.finish().await.unwrap()
        });
        assert_eq!((bytes, fs::read(path_of(&folder, &name)).unwrap()), (5, b"abcde".to_vec()));
        block_on(async {
            let mut cut = Spool::begin(folder.clone()).unwrap();
            cut.add("ab".into()).await.unwrap();
            cut.abandon().await;
        });
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "only the whole one is left");
    }

    #[test]
    fn files_that_nobody_needs_any_more_go_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (spooled, other) = (path_of(directory.path(), "a"), directory.path().join("20261130.dump"));
        fs::write(&spooled, "x").unwrap();
        fs::write(&other, "x").unwrap();
        let later = SystemTime::now() + limits::IMPORT_FILE_KEPT * 2;
        touch(&spooled).unwrap();
        forget_old(directory.path(), SystemTime::now());
        assert!(spooled.exists());
        forget_old(directory.path(), later);
        assert!(!spooled.exists() && other.exists());
        assert!(touch(&spooled).is_err());
    }
}
