//! Batches document writes: waiting writes of one lane reach the nodes as one request.
//!
//! Invariants: each client keeps a task and counts of its own, and the shards of its own documents decide whether its
//! write is accepted. Documents that could make a node fail a whole task are sent alone. Each write gets one clock
//! value, in the order of the lane.

use std::{rc::Rc, sync::Arc};

use futures_util::future::join_all;
use http::Method;
use router::{NodeIndex, ShardSet};
use store::{NodeTask, Reply, TaskRecord};

use crate::{
    api::error::ApiError,
    config::limits,
    observe::lane_spans::Turn,
    state::{
        change::{Client, DocumentPart, DocumentWrite, NodePart, Outcome},
        core::Core,
        snapshot::Index,
    },
    write::{
        apply, changes,
        fanout::{self, Delivery, Missed, NodeCommand},
        index_life,
        tasks::status::registry_end,
        trial,
    },
};

/// A document write that waits in its lane.
pub(crate) struct Waiting {
    pub(crate) write: DocumentWrite,
    pub(crate) intent: Reply<TaskRecord>,
    pub(crate) client: Client,
}

/// The size of one request so far.
#[derive(Default)]
pub(crate) struct Size {
    documents: u64,
    bytes: usize,
}

impl DocumentWrite {
    /// Whether another write may go into the same request; `size` is the request's so far and grows by `other`.
    pub(crate) fn joins(&self, other: &Self, size: &mut Size) -> bool {
        size.add(other);
        self.batchable
            && other.batchable
            && (self.replace, self.skip_creation, self.existing_only, self.keys_are_plain)
                == (other.replace, other.skip_creation, other.existing_only, other.keys_are_plain)
            && self.primary_key == other.primary_key
            && size.documents <= limits::MERGED_DOCUMENTS_MAX
            && size.bytes <= limits::MERGED_BYTES_MAX
    }
}

impl Size {
    pub(crate) fn add(&mut self, write: &DocumentWrite) {
        self.documents += write.parts.iter().map(|part| part.body.documents).max().unwrap_or(0);
        self.bytes += write.parts.iter().map(|part| part.body.bytes.len()).max().unwrap_or(0);
    }
}

/// One client's write in a batch.
struct Member {
    task: TaskRecord,
    client: Client,
    write: DocumentWrite,
    shards: ShardSet,
}

/// What became of a batch of writes.
struct Done {
    outcomes: Vec<(TaskRecord, Client, Outcome)>,
    missed: Missed,
    /// Tasks by which it is decided whether the index keeps its new primary key.
    key_tasks: Vec<u32>,
}

/// Applies a batch of writes and answers their clients.
pub(crate) async fn apply(core: &Rc<Core>, index_uid: &str, waiting: Vec<Waiting>) {
    let traced = waiting.iter().filter_map(|waiting| waiting.client.traced().cloned());
    let done = match Turn::begin(index_uid, traced.collect(), waiting.len()) {
        None => perform(core, index_uid, waiting).await,
        Some(turn) => {
            let done = core.within(turn.trace(), perform(core, index_uid, waiting)).await;
            turn.end();
            done
        }
    };
    let Some(Done { outcomes, missed, key_tasks }) = done else { return };
    apply::finish(core, outcomes, missed).await;
    key_tasks.into_iter().for_each(|uid| registry_end::watch(core, uid));
}

