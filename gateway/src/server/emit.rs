//! The last step of a request: what was answered is told to those that listen, shadows and captures.
//!
//! Invariants: without listeners this costs two looks at atomics. Nobody hears of a search before its answer is
//! written. Under load nothing is copied, so that copies never take what clients need.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode};

use crate::{
    api::{http::query_string::Query, reserved_fields::conceal, search::query_string::body_of_query},
    auth::Permission,
    handlers::extract,
    server::routes::Route,
    state::{core::Core, heard::Heard},
    wire::h1::{Request, Response},
};

/// A search that somebody wants to hear of, once it is answered.
pub(crate) struct Listened {
    heard: Heard,
    /// The shadows that get a copy, by number.
    shadows: Vec<usize>,
    captured: bool,
}

/// Decides whether anybody is to hear of a request.
pub(crate) fn listen(
    core: &Core,
    request: &Request,
    route: &Route<'_>,
    permission: &Permission,
) -> Option<Listened> {
    let Route::Search { index } = *route else { return None };
    let shadows = shadows(core);
    let captured = core.shared.capture.load().is_some();
    if shadows.is_empty() && !captured {
        return None;
    }
    let body = match request.method == Method::POST {
        true => extract::question(core, request).ok()?,
        false => conceal(Bytes::from(body_of_query(&Query::parse(request.uri.query())).ok()?)),
    };
    let snapshot = core.shared.snapshot();
    let heard = Heard {
        index: index.to_owned(),
        primary_key: snapshot.find(index)?.record.primary_key.clone(),
        body,
        rules: permission.rules_for(index).ok()?,
        answer: Bytes::new(),
        took: Duration::ZERO,
    };
    Some(Listened { heard, shadows, captured })
}

/// The shadows that get the next search.
fn shadows(core: &Core) -> Vec<usize> {
    let shadows = &core.shared.shadows;
    if shadows.targets.is_empty() {
        return Vec::new();
    }
    let chosen = shadows.sample();
    if !chosen.is_empty() && !core.concurrency_limit.has_plenty_of_room() {
        chosen.iter().for_each(|number| shadows.targets[*number].dropped_under_load.increment(1));
        return Vec::new();
    }
    chosen
}

impl Listened {
    /// The search with its answer; only searches that found something out are told of.
    pub(crate) fn answered(mut self, response: &Response, took: Duration) -> Option<Self> {
        (self.heard.answer, self.heard.took) = (response.body.clone(), took);
        (response.status == StatusCode::OK).then_some(self)
    }

    /// Tells those that listen. The client has its answer.
    pub(crate) fn tell(self, core: &Core) {
        let Self { heard, shadows, captured } = self;
        if captured
            && let Some(capture) = &*core.shared.capture.load()
            && capture.wants(&heard)
        {
            capture.offer(heard.clone());
        }
        if shadows.is_empty() {
            return;
        }
        let heard = Arc::new(heard);
        for number in shadows {
            let target = &core.shared.shadows.targets[number];
            if !target.offer(Arc::clone(&heard)) {
                target.dropped_by_queue.increment(1);
            }
        }
    }
}
