//! Files of the built interfaces, as the build script packed them into the binary.
//!
//! Invariants: a file is compressed once, when the gateway is built. A file whose name carries a hash of its contents
//! never changes, and browsers may keep it; every other one is asked about again, and answered 304 while it is the same.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::StatusCode;

use crate::{
    api::error::ApiError,
    wire::h1::{Request, Response},
};

/// One file.
#[derive(Debug)]
pub(crate) struct Asset {
    /// `APP/NAME`, as it lies in `gateway/web/dist`.
    name: &'static str,
    /// Its entity tag, with quotes.
    tag: &'static str,
    /// Bytes before compression.
    length: usize,
    /// Compressed as gzip.
    packed: &'static [u8],
}

/// Every file, by name.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// What a browser may do with a file whose name carries a hash.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// What it may do with any other: keep it, and ask whether it is still the same.
const REVALIDATED: &str = "no-cache";

/// Media types by the ends of names.
const MEDIA_TYPES: [(&str, &str); 7] = [
    (".html", "text/html; charset=utf-8"),
    (".js", "text/javascript; charset=utf-8"),
    (".css", "text/css; charset=utf-8"),
    (".json", "application/json"),
    (".svg", "image/svg+xml"),
    (".png", "image/png"),
    (".woff2", "font/woff2"),
];

/// The file with this name, which is a whole name of a file and never a path into anything else.
#[must_use]
pub(crate) fn find(app: &str, file: &str) -> Option<&'static Asset> {
    let at = |asset: &Asset| asset.name.split_once('/').is_some_and(|name| name == (app, file));
    ASSETS.iter().find(|asset| at(asset))
}

/// `GET /ui/assets/{app}/{file}`.
///
/// # Errors
/// 404 where there is no such file.
pub(crate) fn serve(request: &Request, app: &str, file: &str) -> Result<Response, ApiError> {
    let asset = find(app, file).ok_or_else(|| ApiError::bare(StatusCode::NOT_FOUND))?;
    Ok(asset.response(request))
}

impl Asset {
    /// The file as a response: as it is packed where the client takes gzip, and without a body where it has it.
    pub(crate) fn response(&self, request: &Request) -> Response {
        let known = request.header("if-none-match").is_some_and(|tags| names_tag(tags, self.tag));
        let mut response = match (known, takes_gzip(request)) {
            (true, _) => Response::empty(StatusCode::NOT_MODIFIED),
            (false, true) => {
                let mut response = Response::empty(StatusCode::OK).with_header("content-encoding", "gzip");
                response.body = Bytes::from_static(self.packed);
                response
            }
            (false, false) => {
                let mut response = Response::empty(StatusCode::OK);
                response.body = self.contents().into();
                response
            }
        };
        response.content_type = Some(self.media_type());
        response
            .with_header("etag", self.tag)
            .with_header("cache-control", if self.is_hashed() { IMMUTABLE } else { REVALIDATED })
            .with_header("vary", "accept-encoding")
            .with_header("x-content-type-options", "nosniff")
    }

    /// The file's bytes.
    pub(crate) fn contents(&self) -> Vec<u8> {
        let mut contents = Vec::with_capacity(self.length);
        // The build script has packed these bytes, and reading from memory does not fail.
        let _ = GzDecoder::new(self.packed).read_to_end(&mut contents);
        contents
    }

    fn media_type(&self) -> &'static str {
        let known = MEDIA_TYPES.iter().find(|(end, _)| self.name.ends_with(end));
        known.map_or("application/octet-stream", |(_, media_type)| media_type)
    }

    /// Whether the name ends in a hash, as `app-D3adB33f.js` does.
    fn is_hashed(&self) -> bool {
        let stem = self.name.rsplit_once('.').map_or(self.name, |(stem, _)| stem);
        stem.rsplit_once('-').is_some_and(|(_, hash)| hash.len() == 8)
    }
}