/// Performs a batch of writes; `None` when the store took none of their intents, as their clients know by then.
async fn perform(core: &Core, index_uid: &str, waiting: Vec<Waiting>) -> Option<Done> {
    let intents = join_all(
        waiting.into_iter().map(|waiting| async { (waiting.intent.await, waiting.client, waiting.write) }),
    );
    let mut members = Vec::new();
    for (intent, client, write) in intents.await {
        let shards = write.parts.iter().fold(ShardSet::new(), |all, part| all.union(&part.shards));
        match intent {
            Ok(task) => members.push(Member { task, client, write, shards }),
            Err(error) => client.send(Err(error.into())),
        }
    }
    let first = members.first()?;
    let mut missed = Missed::new(core, first.task.uid);
    let mut drafts = Vec::new();
    for Member { task, write, .. } in &mut members {
        if let Some(draft) = changes::draft_of_write(core, write) {
            drafts.push((&*task, draft));
        }
    }
    match changes::note(core, index_uid, drafts).await {
        Ok(noted) => missed.noted = noted,
        Err(error) => {
            let refused = |member: Member| (member.task, member.client, Outcome::Refused(error.clone()));
            let outcomes = members.into_iter().map(refused).collect();
            return Some(Done { outcomes, missed, key_tasks: Vec::new() });
        }
    }
    let first = members.first()?;
    let uids = members.iter().map(|member| member.task.uid).collect::<Vec<_>>();
    let (index, key_is_new) = match prepare(core, index_uid, &first.write, &uids, &mut missed).await {
        Ok(prepared) => prepared,
        Err(outcome) => {
            let outcomes = members.into_iter().map(|member| (member.task, member.client, outcome.clone()));
            return Some(Done { outcomes: outcomes.collect(), missed, key_tasks: Vec::new() });
        }
    };
    let outcomes = send(core, &index, members, &mut missed).await;
    Some(Done { outcomes, missed, key_tasks: if key_is_new { uids } else { Vec::new() } })
}

/// Gives the index with its primary key, and whether the key stays only if these tasks succeed.
async fn prepare(
    core: &Core,
    uid: &str,
    write: &DocumentWrite,
    tasks: &[u32],
    missed: &mut Missed,
) -> Result<(Arc<Index>, bool), Outcome> {
    if let Some(blocked) = apply::refusal_while_blocked(core, uid) {
        return Err(Outcome::Refused(blocked));
    }
    let key = write.primary_key.as_deref();
    let index = match write.existing_only {
        true => index_life::existing(core, uid)?,
        false => index_life::ensure_index(core, uid, missed).await?,
    };
    if let Some(error) = apply::refusal_while_blocked(core, uid) {
        return Err(Outcome::Refused(error));
    }
    let known = index.record.primary_key.as_deref();
    let is_refused =
        index.record.key_tasks.is_empty() && known.is_some_and(|known| key.is_some_and(|key| key != known));
    if let ([task], false) = (tasks, is_refused) {
        trial::judge(core, &index, write, *task).await?;
    }
    // The trial may have waited for settings, which changed the index.
    let index = index_life::existing(core, uid)?;
    let mut key_is_new = false;
    if let Some(key) = key {
        // A write of no documents succeeds at once.
        let tasks = if write.parts.is_empty() { &[] } else { tasks };
        key_is_new = index_life::agree_on_key(core, &index, key, tasks, missed).await?;
    }
    if !write.keys_are_plain {
        index_life::expect_any_key(core, uid, missed).await?;
    }
    Ok((index, key_is_new))
}

