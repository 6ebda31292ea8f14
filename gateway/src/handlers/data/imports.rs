//! `POST /_miroir/dumps/import`: takes a dump in, and writes what it has into this cluster.
//!
//! Invariants: a dump is read whole before anything of it is written, and no index that is there already is touched.
//! Keys and settings come before documents. How far it has come is stored after each batch was accepted, so an import
//! goes on where it was after a pause or a crash of its pod; what was written twice is the same. What cannot be written
//! pauses the import, with the reason.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, path::PathBuf, rc::Rc};

use bytes::Bytes;
use futures_util::FutureExt;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::StoreError;

use crate::{
    api::{
        error::{ApiError, Code},
        http::query_string::Query,
    },
    config::limits,
    dump::{
        contents::{self, Contents},
        reader::{self, Part},
        spool::{self, Spool},
    },
    handlers::data::{
        load::{Loader, Open},
        multipart,
    },
    observe::log,
    operations::{self, DUMP_IMPORT, Operation, Status},
    state::{core::Core, leadership::scope, shared::Shared},
    wire::{
        h1::{Request, Response},
        outbound::blocking,
        runtime,
    },
};

/// What an import has to know, beside what every operation has. Documents are counted in the order of the dump: those
/// that were moved are not written again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    /// The name of the spooled file, and the pod that has it.
    file: String,
    pod: String,
    bytes: u64,
    /// What the dump has, once it was read.
    contents: Option<Contents>,
    /// Indexes that it has made, or was about to make.
    made: Vec<String>,
    /// Whether keys, indexes and settings are there.
    is_prepared: bool,
    /// Tasks of the import that are not known to have succeeded.
    open: Vec<Open>,
    /// The file that an option named, with its size and age, so that it is imported once.
    source: Option<String>,
}

/// Takes a dump in and begins its import.
///
/// # Errors
/// 400 for a body that is no dump; 409 for a dump with an index that is there already, or while too many imports wait.
pub(super) async fn begin(core: &Core, request: &Request) -> Result<Response, ApiError> {
    let query = Query::parse(request.uri.query());
    query.only(&["mode"])?;
    if let Some(mode) = query.get("mode").filter(|mode| *mode != "streaming") {
        let message = format!("Invalid value in parameter `mode`: `{mode}`; allowed: streaming.");
        return Err(ApiError::new(Code::BadRequest, message));
    }
    let shared = &core.shared;
    let waiting = operations::all(shared).await?.into_iter();
    let waiting = waiting.filter(|one| one.kind == DUMP_IMPORT && !one.status.has_ended()).count();
    if waiting >= limits::IMPORTS_WAITING_MAX {
        let message = format!("{waiting} imports have not ended, as many as there may be.");
        return Err(ApiError::new(Code::MiroirOperationConflict, message));
    }
    let (file, bytes) = receive(core, request).await?;
    let path = spool::path_of(&shared.config.dump_dir, &file);
    let begun = begin_spooled(core, file, bytes, None).await;
    if begun.is_err() {
        remove(path).await;
    }
    let operation = begun?;
    Ok(Response::json(StatusCode::ACCEPTED, json!({"operation": operation}).to_string()))
}

/// Spools the body; gives the file's name and bytes.
async fn receive(core: &Core, request: &Request) -> Result<(String, u64), ApiError> {
    let disk = |error: &std::io::Error| {
        ApiError::new(Code::Internal, format!("The dump cannot be kept in --dump-dir: {error}."))
    };
    let mut pieces = multipart::Body::of(request)?;
    let mut spool = Spool::begin(core.shared.config.dump_dir.clone()).map_err(|error| disk(&error))?;
    loop {
        match pieces.next().await {
            Ok(Some(piece)) => spool.add(piece).await.map_err(|error| disk(&error))?,
            Ok(None) => return spool.finish().await.map_err(|error| disk(&error)),
            Err(error) => {
                spool.abandon().await;
                return Err(error);
            }
        }
    }
}

/// Begins the import of a spooled file. A small one is read at once, so that whoever sent it learns what is wrong.
async fn begin_spooled(
    core: &Core,
    file: String,
    bytes: u64,
    source: Option<String>,
) -> Result<u64, ApiError> {
    let path = spool::path_of(&core.shared.config.dump_dir, &file);
    let pod = core.shared.coordinator.pod().to_owned();
    let (made, open) = (Vec::new(), Vec::new());
    let mut about = About { file, pod, bytes, contents: None, made, is_prepared: false, open, source };
    if bytes <= limits::IMPORT_READ_AT_ONCE_BYTES_MAX {
        let contents = read_contents(path).await.map_err(|reason| {
            ApiError::new(Code::BadRequest, format!("The dump cannot be imported: {reason}."))
        })?;
        check_free(core, &contents, &[]).await?;
        about.contents = Some(contents);
    }
    let operation = operations::begin(&core.shared, DUMP_IMPORT, json!(about)).await?;
    Ok(operation.operation)
}