/// Whether an `If-None-Match` names the tag, weak or strong.
fn names_tag(tags: &str, tag: &str) -> bool {
    tags.split(',').map(|one| one.trim()).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

fn takes_gzip(request: &Request) -> bool {
    let accepted = request.header("accept-encoding").unwrap_or_default().to_ascii_lowercase();
    accepted.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        name.trim() == "gzip" && !matches!(weight.trim(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes that a whole interface may have, compressed; see `docs/interfaces.md`.
    const INTERFACE_BYTES_MAX: [(&str, usize); 2] = [("search/", 60 << 10), ("console/", 100 << 10)];

    fn request(headers: &[(&'static str, &str)]) -> Request {
        let mut request = Request {
            method: http::Method::GET,
            uri: "/".parse().unwrap(),
            headers: http::HeaderMap::new(),
            body: Bytes::new(),
            upload: None,
            keep_alive: true,
            peer: Request::NO_PEER,
        };
        for (name, value) in headers {
            request.headers.insert(*name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn every_file_is_whole_and_has_a_media_type() {
        assert!(!ASSETS.is_empty());
        for asset in ASSETS {
            assert_eq!(asset.contents().len(), asset.length, "{}", asset.name);
            assert_ne!(asset.media_type(), "application/octet-stream", "{}", asset.name);
            let (app, file) = asset.name.split_once('/').unwrap();
            assert_eq!(find(app, file).unwrap().name, asset.name);
        }
    }

    #[test]
    fn interfaces_are_small() {
        for (app, most) in INTERFACE_BYTES_MAX {
            let of_app = ASSETS.iter().filter(|asset| asset.name.starts_with(app));
            let bytes = of_app.map(|asset| asset.packed.len()).sum::<usize>();
            assert!(bytes <= most, "{app} has {bytes} bytes");
        }
    }

    #[test]
    fn no_file_has_inline_script_or_another_host() {
        for asset in ASSETS {
            let text = String::from_utf8(asset.contents()).unwrap();
            let hosts =
                text.split("://").skip(1).map(|rest| rest.split(['/', '"', '`', '\\']).next().unwrap());
            // Names of XML vocabularies, this machine and examples are no hosts that are asked.
            let is_harmless =
                |host: &str| ["www.w3.org", "example.com"].contains(&host) || host.starts_with("127.0.0.1");
            let strange = hosts.filter(|host| !is_harmless(host)).collect::<Vec<_>>();
            assert_eq!(strange, [""; 0], "{}", asset.name);
            if asset.name.ends_with(".html") {
                for script in text.split("<script").skip(1) {
                    assert!(script.split('>').next().unwrap().contains("src="), "{}", asset.name);
                }
                assert!(!text.contains(" style=") && !text.contains("<style"), "{}", asset.name);
            }
        }
    }

    #[test]
    fn unknown_names_are_not_found() {
        for (app, file) in [("search", ""), ("search", "../Cargo.toml"), ("", "search"), ("x", "index.html")]
        {
            assert!(find(app, file).is_none(), "{app} {file}");
        }
    }

    #[test]
    fn files_are_sent_packed_and_once() {
        let asset = ASSETS.iter().find(|asset| asset.name.ends_with(".html")).unwrap();
        let packed = asset.response(&request(&[("accept-encoding", "br, gzip")]));
        assert_eq!((packed.status, &packed.body[..]), (StatusCode::OK, asset.packed));
        for refused in ["", "br", "gzip;q=0"] {
            let plain = asset.response(&request(&[("accept-encoding", refused)]));
            assert_eq!(plain.body.len(), asset.length, "{refused}");
        }
        for tags in [asset.tag, "*", &format!("W/{}", asset.tag), &format!("\"x\", {}", asset.tag)] {
            let same = asset.response(&request(&[("if-none-match", tags)]));
            assert_eq!((same.status, same.body.len()), (StatusCode::NOT_MODIFIED, 0), "{tags}");
        }
        assert_eq!(asset.response(&request(&[("if-none-match", "\"x\"")])).status, StatusCode::OK);
    }
}
