//! A dump's file: a compressed archive that a thread of its own writes as its parts come.
//!
//! Invariants: a dump gets its name only when it is complete and on disk. An unfinished file is removed. Memory is
//! bounded by the parts that wait.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_channel::oneshot;
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;

/// Parts that wait for the disk.
const PARTS_WAITING_MAX: usize = 4;

enum Part {
    Folder(String),
    /// A whole file.
    File(String, Bytes),
    /// Lines of the file that the next `End` names.
    Lines(Bytes),
    End(String),
    Finish,
}

/// An archive that is being written.
pub struct Archive {
    parts: mpsc::Sender<Part>,
    outcome: oneshot::Receiver<io::Result<()>>,
}

impl Archive {
    /// Begins `directory/{uid}.dump`.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin(directory: PathBuf, uid: String) -> io::Result<Self> {
        let (parts, inbox) = mpsc::channel(PARTS_WAITING_MAX);
        let (done, outcome) = oneshot::channel();
        std::thread::Builder::new().name("archive".to_owned()).spawn(move || {
            let partial = directory.join(format!(".{uid}.partial"));
            let spool = directory.join(format!(".{uid}.spool"));
            let written = write(inbox, &directory, &partial, &spool)
                .and_then(|()| fs::rename(&partial, directory.join(format!("{uid}.dump"))))
                .and_then(|()| File::open(&directory)?.sync_all());
            let _ = fs::remove_file(&spool);
            if written.is_err() {
                let _ = fs::remove_file(&partial);
            }
            let _ = done.send(written);
        })?;
        Ok(Self { parts, outcome })
    }

    pub async fn folder(&self, path: impl Into<String>) {
        self.send(Part::Folder(path.into())).await;
    }

    pub async fn file(&self, path: impl Into<String>, content: impl Into<Bytes>) {
        self.send(Part::File(path.into(), content.into())).await;
    }

    pub async fn lines(&self, lines: impl Into<Bytes>) {
        self.send(Part::Lines(lines.into())).await;
    }

    /// Ends the file of the lines sent since the last end.
    pub async fn end(&self, path: impl Into<String>) {
        self.send(Part::End(path.into())).await;
    }

    /// Waits until the whole archive is on disk.
    ///
    /// # Errors
    /// The disk's. An archive that is dropped unfinished is removed.
    pub async fn finish(self) -> io::Result<()> {
        self.send(Part::Finish).await;
        drop(self.parts);
        self.outcome.await.unwrap_or_else(|_| Err(io::Error::other("the archive's thread has panicked")))
    }

    /// Errors are reported by `finish`.
    async fn send(&self, part: Part) {
        let _ = self.parts.send(part).await;
    }
}

fn write(mut inbox: mpsc::Receiver<Part>, directory: &Path, partial: &Path, spool: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let file = File::create(partial)?;
    let mut archive = Builder::new(GzEncoder::new(BufWriter::new(file), Compression::default()));
    let mut lines = BufWriter::new(File::create(spool)?);
    while let Some(part) = inbox.blocking_recv() {
        match part {
            Part::Folder(path) => {
                let mut header = header(0, 0o755);
                header.set_entry_type(EntryType::Directory);
                archive.append_data(&mut header, path, io::empty())?;
            }
            Part::File(path, content) => {
                archive.append_data(&mut header(content.len() as u64, 0o644), path, &content[..])?;
            }
            Part::Lines(content) => lines.write_all(&content)?,
            Part::End(path) => {
                lines.flush()?;
                let length = lines.get_ref().metadata()?.len();
                archive.append_data(&mut header(length, 0o644), path, File::open(spool)?)?;
                lines = BufWriter::new(File::create(spool)?);
            }
            Part::Finish => {
                let file =
                    archive.into_inner()?.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
                return file.sync_all();
            }
        }
    }
    Err(io::Error::other("the archive was given up"))
}

fn header(length: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(length);
    header.set_mode(mode);
    header
}
