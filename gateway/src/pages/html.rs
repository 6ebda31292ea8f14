//! What every page has in common: escaping, and the headers that keep a page to itself.

use http::StatusCode;

use crate::wire::h1::Response;

/// A text as it may stand in HTML, inside an element or between the quotes of an attribute.
#[must_use]
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// What a page may load and who may show it in a frame.
#[derive(Debug, Default)]
pub(crate) struct Policy<'a> {
    /// Origins, beside this one, that images come from.
    pub(crate) images: &'a [String],
    /// Origins, beside this one, whose pages may frame it; `None`: none may, not even this one.
    pub(crate) framed_by: Option<&'a [String]>,
}

impl Policy<'_> {
    /// The value of `Content-Security-Policy`.
    #[must_use]
    pub(crate) fn header(&self) -> String {
        let listed =
            |origins: &[String]| origins.iter().map(|origin| format!(" {origin}")).collect::<String>();
        let framed_by = self
            .framed_by
            .map_or_else(|| "'none'".to_owned(), |origins| format!("'self'{}", listed(origins)));
        format!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:{}; connect-src 'self'; \
             manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors {framed_by}",
            listed(self.images)
        )
    }
}

/// A page.
#[must_use]
pub(crate) fn page(status: StatusCode, html: String, policy: &Policy<'_>) -> Response {
    let mut response = Response::empty(status);
    response.content_type = Some("text/html; charset=utf-8");
    response.body = html.into();
    let response = response
        .with_header("content-security-policy", policy.header())
        .with_header("cache-control", "no-cache")
        .with_header("referrer-policy", "same-origin")
        .with_header("x-content-type-options", "nosniff")
        .with_header("cross-origin-opener-policy", "same-origin");
    match policy.framed_by {
        // For browsers that do not know `frame-ancestors`.
        None => response.with_header("x-frame-options", "DENY"),
        Some([]) => response.with_header("x-frame-options", "SAMEORIGIN"),
        Some(_) => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_escaped() {
        let check = |text: &str, expected: &str| assert_eq!(escaped(text), expected);
        check("plain é", "plain é");
        check("<img src=x onerror='a'>", "&lt;img src=x onerror=&#39;a&#39;&gt;");
        check("\"&amp;", "&quot;&amp;amp;");
    }

    #[test]
    fn a_page_is_framed_by_whom_it_allows() {
        let check = |framed_by: Option<&[String]>, policy: &str, older: Option<&str>| {
            let response = page(StatusCode::OK, String::new(), &Policy { images: &[], framed_by });
            let header = |wanted: &str| response.headers.iter().find(|(name, _)| *name == wanted);
            let csp = header("content-security-policy").unwrap();
            assert!(csp.1.ends_with(policy) && csp.1.contains("script-src 'self';"), "{csp:?}");
            assert_eq!(header("x-frame-options").map(|(_, value)| value.as_str()), older);
        };
        check(None, "frame-ancestors 'none'", Some("DENY"));
        check(Some(&[]), "frame-ancestors 'self'", Some("SAMEORIGIN"));
        check(Some(&["https://a.b".to_owned()]), "frame-ancestors 'self' https://a.b", None);
    }
}
