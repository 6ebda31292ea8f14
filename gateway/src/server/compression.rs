//! Compresses responses for clients that ask for it.
//!
//! Invariant: the choice is that of a Meilisearch node: the greatest weight wins; of equal weights br comes before
//! gzip, deflate and identity; a `*` chooses nothing. Observed on 1.50.

use std::io::Write;

use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};

use crate::wire::h1::{Request, Response};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Brotli,
    Gzip,
    Deflate,
}

/// The encodings, in the order of preference.
const NAMES: [(&str, Option<Encoding>); 4] = [
    ("br", Some(Encoding::Brotli)),
    ("gzip", Some(Encoding::Gzip)),
    ("deflate", Some(Encoding::Deflate)),
    ("identity", None),
];

/// Quality and window of brotli: fast rather than small.
const BROTLI_QUALITY: u32 = 3;
const BROTLI_WINDOW: u32 = 22;

/// The response in an encoding that the request accepts.
#[must_use]
pub(crate) fn encoded(request: &Request, response: Response) -> Response {
    let Some(encoding) = request.header("accept-encoding").and_then(choose) else { return response };
    // A file of a web interface is packed already.
    if response.body.is_empty() || response.headers.iter().any(|(name, _)| *name == "content-encoding") {
        return response;
    }
    // Writing to memory does not fail; if it did, the response would be sent uncompressed.
    let Ok(body) = compressed(encoding, &response.body) else { return response };
    let name = NAMES.iter().find(|(_, known)| *known == Some(encoding)).map_or("", |(name, _)| *name);
    Response { body: body.into(), ..response }
        .with_header("content-encoding", name)
        .with_header("vary", "accept-encoding")
}

fn choose(accepted: &str) -> Option<Encoding> {
    let weight = |name: &str| {
        accepted.split(',').find_map(|part| {
            let mut parts = part.split(';').map(str::trim);
            let given = parts.next().filter(|given| given.eq_ignore_ascii_case(name));
            given.map(|_| match parts.find_map(|part| part.strip_prefix("q=")) {
                Some(weight) => weight.parse::<f32>().unwrap_or(0.0),
                None => 1.0,
            })
        })
    };
    let mut best = (0.0, None);
    for (name, encoding) in NAMES {
        let weight = weight(name).unwrap_or(0.0);
        if weight > best.0 {
            best = (weight, encoding);
        }
    }
    best.1
}

fn compressed(encoding: Encoding, body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() / 3 + 64);
    match encoding {
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(&mut out, Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()?;
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(&mut out, Compression::fast());
            encoder.write_all(body)?;
            encoder.finish()?;
        }
        Encoding::Brotli => {
            let mut encoder = brotli::CompressorWriter::new(&mut out, 4096, BROTLI_QUALITY, BROTLI_WINDOW);
            encoder.write_all(body)?;
            encoder.flush()?;
            drop(encoder);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_greatest_weight_wins() {
        let check =
            |accepted: &str, expected: Option<Encoding>| assert_eq!(choose(accepted), expected, "{accepted}");
        check("gzip", Some(Encoding::Gzip));
        check("GZIP", Some(Encoding::Gzip));
        check("gzip, br", Some(Encoding::Brotli));
        check("br;q=0.5, gzip", Some(Encoding::Gzip));
        check("deflate, gzip;q=0.8", Some(Encoding::Deflate));
        check("identity, gzip", Some(Encoding::Gzip));
        check("gzip;q=0.5, identity", None);
        check("gzip;q=0", None);
        check("gzip;q=x", None);
        for nothing in ["", "*", "zstd", "x"] {
            check(nothing, None);
        }
    }

    #[test]
    fn what_is_compressed_reads_back() {
        let body = br#"{"status":"available"}"#.repeat(1000);
        for (_, encoding) in NAMES {
            let Some(encoding) = encoding else { continue };
            let packed = compressed(encoding, &body).unwrap();
            assert!(packed.len() * 10 < body.len(), "{encoding:?}: {}", packed.len());
            let mut read = Vec::new();
            match encoding {
                Encoding::Gzip => flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut read),
                Encoding::Deflate => flate2::read::ZlibDecoder::new(&packed[..]).read_to_end(&mut read),
                Encoding::Brotli => brotli::Decompressor::new(&packed[..], 4096).read_to_end(&mut read),
            }
            .unwrap();
            assert_eq!(read, body, "{encoding:?}");
        }
    }
}
