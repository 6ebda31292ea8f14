//! One Meilisearch index on the real engine.
//! Invariants: the engine decides, this module translates. There is one writer at a time (the scheduler) and any number
//! of readers, each on its own snapshot. An index is a directory of its own, named by a random id.

mod documents;
mod facets;
mod federation;
mod format;
mod hits;
mod locales;
mod paths;
mod search;
mod settings;
mod settings_view;
mod similar;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milli::heed::{CompactionOption, EnvOpenOptions, RoTxn};
use milli::prompt::Prompt;
use milli::update::IndexerConfig;
use milli::vector::{Embedder, EmbeddingConfigs};
use milli::{Index, ThreadPoolNoAbort, ThreadPoolNoAbortBuilder};
use serde_json::{Value, json};

use crate::errors::ApiError;
use crate::tasks::time_text;

pub(crate) use documents::{Fetch, Operation};
pub(crate) use facets::FacetSearchQuery;
pub(crate) use federation::{FederatedQuery, merge};
pub(crate) use search::{SearchQuery, parse_filter};
pub(crate) use settings::{NewSettings, SETTING_NAMES};
pub(crate) use settings_view::setting_details;
pub(crate) use similar::SimilarQuery;

/// Bytes of address space per index, which bounds its size on disk. 64 TiB of addresses have room for 4096 indexes.
const MAP_BYTES: usize = 16 << 30;
/// LMDB's default of 126 is less than a busy node's concurrent reads.
const READERS_MAX: u32 = 1024;

/// What all indexes of a node share: the indexing threads and the write options.
#[derive(Debug)]
pub(crate) struct Workers {
    config: IndexerConfig,
    sync: bool,
    contains_filter: AtomicBool,
}

impl Workers {
    /// Makes `threads` indexing threads. With `sync` off, a crash of the machine may lose acknowledged writes.
    pub(crate) fn new(threads: usize, sync: bool) -> Result<Self, ApiError> {
        let pool = ThreadPoolNoAbortBuilder::new()
            .thread_name(|position| format!("indexing-{position}"))
            .num_threads(threads)
            .build()
            .map_err(|error| ApiError::new("internal", error.to_string()))?;
        Ok(Self {
            config: IndexerConfig { thread_pool: Some(pool), ..IndexerConfig::default() },
            sync,
            contains_filter: AtomicBool::new(false),
        })
    }

    /// Whether filters may use `CONTAINS`, an experimental feature.
    pub(crate) fn contains_filter(&self) -> bool {
        self.contains_filter.load(Ordering::Relaxed)
    }

    /// Switches `CONTAINS` on or off.
    pub(crate) fn allow_contains_filter(&self, allowed: bool) {
        self.contains_filter.store(allowed, Ordering::Relaxed);
    }

    fn pool(&self) -> &ThreadPoolNoAbort {
        self.config.thread_pool.as_ref().expect("set when the workers were made")
    }
}

/// An open index.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) index: Index,
    workers: Arc<Workers>,
}

impl Engine {
    /// Opens the index in `directory`, or creates it.
    pub(crate) fn open(directory: &Path, workers: Arc<Workers>) -> Result<Self, ApiError> {
        std::fs::create_dir_all(directory)?;
        let mut options = EnvOpenOptions::new().read_txn_without_tls();
        options.map_size(MAP_BYTES).max_readers(READERS_MAX);
        if !workers.sync {
            forgo_sync(&mut options);
        }
        let index = Index::new(options, directory, true).map_err(ApiError::from)?;
        Ok(Self { index, workers })
    }

    /// `GET /indexes/{uid}` and each entry of the list.
    pub(crate) fn view(&self, uid: &str) -> Result<Value, ApiError> {
        let snapshot = self.index.read_txn()?;
        Ok(json!({
            "uid": uid,
            "createdAt": time_text(self.index.created_at(&snapshot)?),
            "updatedAt": time_text(self.index.updated_at(&snapshot)?),
            "primaryKey": self.index.primary_key(&snapshot)?,
        }))
    }

    /// `GET /indexes/{uid}/stats`, without the parts that only the scheduler knows.
    pub(crate) fn stats(&self, is_indexing: bool) -> Result<Value, ApiError> {
        let snapshot = self.index.read_txn()?;
        let documents = self.index.documents_stats(&snapshot)?.unwrap_or_default();
        let vectors = self.index.arroy_stats(&snapshot)?;
        Ok(json!({
            "numberOfDocuments": self.index.number_of_documents(&snapshot)?,
            "rawDocumentDbSize": documents.total_size(),
            "avgDocumentSize": documents.average_value_size(),
            "isIndexing": is_indexing,
            "numberOfEmbeddings": vectors.number_of_embeddings,
            "numberOfEmbeddedDocuments": vectors.documents.len(),
            "fieldDistribution": self.index.field_distribution(&snapshot)?,
        }))
    }

    /// Bytes on disk, and how many of them are in use.
    pub(crate) fn sizes(&self) -> Result<(u64, u64), ApiError> {
        Ok((self.index.on_disk_size()?, self.index.used_size()?))
    }

    /// Writes a compact copy of the index into a new directory.
    pub(crate) fn copy_compacted(&self, directory: &Path) -> Result<(), ApiError> {
        std::fs::create_dir_all(directory)?;
        let copy = self.index.copy_to_path(directory.join("data.mdb"), CompactionOption::Enabled);
        copy.map_err(ApiError::from)?.sync_all()?;
        Ok(())
    }

    /// When the index last changed, RFC 3339.
    pub(crate) fn updated_at(&self) -> Result<time::OffsetDateTime, ApiError> {
        let snapshot = self.index.read_txn()?;
        Ok(self.index.updated_at(&snapshot)?)
    }

    fn embedders(&self, snapshot: &RoTxn<'_>) -> milli::Result<EmbeddingConfigs> {
        let mut embedders = HashMap::new();
        for named in self.index.embedding_configs(snapshot)? {
            let quantized = named.config.quantized();
            let prompt = Prompt::try_from(named.config.prompt)
                .map_err(|error| milli::Error::UserError(milli::UserError::InvalidPrompt(error)))?;
            let embedder =
                Embedder::new(named.config.embedder_options, 0).map_err(milli::vector::Error::from)?;
            embedders.insert(named.name, (Arc::new(embedder), Arc::new(prompt), quantized));
        }
        Ok(EmbeddingConfigs::new(embedders))
    }
}

#[allow(unsafe_code, reason = "heed offers LMDB's flags through an unsafe function only")]
fn forgo_sync(options: &mut EnvOpenOptions<milli::heed::WithoutTls>) {
    use milli::heed::EnvFlags;
    // SAFETY: both flags only weaken durability against a crash of the machine, as the caller requested; neither admits
    // a second writer nor disables LMDB's checks.
    unsafe { options.flags(EnvFlags::NO_SYNC | EnvFlags::NO_META_SYNC) };
}