async fn read_contents(path: PathBuf) -> Result<Contents, String> {
    let read = blocking("import", move || contents::read(&path)).await;
    read.unwrap_or_else(|| Err("no thread could be had to read it".to_owned()))
}

/// Checks that no index of a dump is there, but for those that the import itself has made.
async fn check_free(core: &Core, contents: &Contents, made: &[String]) -> Result<(), ApiError> {
    let snapshot = core.shared.snapshot();
    for uid in contents.indexes.keys().filter(|uid| !made.contains(uid)) {
        let is_alias = snapshot.aliases.contains_key(uid);
        if is_alias || core.shared.store.index(uid).await?.is_some() {
            let what = if is_alias { "An alias" } else { "Index" };
            let message = format!("{what} `{uid}` is there already, and the dump has an index of this name.");
            return Err(ApiError::new(Code::MiroirOperationConflict, message));
        }
    }
    Ok(())
}

async fn remove(path: PathBuf) {
    // What is gone already is as it should be; what cannot be removed goes with old files.
    let _ = blocking("import", move || std::fs::remove_file(path)).await;
}

/// Works on the imports whose files this pod has, for as long as the process lives.
pub(crate) async fn watch(core: Rc<Core>) {
    let mut named = core.shared.config.import_dump.clone();
    loop {
        if let Some(file) = &named
            && core.shared.coordinator.leads(scope::DUMPS)
        {
            match import_named(&core, file.clone()).await {
                Ok(()) => named = None,
                Err(reason) => {
                    log::error(
                        "import_dump_failed",
                        &[("file", &file.display().to_string()), ("reason", &reason)],
                    );
                    named = None;
                }
            }
        }
        let woken =
            runtime::timeout(limits::IMPORT_LOOK_INTERVAL, core.shared.wakeups.import.notified()).await;
        if woken.is_ok() && AssertUnwindSafe(look(&core)).catch_unwind().await.is_err() {
            log::error("panic_in_job", &[("job", "imports")]);
        }
    }
}

/// Begins the import of the file that an option names, unless it was begun at an earlier start.
async fn import_named(core: &Core, file: PathBuf) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let named = file.display().to_string();
    let directory = core.shared.config.dump_dir.clone();
    let seen = file.clone();
    let found = blocking("import", move || std::fs::metadata(seen)).await;
    let found = found.ok_or("no thread could be had to look at it")?.map_err(text)?;
    let modified = found.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    let source = format!("{named} {} {}", found.len(), modified.map_or(0, |at| at.as_secs()));
    let known = operations::all(&core.shared).await.map_err(|error| error.to_string())?;
    if known.iter().any(|operation| operation.about["source"] == source.as_str()) {
        return Ok(());
    }
    let copied = blocking("import", move || spool::copy(&file, &directory)).await;
    let (name, bytes) = copied.ok_or("no thread could be had to copy it")?.map_err(text)?;
    let path = spool::path_of(&core.shared.config.dump_dir, &name);
    match begin_spooled(core, name, bytes, Some(source)).await {
        Ok(operation) => {
            log::info("import_begun", &[("file", &named), ("operation", &operation.to_string())]);
            Ok(())
        }
        Err(error) => {
            remove(path).await;
            Err(error.into_task_error().message)
        }
    }
}

async fn look(core: &Rc<Core>) {
    let Ok(all) = operations::all(&core.shared).await else { return };
    // One that runs at this moment would not be seen here: it was interrupted.
    for operation in all.into_iter().filter(Operation::is_import_with_work) {
        let Ok(about) = serde_json::from_value::<About>(operation.about.clone()) else { continue };
        if !is_own(core, &about).await {
            continue;
        }
        if operation.status == Status::Aborted {
            let about = forget_file(&core.shared, about).await;
            let mut operation = Operation { about: json!(about), ..operation };
            // A conflict is settled at the next look.
            let _ = operations::put(&core.shared, &mut operation).await;
            continue;
        }
        let loader = Loader::going_on(core, about.open.clone(), operation.documents_moved);
        Box::pin(Worker { core: Rc::clone(core), operation, about, loader }.run()).await;
    }
}

/// Whether this pod has an import's file: it is the pod that took it in, or it found the file of one that is gone.
async fn is_own(core: &Core, about: &About) -> bool {
    let coordinator = &core.shared.coordinator;
    if about.pod == coordinator.pod() || !coordinator.is_shared() {
        return true;
    }
    let path = spool::path_of(&core.shared.config.dump_dir, &about.file);
    !coordinator.pods().contains(&about.pod)
        && matches!(blocking("import", move || spool::touch(&path)).await, Some(Ok(())))
}