/// Sends the documents of all members whose shards have enough owners.
async fn send(
    core: &Core,
    index: &Index,
    mut members: Vec<Member>,
    missed: &mut Missed,
) -> Vec<(TaskRecord, Client, Outcome)> {
    let snapshot = core.shared.snapshot();
    let quorum = fanout::quorum(core, &snapshot, &index.placement);
    let mut outcomes = Vec::with_capacity(members.len());
    let mut able = Vec::with_capacity(members.len());
    for member in members.drain(..) {
        if !fanout::is_cut_for(&member.write.cut_for, member.write.twin.as_ref(), index) {
            outcomes.push((member.task, member.client, Outcome::Refused(fanout::cut_for_others())));
            continue;
        }
        match fanout::check(core, &quorum, &member.shards).await {
            Ok(()) => able.push(member),
            Err(error) => outcomes.push((member.task, member.client, Outcome::Refused(error))),
        }
    }
    let suffix = suffix(&able);
    let target = format!("/indexes/{}{suffix}", index.record.node_uid);
    let clocks = able.iter().map(|_| core.shared.clock.next()).collect::<Vec<_>>();
    let own = able.iter_mut().map(|member| std::mem::take(&mut member.write.parts));
    let (parts, shares) = merge(clocks.iter().copied().zip(own));
    let method =
        if able.first().is_some_and(|member| member.write.replace) { Method::POST } else { Method::PUT };
    let command = NodeCommand {
        index: &index.record.node_uid,
        method: &method,
        target: &target,
        validated: false,
        once: false,
    };
    let deliveries = fanout::deliver(core, &quorum, &command, &parts).await;
    fanout::keep_missed(&command, &parts, &deliveries, missed);
    let took = fanout::taken_by(&parts, &deliveries);
    let all = fanout::shards_of(&parts);
    missed.degraded.add(quorum.missed(&all, |node| took.contains(&node)));
    let shared = able.len() > 1;
    let mut repeated = Vec::new();
    for ((mut member, share), clock) in able.into_iter().zip(shares).zip(clocks) {
        let outcome = match quorum.is_reached(&member.shards, |node| took.contains(&node)) {
            true => Outcome::Taken(node_tasks(core, &parts, &deliveries, &share, shared)),
            false => Outcome::Refused(refusal(&deliveries)),
        };
        if let (Outcome::Taken(_), Some(cut)) = (&outcome, member.write.twin.take()) {
            repeated.push((clock, cut.parts));
        }
        outcomes.push((member.task, member.client, outcome));
    }
    let (parts, _) = merge(repeated.into_iter());
    fanout::repeat(core, index, (&method, &suffix, false), &parts, missed).await;
    outcomes
}

/// The target below the index.
fn suffix(members: &[Member]) -> String {
    let mut target = "/documents".to_owned();
    let Some(Member { write, .. }) = members.first() else { return target };
    let mut separator = '?';
    if write.skip_creation {
        target.push_str("?skipCreation=true");
        separator = '&';
    }
    if let Some(key) = &write.primary_key {
        target.push(separator);
        target.push_str("primaryKey=");
        target.extend(form_urlencoded::byte_serialize(key.as_bytes()));
    }
    target
}

/// How many documents of a member go to which node.
type Share = Vec<(NodeIndex, u64)>;

/// Merges the members' documents, each with the clock of its member, into one body for each node, and tells each
/// member's share.
fn merge(members: impl Iterator<Item = (u64, Vec<DocumentPart>)>) -> (Vec<NodePart>, Vec<Share>) {
    let mut merged: Vec<DocumentPart> = Vec::new();
    let mut shares = Vec::new();
    for (clock, parts) in members {
        let mut share = Share::new();
        for mut part in parts {
            part.body.set_clock(clock);
            share.push((part.node, part.body.documents));
            match merged.iter_mut().find(|known| known.node == part.node) {
                Some(known) => {
                    known.body.append(&part.body);
                    known.shards = known.shards.union(&part.shards);
                }
                None => merged.push(part),
            }
        }
        shares.push(share);
    }
    let part = |part: DocumentPart| NodePart {
        node: part.node,
        documents: part.body.documents,
        body: part.body.bytes.into(),
        shards: part.shards,
    };
    (merged.into_iter().map(part).collect(), shares)
}

/// A member's node tasks.
fn node_tasks(
    core: &Core,
    parts: &[NodePart],
    deliveries: &[Delivery],
    share: &Share,
    shared: bool,
) -> Vec<NodeTask> {
    let of_part = |(part, delivery): (&NodePart, &Delivery)| {
        let (_, documents) = share.iter().find(|(node, _)| *node == part.node)?;
        match delivery {
            Delivery::Taken(uid) => {
                Some(NodeTask { shared, ..fanout::node_task(core, part.node, *uid, *documents) })
            }
            Delivery::Missed { .. } | Delivery::Refused(_) => None,
        }
    };
    parts.iter().zip(deliveries).filter_map(of_part).collect()
}

fn refusal(deliveries: &[Delivery]) -> ApiError {
    let refusal = deliveries.iter().find_map(|delivery| match delivery {
        Delivery::Refused(error) => Some(error.clone()),
        Delivery::Taken(_) | Delivery::Missed { .. } => None,
    });
    refusal.unwrap_or_else(fanout::no_quorum)
}
