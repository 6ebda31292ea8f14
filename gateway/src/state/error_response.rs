//! Turns an error of the protocol into a response of the wire.

use crate::{
    api::error::{ApiError, ErrorAnswer},
    wire::h1::Response,
};

impl From<ApiError> for Response {
    fn from(error: ApiError) -> Self {
        let ErrorAnswer { status, body, retry_after_seconds } = error.into_answer();
        let response = match body {
            Some(body) => Self::json(status, body),
            None => Self::empty(status),
        };
        match retry_after_seconds {
            Some(seconds) => response.with_header("retry-after", seconds.to_string()),
            None => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn an_answer_has_the_status_body_and_headers_of_its_error() {
        let overloaded = Response::from(ApiError::overloaded("too many"));
        assert_eq!(overloaded.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(overloaded.content_type, Some("application/json"));
        assert!(overloaded.body.starts_with(br#"{"message":"too many""#));
        assert_eq!(overloaded.headers, [("retry-after", "1".to_owned())]);
        let bare = Response::from(ApiError::bare(StatusCode::NOT_FOUND));
        assert_eq!((bare.status, bare.content_type), (StatusCode::NOT_FOUND, None));
        assert!(bare.body.is_empty() && bare.headers.is_empty());
    }
}