async fn forget_file(shared: &Shared, about: About) -> About {
    remove(spool::path_of(&shared.config.dump_dir, &about.file)).await;
    About { file: String::new(), ..about }
}

/// Why an import does not go on.
enum Stop {
    /// Somebody asked for it, or the store does not know it any more.
    Asked,
    /// It cannot be imported.
    Failed(String),
    /// What has come in its way may go away.
    Paused(ApiError),
}

impl From<ApiError> for Stop {
    fn from(error: ApiError) -> Self {
        Self::Paused(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Paused(error.into())
    }
}

/// An import under way.
struct Worker {
    core: Rc<Core>,
    operation: Operation,
    about: About,
    loader: Loader,
}

impl Worker {
    async fn run(mut self) {
        let ended = self.import().await;
        let (status, phase, reason) = match ended {
            Ok(()) => (Status::Succeeded, Some("Complete"), None),
            Err(Stop::Asked) => return,
            Err(Stop::Failed(reason)) => (Status::Failed, None, Some(reason)),
            Err(Stop::Paused(error)) => (Status::Paused, None, Some(error.into_task_error().message)),
        };
        if let Some(reason) = &reason {
            let number = self.operation.operation.to_string();
            log::warn("import_stopped", &[("operation", &number), ("reason", reason)]);
        }
        let path = spool::path_of(&self.core.shared.config.dump_dir, &self.about.file);
        if status.has_ended() {
            self.about.file.clear();
        }
        // What failed, and what followed it, is written again when the import goes on.
        let written = self.loader.open.iter().map(|open| open.from).min().filter(|_| !status.has_ended());
        let written = written.unwrap_or(self.operation.documents_moved);
        self.about.open.clear();
        let about = json!(self.about);
        let told = advance(&self.core.shared, &mut self.operation, |operation| {
            operation.become_(status, reason.clone());
            operation.documents_moved = written;
            operation.about.clone_from(&about);
            if let Some(phase) = phase {
                phase.clone_into(&mut operation.phase);
            }
        });
        match told.await {
            // The file is needed until it is on record that it is not.
            Ok(()) if status.has_ended() => remove(path).await,
            Err(Stop::Paused(error)) => log::warn("import_not_noted", &[("reason", error.reason())]),
            Ok(()) | Err(Stop::Asked | Stop::Failed(_)) => {}
        }
    }

    async fn import(&mut self) -> Result<(), Stop> {
        self.core.shared.coordinator.pod().clone_into(&mut self.about.pod);
        self.note(|operation| operation.become_(Status::Running, None)).await?;
        let path = spool::path_of(&self.core.shared.config.dump_dir, &self.about.file);
        let touched = path.clone();
        if !matches!(blocking("import", move || spool::touch(&touched)).await, Some(Ok(()))) {
            return Err(Stop::Failed("its file is not in --dump-dir any more: send it again".to_owned()));
        }
        let contents = match self.about.contents.clone() {
            Some(contents) => contents,
            None => self.read_first(path.clone()).await?,
        };
        let documents = contents.documents();
        self.note(|operation| operation.documents_total = documents).await?;
        if !self.about.is_prepared {
            self.prepare(path.clone(), &contents).await?;
        }
        self.write_documents(path, contents.names).await
    }

    /// Reads the whole dump, to learn what it has and whether it can be imported.
    async fn read_first(&mut self, path: PathBuf) -> Result<Contents, Stop> {
        self.enter("Reading").await?;
        let contents = read_contents(path).await.map_err(Stop::Failed)?;
        if let Err(error) = check_free(&self.core, &contents, &[]).await {
            return Err(match error.status().is_client_error() {
                true => Stop::Failed(error.into_task_error().message),
                false => Stop::Paused(error),
            });
        }
        self.about.contents = Some(contents.clone());
        Ok(contents)
    }

