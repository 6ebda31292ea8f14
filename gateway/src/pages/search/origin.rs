//! Origins of other sites: which are written as one, and whether a request comes from one that a page allows.

use crate::wire::h1::Request;

/// Checks that a text is an origin, so that it can stand in a policy: a scheme, a host, perhaps a port, nothing else.
/// `https://*.example.com` stands for every host below it.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(text: &str) -> Result<(), String> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = host.ok_or("an origin begins with `https://` or `http://`")?;
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("its port is no number".to_owned());
    }
    let named = host.strip_prefix("*.").unwrap_or(host);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-.[]:".contains(&byte);
    match named.is_empty() || !named.bytes().all(is_name) || named.starts_with('.') {
        true => Err("an origin is `https://HOST` or `https://HOST:PORT`, without a path".to_owned()),
        false => Ok(()),
    }
}

/// Whether the page that sends a request may: one of this gateway, or of an origin that is allowed. A program that is
/// no browser names no origin, and is held to the page's mode alone.
#[must_use]
pub(crate) fn is_allowed(request: &Request, allowed: &[String]) -> bool {
    let Some(origin) = request.header("origin") else {
        // A browser that names no origin tells at least whether it asks for another site.
        return !matches!(request.header("sec-fetch-site"), Some("cross-site" | "same-site"));
    };
    let own = origin.split_once("://").is_some_and(|(_, host)| request.header("host") == Some(host));
    own || allowed.iter().any(|allowed| matches(allowed, origin))
}

fn matches(allowed: &str, origin: &str) -> bool {
    match allowed.split_once("*.") {
        Some((scheme, domain)) => origin.strip_prefix(scheme).is_some_and(|host| {
            host.len() > domain.len() + 1
                && host.to_ascii_lowercase().ends_with(&format!(".{}", domain.to_ascii_lowercase()))
        }),
        None => allowed.eq_ignore_ascii_case(origin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_have_no_path_and_nothing_that_ends_a_policy() {
        for origin in [
            "https://a.example",
            "http://localhost:3000",
            "https://*.a.example",
            "http://127.0.0.1:80",
            "http://[::1]:80",
        ] {
            assert_eq!(check(origin), Ok(()), "{origin}");
        }
        for wrong in [
            "",
            "*",
            "https://",
            "https://*",
            "a.example",
            "ftp://a",
            "https://a/",
            "https://a b",
            "https://a;x",
            "https://a,b",
            "https://a:x",
            "https://a'",
            "https://*.",
            "null",
            "data:",
            "https://a.*.b",
            "https://u@a",
        ] {
            assert!(check(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pages_of_other_origins_need_to_be_allowed() {
        let allowed = ["https://a.example", "https://*.b.example"].map(str::to_owned);
        let check = |headers: &[(&'static str, &str)], expected: bool| {
            let mut request = Request {
                method: http::Method::GET,
                uri: "/".parse().unwrap(),
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::new(),
                upload: None,
                keep_alive: true,
                peer: Request::NO_PEER,
            };
            for (name, value) in headers {
                request.headers.insert(*name, value.parse().unwrap());
            }
            assert_eq!(is_allowed(&request, &allowed), expected, "{headers:?}");
        };
        check(&[], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "cross-site")], false);
        check(&[("sec-fetch-site", "same-site")], false);
        check(&[("host", "g:7700"), ("origin", "http://g:7700")], true);
        check(&[("host", "g:7700"), ("origin", "http://g:7701")], false);
        check(&[("host", "g"), ("origin", "https://a.example")], true);
        check(&[("host", "g"), ("origin", "http://a.example")], false);
        check(&[("host", "g"), ("origin", "https://a.example.evil")], false);
        check(&[("host", "g"), ("origin", "https://x.b.example")], true);
        check(&[("host", "g"), ("origin", "https://b.example")], false);
        check(&[("host", "g"), ("origin", "https://xb.example")], false);
        check(&[("host", "g"), ("origin", "null")], false);
    }
}
