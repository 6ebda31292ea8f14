//! Requests of browsers from pages of other origins: all are allowed, as in Meilisearch.
//!
//! Invariants: a preflight needs no key and is answered whatever its path. It allows what it asks for. Source:
//! observed on Meilisearch 1.50.

use http::{Method, StatusCode};

use crate::wire::h1::{Request, Response};

const METHODS: &str = "GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, CONNECT, TRACE";
/// For how many seconds a browser may remember the answer.
const MAX_AGE: &str = "86400";

/// The response to a preflight; `None` for any other request.
#[must_use]
pub(crate) fn preflight(request: &Request) -> Option<Response> {
    if request.method != Method::OPTIONS {
        return None;
    }
    let method = request.header("access-control-request-method")?.parse::<Method>().ok()?;
    if !METHODS.split(", ").any(|known| known == method.as_str()) {
        let mut refusal = Response::empty(StatusCode::BAD_REQUEST);
        refusal.body = "Requested method is not allowed".into();
        return Some(refusal);
    }
    let mut answer = Response::empty(StatusCode::OK)
        .with_header("access-control-allow-methods", METHODS)
        .with_header("access-control-max-age", MAX_AGE);
    if let Some(headers) = request.header("access-control-request-headers") {
        answer = answer.with_header("access-control-allow-headers", headers);
    }
    Some(answer.with_header("access-control-allow-origin", "*"))
}

/// Lets a page of another origin read the response, when such a page asks.
#[must_use]
pub(crate) fn readable(request: &Request, answer: Response) -> Response {
    match request.headers.contains_key("origin") {
        true => answer.with_header("access-control-allow-origin", "*"),
        false => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preflights_allow_what_they_ask_for() {
        let check = |method: &str, headers: &[(&'static str, &str)], expected: Option<(u16, Vec<&str>)>| {
            let mut request = Request {
                method: method.parse().unwrap(),
                uri: "/indexes".parse().unwrap(),
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::new(),
                upload: None,
                keep_alive: true,
                peer: Request::NO_PEER,
            };
            for (name, value) in headers {
                request.headers.insert(*name, value.parse().unwrap());
            }
            let answer = preflight(&request);
            let shown = answer.as_ref().map(|answer| {
                let values = answer.headers.iter().map(|(_, value)| value.as_str());
                (answer.status.as_u16(), values.collect::<Vec<_>>())
            });
            assert_eq!(shown, expected, "{method} {headers:?}");
        };
        let asked = "access-control-request-method";
        check("GET", &[(asked, "GET")], None);
        check("OPTIONS", &[], None);
        check("OPTIONS", &[("origin", "http://a.b")], None);
        check("OPTIONS", &[(asked, "BLA(H")], None);
        check("OPTIONS", &[(asked, "FOO")], Some((400, vec![])));
        check("OPTIONS", &[(asked, "PATCH")], Some((200, vec![METHODS, MAX_AGE, "*"])));
        check(
            "OPTIONS",
            &[("origin", "http://a.b"), (asked, "PUT"), ("access-control-request-headers", "x-a, x-b")],
            Some((200, vec![METHODS, MAX_AGE, "x-a, x-b", "*"])),
        );
    }
}
