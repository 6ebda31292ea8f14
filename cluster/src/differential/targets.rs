//! The two targets of the comparison, a node and a cluster with the same documents.
//! Invariant: if the cluster gives no answer, the harness makes an answer that says so.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde_json::json;

use crate::differential::compare::Difference;
use crate::differential::corpus::Corpus;
use crate::differential::question::{Answer, Question};
use crate::differential::setup::Pair;
use crate::differential::tokens::Tokens;

/// Whether documents of equal rank must come in the same order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ties {
    /// In the order of their primary keys, as on one node that received them in this order.
    Strict,
    /// In any order.
    Any,
}

pub(super) struct Both<'p> {
    pub(super) pair: &'p Pair,
    pub(super) corpus: &'p Corpus,
    pub(super) ties: Ties,
    tokens: BTreeMap<&'static str, OnceCell<Tokens>>,
}

impl<'p> Both<'p> {
    pub(super) fn new(pair: &'p Pair, corpus: &'p Corpus, ties: Ties) -> Self {
        let tokens = corpus.indexes.iter().map(|index| (index.uid, OnceCell::new())).collect();
        Self { pair, corpus, ties, tokens }
    }

    pub(super) fn ask(&self, question: &Question, uid: &str) -> anyhow::Result<(Answer, Answer)> {
        let expected = self.pair.single.ask(question, uid)?;
        let silent = |error: anyhow::Error| Answer { status: 0, body: json!(format!("{error:#}")) };
        Ok((expected, self.pair.gateway.ask(question, uid).unwrap_or_else(silent)))
    }

    /// The words of an index of the corpus.
    pub(super) fn tokens(&self, index: &str) -> Option<&Tokens> {
        let documents = &self.corpus.index(index)?.documents;
        Some(self.tokens.get(index)?.get_or_init(|| Tokens::of(documents)))
    }
}

/// A difference whose cause is to be found.
pub(super) struct Case<'c> {
    pub(super) both: &'c Both<'c>,
    pub(super) question: &'c Question,
    pub(super) uid: &'c str,
    pub(super) kinds: &'c [Difference],
}