    /// Makes keys, indexes and settings.
    async fn prepare(&mut self, path: PathBuf, contents: &Contents) -> Result<(), Stop> {
        self.enter("Settings").await?;
        check_free(&self.core, contents, &self.about.made).await?;
        for (uid, index) in &contents.indexes {
            let was_begun = self.about.made.contains(uid);
            if !was_begun {
                self.about.made.push(uid.clone());
                self.note(|_| {}).await?;
            }
            // An interrupted import may have made it.
            if !was_begun || self.core.shared.store.index(uid).await?.is_none() {
                self.loader.index(uid, index.primary_key.as_deref()).await?;
            }
        }
        let mut parts =
            reader::on_thread(path, false, contents.names.clone()).map_err(|error| unreadable(&error))?;
        while let Some(part) = parts.recv().await {
            match part.map_err(|error| unreadable(&error))? {
                Part::Key(key) => self.loader.key(&key).await?,
                Part::Settings { uid, settings } => {
                    self.loader.settings(&uid, &settings).await?;
                    self.note(|_| {}).await?;
                }
                Part::Metadata(_)
                | Part::Name { .. }
                | Part::Index { .. }
                | Part::Documents { .. }
                | Part::End { .. } => {}
            }
        }
        self.about.is_prepared = true;
        self.note(|_| {}).await
    }

    /// Writes the documents that are not written yet.
    async fn write_documents(&mut self, path: PathBuf, names: BTreeMap<String, String>) -> Result<(), Stop> {
        self.enter("Documents").await?;
        let mut skipped = 0;
        let mut parts = reader::on_thread(path, true, names).map_err(|error| unreadable(&error))?;
        while let Some(part) = parts.recv().await {
            let Part::Documents { uid, lines, count } = part.map_err(|error| unreadable(&error))? else {
                continue;
            };
            let done = self.operation.documents_moved.saturating_sub(skipped);
            let done = usize::try_from(done).unwrap_or(usize::MAX).min(count);
            skipped += done as u64;
            let (lines, count) = (without_first(lines, done), count - done);
            if count == 0 {
                continue;
            }
            let bytes = lines.len() as u64;
            self.loader.documents(&uid, lines, count as u64).await?;
            skipped += count as u64;
            self.note(|operation| {
                operation.documents_moved += count as u64;
                operation.bytes_moved += bytes;
            })
            .await?;
        }
        Ok(self.loader.wait_for_tasks(0).await?)
    }

    async fn enter(&mut self, phase: &'static str) -> Result<(), Stop> {
        self.note(|operation| phase.clone_into(&mut operation.phase)).await
    }

    /// Stores how far it is, and learns whether it may go on.
    async fn note(&mut self, change: impl Fn(&mut Operation)) -> Result<(), Stop> {
        self.about.open.clone_from(&self.loader.open);
        let about = json!(self.about);
        let shared = &self.core.shared;
        if shared.is_draining() {
            // It goes on with the next process.
            return Err(Stop::Asked);
        }
        advance(shared, &mut self.operation, |operation| {
            change(operation);
            operation.about.clone_from(&about);
        })
        .await
    }
}

/// Changes an operation that runs as it is stored, though others may change it, too.
async fn advance(
    shared: &Shared,
    operation: &mut Operation,
    change: impl Fn(&mut Operation),
) -> Result<(), Stop> {
    for _ in 0..limits::IMPORT_NOTE_ATTEMPTS_MAX {
        let mut changed = operation.clone();
        change(&mut changed);
        match operations::put(shared, &mut changed).await {
            Ok(()) => {
                *operation = changed;
                return Ok(());
            }
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        let stored = operations::one(shared, operation.operation).await?.ok_or(Stop::Asked)?;
        match stored.status {
            Status::Queued | Status::Running => *operation = Operation { status: Status::Running, ..stored },
            Status::Paused | Status::Succeeded | Status::Failed | Status::Aborted => {
                // What was written is counted all the same, so that it is not written again.
                let mut kept = stored.clone();
                change(&mut kept);
                (kept.status, kept.reason) = (stored.status, stored.reason);
                (kept.started_at, kept.finished_at) = (stored.started_at, stored.finished_at);
                return match operations::put(shared, &mut kept).await {
                    Ok(()) | Err(StoreError::Conflict) => Err(Stop::Asked),
                    Err(error) => Err(error.into()),
                };
            }
        }
    }
    Err(Stop::Paused(ApiError::overloaded("The operation changes all the time.")))
}

/// Lines without the first ones.
fn without_first(lines: Bytes, count: usize) -> Bytes {
    let end = count.checked_sub(1).map(|last| memchr::memchr_iter(b'\n', &lines).nth(last));
    match end {
        None => lines,
        Some(Some(end)) => lines.slice(end + 1..),
        Some(None) => Bytes::new(),
    }
}

fn unreadable(error: &std::io::Error) -> Stop {
    Stop::Failed(format!("its file cannot be read any more: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_were_written_are_left_out() {
        let lines = Bytes::from_static(b"a\nb\nc\n");
        for (count, left) in [(0, "a\nb\nc\n"), (1, "b\nc\n"), (2, "c\n"), (3, ""), (9, "")] {
            assert_eq!(without_first(lines.clone(), count), left, "{count}");
        }
    }
}
