//! Routes about settings: the whole, and each setting as a view of it.
//! Invariant: a view's position is its index in `SETTING_NAMES`. PUT or PATCH of a view changes that one field of the
//! whole, DELETE resets it.

use serde_json::{Map, Value};

use super::call::{Call, Handler, Reply};
use crate::engine::{NewSettings, SETTING_NAMES, setting_details};
use crate::errors::ApiError;
use crate::tasks::Work;

pub(super) fn all(call: &Call) -> Result<Reply, ApiError> {
    Reply::ok(&call.node.catalog.get(&call.index_uid()?)?.settings()?)
}

pub(super) fn change(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let new = call.json()?;
    NewSettings::read(new.clone())?;
    enqueue(call, &uid, new, false)
}

pub(super) fn reset(call: &Call) -> Result<Reply, ApiError> {
    let uid = call.index_uid()?;
    let fields = SETTING_NAMES.iter().map(|(_, field, _)| ((*field).to_owned(), Value::Null)).collect();
    let work = Work::Settings { new: Value::Object(Map::new()), reset: true };
    let details = setting_details(&Value::Object(fields));
    Reply::accepted(&call.node.enqueue_with_details(&uid, work, details)?)
}

/// The field that a view shows.
pub(super) fn field(position: usize) -> &'static str {
    SETTING_NAMES[position].1
}

/// The GET, the PUT or PATCH, and the DELETE handler of each view, by position.
pub(super) const VIEWS: [(Handler, Handler, Handler); SETTING_NAMES.len()] = [
    views::<0>(),
    views::<1>(),
    views::<2>(),
    views::<3>(),
    views::<4>(),
    views::<5>(),
    views::<6>(),
    views::<7>(),
    views::<8>(),
    views::<9>(),
    views::<10>(),
    views::<11>(),
    views::<12>(),
    views::<13>(),
    views::<14>(),
    views::<15>(),
    views::<16>(),
    views::<17>(),
    views::<18>(),
    views::<19>(),
];

const fn views<const POSITION: usize>() -> (Handler, Handler, Handler) {
    (
        |call: &Call| {
            let settings = call.node.catalog.get(&call.index_uid()?)?.settings()?;
            Reply::ok(&settings[field(POSITION)])
        },
        |call: &Call| {
            let uid = call.index_uid()?;
            let value = call.json()?;
            NewSettings::read_one(field(POSITION), value.clone())?;
            enqueue(call, &uid, single(POSITION, value), false)
        },
        |call: &Call| enqueue(call, &call.index_uid()?, single(POSITION, Value::Null), true),
    )
}

fn single(position: usize, value: Value) -> Value {
    Value::Object(Map::from_iter([(field(position).to_owned(), value)]))
}

fn enqueue(call: &Call, uid: &str, new: Value, reset: bool) -> Result<Reply, ApiError> {
    let details = setting_details(&new);
    Reply::accepted(&call.node.enqueue_with_details(uid, Work::Settings { new, reset }, details)?)
}
