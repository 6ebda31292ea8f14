//! Writing documents into an index and reading them back.
//! Invariants: one batch of operations is one transaction. A failed operation has no effect and does not affect the
//! others. Payloads are NDJSON, one object a line. Reads ignore `displayedAttributes`, as Meilisearch's documents
//! routes do.

use std::io::Write;

use bumpalo::Bump;
use memmap2::{Mmap, MmapMut};
use milli::database_stats::DatabaseStats;
use milli::documents::PrimaryKey;
use milli::heed::RoTxn;
use milli::progress::Progress;
use milli::update::ClearDocuments;
use milli::update::new::indexer;
use milli::{DocumentId, FieldsIdsMap, Filter};
use roaring::RoaringBitmap;
use serde_json::{Map, Value, json};

use super::{Engine, paths};
use crate::errors::ApiError;

/// One task's change to the documents.
#[derive(Debug)]
pub(crate) enum Operation {
    /// Whole documents, NDJSON.
    Replace(Vec<u8>),
    /// Parts of documents to merge into the stored ones, NDJSON.
    Update(Vec<u8>),
    Delete(Vec<String>),
}

/// An operation's outcome: the number of distinct documents that it wrote, or found and deleted.
pub(crate) type Applied = Result<u64, ApiError>;

/// Which documents to read, and which of their fields.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) offset: usize,
    pub(crate) limit: usize,
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) filter: Option<Value>,
    pub(crate) ids: Option<Vec<String>>,
    pub(crate) retrieve_vectors: bool,
}

