//! Bodies that change a part of something: members that are set, reset or left alone, and the errors of wrong ones.
//!
//! Invariant: the texts are Meilisearch's, since the same library makes them. The code of an error follows from the
//! place that it is about.

use std::{convert::Infallible, marker::PhantomData, ops::ControlFlow};

use deserr::{
    DeserializeError, Deserr, ErrorKind, IntoValue, MergeWithError, ValueKind, ValuePointerRef,
    errors::JsonError, take_cf_content,
};

use crate::api::error::{ApiError, Code};

/// A missing member changes nothing; `null` resets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Setting<T> {
    #[default]
    Keep,
    Reset,
    Set(T),
}

/// Maps the place of an error in a body to its code.
pub trait Places {
    /// The code for a path of members, from the outside in.
    fn code_at(path: &[&str]) -> Code;

    /// The code of a member that can be read but not changed.
    fn immutable(field: &str) -> Option<Code> {
        let _ = field;
        None
    }
}

/// An error with the code of its place.
#[derive(Debug)]
pub struct BodyError<P> {
    code: Code,
    message: String,
    places: PhantomData<P>,
}

impl<T> Setting<T> {
    /// The value after this change.
    pub fn or(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Reset => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<P, T: Deserr<BodyError<P>>> Deserr<BodyError<P>> for Setting<T>
where
    P: Places,
{
    fn deserialize_from_value<V: IntoValue>(
        value: deserr::Value<V>,
        location: ValuePointerRef<'_>,
    ) -> Result<Self, BodyError<P>> {
        match value.kind() == ValueKind::Null {
            true => Ok(Self::Reset),
            false => T::deserialize_from_value(value, location).map(Self::Set),
        }
    }
}

/// The error of an unknown or immutable member.
pub fn immutable_or_unknown<P: Places>(
    field: &str,
    accepted: &[&str],
    location: ValuePointerRef<'_>,
) -> BodyError<P> {
    let Some(code) = P::immutable(field) else {
        let kind = ErrorKind::UnknownKey { key: field, accepted };
        return take_cf_content(BodyError::error::<Infallible>(None, kind, location));
    };
    let listed = accepted.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let message = format!("Immutable field `{field}`: expected one of {listed}");
    BodyError { code, message, places: PhantomData }
}

impl<P: Places> DeserializeError for BodyError<P> {
    fn error<V: IntoValue>(
        _previous: Option<Self>,
        error: ErrorKind<'_, V>,
        location: ValuePointerRef<'_>,
    ) -> ControlFlow<Self, Self> {
        let mut path = Vec::new();
        push_path(location, &mut path);
        let message = take_cf_content(JsonError::error(None, error, location)).to_string();
        ControlFlow::Break(Self { code: P::code_at(&path), message, places: PhantomData })
    }
}

fn push_path<'a>(location: ValuePointerRef<'a>, path: &mut Vec<&'a str>) {
    match location {
        ValuePointerRef::Origin => {}
        ValuePointerRef::Key { key, prev } => {
            push_path(*prev, path);
            path.push(key);
        }
        ValuePointerRef::Index { prev, .. } => push_path(*prev, path),
    }
}

impl<P> MergeWithError<BodyError<P>> for BodyError<P> {
    fn merge(_: Option<Self>, other: Self, _: ValuePointerRef<'_>) -> ControlFlow<Self, Self> {
        ControlFlow::Break(other)
    }
}

impl<P> From<BodyError<P>> for ApiError {
    fn from(error: BodyError<P>) -> Self {
        Self::new(error.code, error.message)
    }
}
