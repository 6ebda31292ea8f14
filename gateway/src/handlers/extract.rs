//! Extractors: what every handler needs of a request before its own work.
//!
//! Invariants: bodies are decoded up to the body limit, never beyond it. Content types and index uids are checked
//! here only, in Meilisearch's words.

use std::io::Read;

use bytes::Bytes;
use flate2::read::{GzDecoder, ZlibDecoder};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    api::{
        error::{ApiError, Code},
        http::json_depth::is_within,
        reserved_fields::conceal,
    },
    config::limits::DEPTH_MAX,
    state::core::Core,
    wire::h1::Request,
};

/// A JSON body, with its content type checked and its encoding undone.
///
/// # Errors
/// 415 for the content type, 400 or 413 for the encoding.
pub(crate) fn json_body(core: &Core, request: &Request) -> Result<Bytes, ApiError> {
    if !request.header("content-type").is_some_and(is_json) {
        content_type(request, &["application/json"])?;
    }
    let body = decoded_body(core, request)?;
    let depth_max = core.edge().json_depth_max;
    // What is deeper than any reader goes is refused by the reader, in its words.
    if depth_max < DEPTH_MAX && !is_within(&body, depth_max) {
        let message = format!("The JSON body is nested deeper than the limit of {depth_max} levels.");
        return Err(ApiError::new(Code::BadRequest, message).because("json_too_deep"));
    }
    Ok(body)
}

/// The members of a JSON body; a list of their values in order, which serde would take for them, is refused.
///
/// # Errors
/// 400 that names what is wrong.
pub(crate) fn members<Body: DeserializeOwned>(request: &Request) -> Result<Body, ApiError> {
    let members = serde_json::from_slice::<Map<String, Value>>(&request.body);
    let body = members.and_then(|members| serde_json::from_value(Value::Object(members)));
    body.map_err(|error| ApiError::new(Code::BadRequest, error.to_string()))
}

/// Whether a media type means JSON, as nodes take it for all bodies but documents: `…/json` and `…/…+json`.
fn is_json(content_type: &str) -> bool {
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.split_once('/').is_some_and(|(kind, subtype)| {
        let subtype = subtype.strip_suffix("+json").or_else(|| (subtype == "json").then_some("json"));
        let is_token = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        is_token(kind) && subtype.is_some_and(is_token)
    })
}

/// The JSON body of a question about documents; reserved names in it are replaced by names that nothing has.
///
/// # Errors
/// Those of [`json_body`].
pub(crate) fn question(core: &Core, request: &Request) -> Result<Bytes, ApiError> {
    json_body(core, request).map(conceal)
}

/// The media type of the body, in lower case; it must be one of `allowed`.
///
/// # Errors
/// 415 `missing_content_type` or `invalid_content_type`.
pub(crate) fn content_type<'a>(request: &Request, allowed: &[&'a str]) -> Result<&'a str, ApiError> {
    let accepted = || allowed.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let Some(given) = request.header("content-type") else {
        return Err(ApiError::new(
            Code::MissingContentType,
            format!(
                "A Content-Type header is missing. Accepted values for the Content-Type header are: {}",
                accepted()
            ),
        ));
    };
    let media_type = given.split(';').next().unwrap_or_default().trim();
    match allowed.iter().find(|name| media_type.eq_ignore_ascii_case(name)) {
        Some(name) => Ok(name),
        None => Err(ApiError::new(
            Code::InvalidContentType,
            format!(
                "The Content-Type `{media_type}` is invalid. Accepted values for the Content-Type header are: {}",
                accepted()
            ),
        )),
    }
}

/// The body with its `Content-Encoding` undone.
///
/// # Errors
/// 413 over the limit, 415 for an unknown encoding, 400 for a broken one.
pub(crate) fn decoded_body(core: &Core, request: &Request) -> Result<Bytes, ApiError> {
    let limit = core.edge().body_bytes_max;
    let encoding = request.header("content-encoding").map(str::trim).unwrap_or_default();
    match encoding.to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(request.body.clone()),
        "gzip" | "x-gzip" => inflate(GzDecoder::new(&request.body[..]), limit),
        "deflate" => inflate(ZlibDecoder::new(&request.body[..]), limit),
        "br" => inflate(brotli_decompressor::Decompressor::new(&request.body[..], 4096), limit),
        _ => Err(ApiError::new(
            Code::UnsupportedMediaType,
            format!(
                "The Content-Encoding `{encoding}` is invalid. Accepted values for the Content-Encoding header are: `gzip`, `deflate`, `br`"
            ),
        )),
    }
}

fn inflate(decoder: impl Read, limit: usize) -> Result<Bytes, ApiError> {
    let mut body = Vec::new();
    let read = decoder.take(limit as u64 + 1).read_to_end(&mut body);
    match read {
        Ok(_) if body.len() > limit => Err(ApiError::new(
            Code::PayloadTooLarge,
            format!(
                "The provided payload reached the size limit. The maximum accepted payload size is {limit} bytes."
            ),
        )
        .because("body_too_large")),
        Ok(_) => Ok(body.into()),
        Err(error) => Err(ApiError::new(
            Code::BadRequest,
            format!("The body does not follow its Content-Encoding: {error}."),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn media_types_of_json_are_known() {
        let known =
            ["application/json", "text/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"];
        for content_type in known {
            assert!(is_json(content_type), "{content_type}");
        }
        for other in
            ["", "json", "text/plain", "application/", "application/+json", "application/x-ndjson", "/json"]
        {
            assert!(!is_json(other), "{other}");
        }
    }

    #[test]
    fn compressed_bodies_are_bounded() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&vec![b'a'; 100_000]).unwrap();
        let packed = encoder.finish().unwrap();
        assert_eq!(inflate(GzDecoder::new(&packed[..]), 100_000).unwrap().len(), 100_000);
        let code = |result: Result<Bytes, ApiError>| result.unwrap_err().code();
        assert_eq!(code(inflate(GzDecoder::new(&packed[..]), 99_999)), Some(Code::PayloadTooLarge));
        assert_eq!(code(inflate(GzDecoder::new(&packed[..50]), 100_000)), Some(Code::BadRequest));
    }
}