impl Engine {
    /// Applies operations in order in one transaction; returns one outcome each. `Err` means that nothing happened. A
    /// batch of deletions must not contain other operations, or it would count documents that do not exist yet.
    pub(crate) fn apply(
        &self,
        uid: &str,
        operations: &[Operation],
        primary_key: Option<&str>,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> Result<Vec<Applied>, ApiError> {
        self.apply_in_engine(operations, primary_key, must_abort)
            .map_err(|error| ApiError::engine(uid, error))
    }

    fn apply_in_engine(
        &self,
        operations: &[Operation],
        primary_key: Option<&str>,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> milli::Result<Vec<Applied>> {
        let arena = Bump::new();
        let mut writer = self.index.write_txn()?;
        let snapshot = self.index.read_txn()?;
        let fields = self.index.fields_ids_map(&snapshot)?;
        let mut new_fields = fields.clone();
        let payloads = map_payloads(operations)?;
        let deletions = deletions(operations);
        let mut existing = self.count_existing(&snapshot, &deletions)?.into_iter();
        let (mut next_payload, mut next_deletion) = (payloads.iter(), deletions.iter());
        let mut batch = indexer::DocumentOperation::new();
        for operation in operations {
            let one_each = "there is a payload or a list for each operation";
            match operation {
                Operation::Replace(_) => batch.replace_documents(next_payload.next().expect(one_each))?,
                Operation::Update(_) => batch.update_documents(next_payload.next().expect(one_each))?,
                Operation::Delete(_) => batch.delete_documents(next_deletion.next().expect(one_each)),
            }
        }
        let (changes, outcomes, new_key) = batch.into_changes(
            &arena,
            &self.index,
            &snapshot,
            primary_key,
            &mut new_fields,
            must_abort,
            Progress::default(),
        )?;
        let outcomes: Vec<Applied> = operations
            .iter()
            .zip(outcomes)
            .map(|(operation, outcome)| match (operation, outcome.error) {
                (_, Some(error)) => Err(ApiError::from(milli::Error::UserError(error))),
                (Operation::Delete(_), None) => Ok(existing.next().unwrap_or_default()),
                (Operation::Replace(_) | Operation::Update(_), None) => Ok(outcome.document_count),
            })
            .collect();
        if outcomes.iter().any(Result::is_ok) {
            indexer::index(
                &mut writer,
                &self.index,
                self.workers.pool(),
                self.workers.config.grenad_parameters(),
                &fields,
                new_fields,
                new_key,
                &changes,
                self.embedders(&snapshot)?,
                must_abort,
                &Progress::default(),
            )?;
            writer.commit()?;
        }
        Ok(outcomes)
    }

    /// Deletes the documents that match the filter; returns their number.
    pub(crate) fn delete_by_filter(
        &self,
        uid: &str,
        filter: &Value,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> Result<u64, ApiError> {
        let wrong_filter = |error| ApiError::engine_filter(uid, error, "invalid_document_filter");
        let Some(filter) = Filter::from_json(filter).map_err(wrong_filter)? else { return Ok(0) };
        let snapshot = self.index.read_txn()?;
        let matching = filter.evaluate(&snapshot, &self.index).map_err(|error| {
            let is_filter = matches!(error, milli::Error::UserError(milli::UserError::InvalidFilter(_)));
            let mut error = ApiError::engine(uid, error);
            if is_filter {
                error.code = "invalid_document_filter".into();
            }
            error
        })?;
        self.delete_internal(&snapshot, matching, must_abort).map_err(|error| ApiError::engine(uid, error))
    }

    fn delete_internal(
        &self,
        snapshot: &RoTxn<'_>,
        documents: RoaringBitmap,
        must_abort: &(impl Fn() -> bool + Sync),
    ) -> milli::Result<u64> {
        let arena = Bump::new();
        let mut writer = self.index.write_txn()?;
        let deleted = documents.len();
        let Some(primary_key) = self.index.primary_key(snapshot)? else { return Ok(0) };
        let fields = self.index.fields_ids_map(snapshot)?;
        let mut new_fields = fields.clone();
        let primary_key = PrimaryKey::new_or_insert(primary_key, &mut new_fields)
            .map_err(|_| milli::UserError::AttributeLimitReached)
            .map_err(milli::Error::UserError)?;
        let mut deletion = indexer::DocumentDeletion::new();
        deletion.delete_documents_by_docids(documents);
        let changes = deletion.into_changes(&arena, primary_key);
        indexer::index(
            &mut writer,
            &self.index,
            self.workers.pool(),
            self.workers.config.grenad_parameters(),
            &fields,
            new_fields,
            None,
            &changes,
            self.embedders(snapshot)?,
            must_abort,
            &Progress::default(),
        )?;
        writer.commit()?;
        Ok(deleted)
    }

    /// Deletes every document; returns their number.
    pub(crate) fn clear(&self, uid: &str) -> Result<u64, ApiError> {
        let clear = || {
            let mut writer = self.index.write_txn()?;
            let deleted = ClearDocuments::new(&mut writer, &self.index).execute()?;
            self.index.put_documents_stats(&mut writer, DatabaseStats::default())?;
            writer.commit()?;
            Ok(deleted)
        };
        clear().map_err(|error| ApiError::engine(uid, error))
    }

    /// One document, or `None`.
    pub(crate) fn document(
        &self,
        id: &str,
        fields: Option<&[String]>,
        retrieve_vectors: bool,
    ) -> Result<Option<Value>, ApiError> {
        let snapshot = self.index.read_txn()?;
        let map = self.index.fields_ids_map(&snapshot)?;
        let Some(internal) = self.index.external_documents_ids().get(&snapshot, id)? else {
            return Ok(None);
        };
        Ok(Some(self.read_document(&snapshot, &map, internal, fields, retrieve_vectors)?))
    }

    /// A page of documents in internal order, as the answer to `POST /documents/fetch`.
    pub(crate) fn fetch(&self, uid: &str, fetch: &Fetch) -> Result<Value, ApiError> {
        let snapshot = self.index.read_txn()?;
        let map = self.index.fields_ids_map(&snapshot)?;
        let mut candidates = match &fetch.ids {
            Some(ids) => {
                let external = self.index.external_documents_ids();
                let found: Result<Vec<_>, _> = ids.iter().map(|id| external.get(&snapshot, id)).collect();
                found?.into_iter().flatten().collect()
            }
            None => self.index.documents_ids(&snapshot)?,
        };
        if let Some(filter) = &fetch.filter {
            let wrong = |error| ApiError::engine_filter(uid, error, "invalid_document_filter");
            if let Some(filter) = super::search::parse_filter(
                filter,
                "invalid_document_filter",
                self.workers.contains_filter(),
            )? {
                candidates &= filter.evaluate(&snapshot, &self.index).map_err(wrong)?;
            }
        }
        let results: Vec<Value> = candidates
            .iter()
            .skip(fetch.offset)
            .take(fetch.limit)
            .map(|id| {
                self.read_document(&snapshot, &map, id, fetch.fields.as_deref(), fetch.retrieve_vectors)
            })
            .collect::<Result<_, _>>()?;
        Ok(json!({
            "results": results,
            "offset": fetch.offset,
            "limit": fetch.limit,
            "total": candidates.len(),
        }))
    }

    fn read_document(
        &self,
        snapshot: &RoTxn<'_>,
        map: &FieldsIdsMap,
        id: DocumentId,
        fields: Option<&[String]>,
        retrieve_vectors: bool,
    ) -> Result<Value, ApiError> {
        let stored = self.index.document(snapshot, id)?;
        let mut document = milli::all_obkv_to_json(stored, map)?;
        let vectors = document.shift_remove("_vectors");
        if let Some(fields) = fields {
            let selectors: Vec<&str> = fields.iter().map(String::as_str).collect();
            document = paths::select(document, &selectors);
        }
        if retrieve_vectors {
            document.insert("_vectors".to_owned(), self.vectors(snapshot, id, vectors)?);
        }
        Ok(Value::Object(document))
    }

    /// The vectors of a document: those of known embedders from the store, others as the client sent them.
    pub(super) fn vectors(
        &self,
        snapshot: &RoTxn<'_>,
        id: DocumentId,
        stored: Option<Value>,
    ) -> Result<Value, ApiError> {
        let mut vectors = match stored {
            Some(Value::Object(vectors)) => vectors,
            _ => Map::new(),
        };
        let configs = self.index.embedding_configs(snapshot)?;
        for (name, embeddings) in self.index.embeddings(snapshot, id)? {
            let user_provided =
                configs.iter().any(|config| config.name == name && config.user_provided.contains(id));
            vectors.insert(name, json!({ "embeddings": embeddings, "regenerate": !user_provided }));
        }
        Ok(Value::Object(vectors))
    }

    /// The number of documents that each deletion removes, when the deletions are applied in order.
    fn count_existing(&self, snapshot: &RoTxn<'_>, deletions: &[Vec<&str>]) -> milli::Result<Vec<u64>> {
        let external = self.index.external_documents_ids();
        let mut gone = RoaringBitmap::new();
        let mut counts = Vec::with_capacity(deletions.len());
        for ids in deletions {
            let before = gone.len();
            for id in ids {
                gone.extend(external.get(snapshot, id)?);
            }
            counts.push(gone.len() - before);
        }
        Ok(counts)
    }
}

/// The engine accepts payloads only as memory maps.
fn map_payloads(operations: &[Operation]) -> std::io::Result<Vec<Mmap>> {
    operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Replace(payload) | Operation::Update(payload) => Some(payload),
            Operation::Delete(_) => None,
        })
        .map(|payload| {
            let mut map = MmapMut::map_anon(payload.len())?;
            (&mut map[..]).write_all(payload)?;
            map.make_read_only()
        })
        .collect()
}

fn deletions(operations: &[Operation]) -> Vec<Vec<&str>> {
    operations
        .iter()
        .filter_map(|operation| match operation {
            Operation::Delete(ids) => Some(ids.iter().map(String::as_str).collect()),
            Operation::Replace(_) | Operation::Update(_) => None,
        })
        .collect()
}
