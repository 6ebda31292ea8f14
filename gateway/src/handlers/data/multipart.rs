//! The body of an upload piece by piece: as it is, or the first file of a form.
//!
//! Invariants: a body that was cut is an error. What follows the first file of a form is dropped.

use std::io;

use bytes::Bytes;
use futures_util::stream;
use multer::{Field, Multipart};
use tokio::sync::mpsc::Receiver;

use crate::{
    api::error::{ApiError, Code},
    wire::h1::Request,
};

/// A body that is being read.
pub(super) enum Body {
    /// The whole of it has come already.
    Whole(Bytes),
    Pieces(Receiver<Bytes>),
    /// A form, of which nothing was read.
    Form(Box<Multipart<'static>>),
    Field(Box<Field<'static>>),
    Ended,
}

impl Body {
    /// The body of a request.
    ///
    /// # Errors
    /// 400 for a form without a boundary.
    pub(super) fn of(request: &Request) -> Result<Self, ApiError> {
        let pieces = request.upload.as_ref().and_then(|upload| upload.take());
        let content_type = request.header("content-type").unwrap_or_default();
        let is_form = content_type.trim_start().to_ascii_lowercase().starts_with("multipart/");
        Ok(match (is_form, pieces) {
            (false, Some(pieces)) => Self::Pieces(pieces),
            (false, None) => Self::Whole(request.body.clone()),
            (true, Some(pieces)) => {
                let pieces = stream::try_unfold(pieces, following);
                Self::Form(Box::new(Multipart::new(pieces, boundary(content_type)?)))
            }
            (true, None) => {
                let whole = stream::iter([Ok::<_, io::Error>(request.body.clone())]);
                Self::Form(Box::new(Multipart::new(whole, boundary(content_type)?)))
            }
        })
    }

    /// The next piece; `None` after the last.
    ///
    /// # Errors
    /// 400 for a body that was cut, or a form that is none.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            match std::mem::replace(self, Self::Ended) {
                Self::Ended => return Ok(None),
                Self::Whole(body) => return Ok(Some(body)),
                Self::Pieces(pieces) => {
                    let next = following(pieces).await.map_err(|error| malformed(&error.to_string()))?;
                    return Ok(next.map(|(piece, pieces)| {
                        *self = Self::Pieces(pieces);
                        piece
                    }));
                }
                Self::Form(mut form) => {
                    let field = form.next_field().await.map_err(|error| malformed(&error.to_string()))?;
                    *self = Self::Field(Box::new(field.ok_or_else(|| malformed("the form has no file"))?));
                }
                Self::Field(mut field) => {
                    let piece = field.chunk().await.map_err(|error| malformed(&error.to_string()))?;
                    if piece.is_some() {
                        *self = Self::Field(field);
                    }
                    return Ok(piece);
                }
            }
        }
    }
}

/// The next piece of an upload with what follows; `None` after the empty piece that ends it.
async fn following(mut pieces: Receiver<Bytes>) -> io::Result<Option<(Bytes, Receiver<Bytes>)>> {
    match pieces.recv().await {
        Some(piece) if piece.is_empty() => Ok(None),
        Some(piece) => Ok(Some((piece, pieces))),
        None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ends too early")),
    }
}

fn boundary(content_type: &str) -> Result<String, ApiError> {
    multer::parse_boundary(content_type).map_err(|error| malformed(&error.to_string()))
}

fn malformed(reason: &str) -> ApiError {
    ApiError::new(Code::BadRequest, format!("The body cannot be read: {reason}."))
}

#[cfg(test)]
mod tests {
    use futures_lite::future::block_on;
    use http::{HeaderMap, Method};
    use tokio::sync::mpsc;

    use super::*;
    use crate::wire::h1::Pieces;

    /// What is read of a body that comes in these pieces; without an end it was cut.
    fn read(content_type: &str, pieces: &[&str], has_end: bool) -> Result<String, String> {
        let (sender, receiver) = mpsc::channel(64);
        for piece in pieces {
            sender.try_send(Bytes::copy_from_slice(piece.as_bytes())).unwrap();
        }
        if has_end {
            sender.try_send(Bytes::new()).unwrap();
        }
        drop(sender);
        let mut headers = HeaderMap::new();
        headers.insert("content-type", content_type.parse().unwrap());
        let request = Request {
            method: Method::POST,
            uri: "/".parse().unwrap(),
            headers,
            body: Bytes::new(),
            keep_alive: true,
            peer: Request::NO_PEER,
            upload: Some(Pieces::new(receiver)),
        };
        block_on(async {
            let mut body = Body::of(&request)?;
            let mut text = String::new();
            while let Some(piece) = body.next().await? {
                text.push_str(std::str::from_utf8(&piece).unwrap());
            }
            Ok(text)
        })
        .map_err(|error: ApiError| error.into_task_error().message)
    }

    #[test]
    fn a_body_is_read_as_it_is_or_as_the_file_of_a_form() {
        assert_eq!(read("application/gzip", &["ab", "c"], true).unwrap(), "abc");
        assert_eq!(read("application/gzip", &[], true).unwrap(), "");
        let form = [
            "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.dump\"\r\n\r\nab",
            "c\r\n--x",
            "yz--\r\n",
        ];
        assert_eq!(read("multipart/form-data; boundary=xyz", &form, true).unwrap(), "abc");
    }

    #[test]
    fn a_body_that_is_cut_or_no_form_is_refused() {
        let check = |content_type: &str, pieces: &[&str], has_end: bool| {
            let error = read(content_type, pieces, has_end).unwrap_err();
            assert!(error.starts_with("The body cannot be read:"), "{error}");
        };
        check("application/gzip", &["ab"], false);
        check("multipart/form-data", &["ab"], true);
        check("multipart/form-data; boundary=xyz", &["--xyz--\r\n"], true);
        check("multipart/form-data; boundary=xyz", &["no form at all"], true);
        check(
            "multipart/form-data; boundary=xyz",
            &["--xyz\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nab"],
            false,
        );
    }
}
