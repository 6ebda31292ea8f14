//! Query strings: parameters with Meilisearch's names and error messages.
//!
//! Source of the messages: Meilisearch's query parameter deserialisation, 1.15 to 1.50.

use std::borrow::Cow;

use deserr::errors::helpers::did_you_mean;

use crate::api::error::{ApiError, Code};

/// The parameters of one request, in order.
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    /// Splits and decodes a query string.
    #[must_use]
    pub fn parse(query: Option<&'a str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).collect())
    }

    /// Refuses parameters that are not in `known`.
    ///
    /// # Errors
    /// 400 `bad_request`, naming the parameter and those that exist.
    pub fn only(&self, known: &[&str]) -> Result<(), ApiError> {
        let Some((name, _)) = self.0.iter().find(|(name, _)| !known.contains(&name.as_ref())) else {
            return Ok(());
        };
        let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let meant = did_you_mean(name, known);
        Err(ApiError::new(
            Code::BadRequest,
            format!("Unknown parameter `{name}`: {meant}expected one of {list}"),
        ))
    }

    /// The last value of a parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_ref())
    }

    /// All parameters.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// Reads a non-negative integer.
    ///
    /// # Errors
    /// 400 with `code`.
    pub fn integer<T: std::str::FromStr>(&self, name: &str, code: Code) -> Result<Option<T>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        match value.parse() {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(invalid(name, code, format!("could not parse `{value}` as a positive integer"))),
        }
    }

    /// Reads `true` or `false`.
    ///
    /// # Errors
    /// 400 with `code`.
    pub fn flag(&self, name: &str, code: Code) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(value) => Err(invalid(
                name,
                code,
                format!("could not parse `{value}` as a boolean, expected either `true` or `false`"),
            )),
        }
    }
}

/// The members of a comma-separated list; as on a node, empty ones do not count.
pub fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|member| !member.is_empty())
}

/// The error of a parameter, in Meilisearch's words.
#[must_use]
pub fn invalid(name: &str, code: Code, reason: impl std::fmt::Display) -> ApiError {
    ApiError::new(code, format!("Invalid value in parameter `{name}`: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_members_of_lists_do_not_count() {
        for (list, expected) in [
            ("", &[][..]),
            (",", &[]),
            ("a", &["a"]),
            ("a,,b", &["a", "b"]),
            (",a,", &["a"]),
            (" ,a", &[" ", "a"]),
        ] {
            assert_eq!(members(list).collect::<Vec<_>>(), expected, "{list}");
        }
    }

    #[test]
    fn parameters_are_decoded_and_checked() {
        let query = Query::parse(Some("limit=7&q=a%20b&flag=true&limit=8"));
        assert_eq!(query.integer::<usize>("limit", Code::InvalidTaskLimit).unwrap(), Some(8));
        assert_eq!(query.get("q"), Some("a b"));
        assert_eq!(query.flag("flag", Code::InvalidTaskReverse).unwrap(), Some(true));
        assert!(query.only(&["limit", "q", "flag"]).is_ok());
        assert_eq!(query.only(&["limit"]).unwrap_err().code(), Some(Code::BadRequest));
        for bad in ["", "-1", "1.5", "a", "+3", "99999999999999999999999"] {
            let text = format!("limit={}", bad.replace('+', "%2B"));
            let error = Query::parse(Some(&text)).integer::<usize>("limit", Code::InvalidTaskLimit);
            assert_eq!(error.unwrap_err().code(), Some(Code::InvalidTaskLimit), "{bad}");
        }
    }
}
