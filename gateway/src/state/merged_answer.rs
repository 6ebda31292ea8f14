//! A merged answer on its way to the client, or to a further merge.
//!
//! Invariant: it knows which shards it lacks, however many answers it is made of.

use bytes::Bytes;
use http::StatusCode;
use router::ShardSet;

use crate::wire::h1::Response;

/// A merged answer and the shards it lacks.
#[derive(Clone)]
pub(crate) struct MergedAnswer {
    pub(crate) body: Bytes,
    pub(crate) missing: ShardSet,
}

impl MergedAnswer {
    /// Joins answers into one, which lacks what any of them lacks.
    pub(crate) fn of_parts<'m>(body: Vec<u8>, parts: impl IntoIterator<Item = &'m Self>) -> Self {
        let missing = parts.into_iter().map(|part| &part.missing);
        Self {
            body: body.into(),
            missing: missing.fold(ShardSet::default(), |all, missing| all.union(missing)),
        }
    }

    /// The response, with a header that names the missing shards.
    pub(crate) fn into_response(self) -> Response {
        let response = Response::json(StatusCode::OK, self.body);
        if self.missing.is_empty() {
            return response;
        }
        response.with_header("x-miroir-degraded", format!("shards={}", named(&self.missing)))
    }
}

/// Lists shards for messages and headers.
pub(crate) fn named(shards: &ShardSet) -> String {
    shards.iter().map(|shard| shard.to_string()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_shards_of_all_parts_are_named() {
        let part =
            |shards: &[u32]| MergedAnswer { body: Bytes::new(), missing: shards.iter().copied().collect() };
        let headers =
            |parts: &[MergedAnswer]| MergedAnswer::of_parts(Vec::new(), parts).into_response().headers;
        assert!(headers(&[part(&[]), part(&[])]).is_empty());
        let expected = vec![("x-miroir-degraded", "shards=2,3,10".to_owned())];
        assert_eq!(headers(&[part(&[3, 10]), part(&[]), part(&[2, 3])]), expected);
    }
}
