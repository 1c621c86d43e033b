//! The one thread that writes the log: what has come while the disk was busy is the next group.

use std::sync::Arc;

use synccluster_runtime::clock::now_millis;
use tokio::sync::mpsc;

use super::{
    Node,
    order::{Answer, Order, Refused, Reply},
};
use crate::{
    crdt::{Add, Group, Id, Position, State},
    log::{AppendError, Writer},
};

/// Likes of a group at most; the next group goes on.
pub const GROUP: usize = 4096;

/// An order that waits for the disk.
struct Waiting {
    likes: Vec<(Id, Option<Position>)>,
    reply: Reply,
}

/// Runs until it is told to stop or the disk fails.
pub fn run(node: &Arc<Node>, mut writer: Writer, mut orders: mpsc::Receiver<Order>) {
    let (mut stop, mut kept) = (false, None);
    while !stop && let Some(first) = orders.blocking_recv() {
        let (mut batch, mut size) = (Vec::new(), 0);
        let mut next = Some(first);
        while let Some(order) = next.take() {
            match order {
                Order::Likes { ref adds, .. } => {
                    size += adds.len();
                    batch.push(order);
                }
                Order::TakeBack(ref voids) => {
                    size += voids.len();
                    batch.push(order);
                }
                Order::Kept(positions) => kept = Some(positions),
                Order::Stop => stop = true,
            }
            if size < GROUP && !stop {
                next = orders.try_recv().ok();
            }
        }
        if let Err(reason) = write(node, &mut writer, batch) {
            node.fail(reason);
            break;
        }
        if let Some(kept) = kept.take() {
            *node.kept() = kept;
        }
    }
    orders.close();
    while let Some(order) = orders.blocking_recv() {
        if let Order::Likes { reply, .. } = order {
            reply(Err(Refused::Stopping));
        }
    }
}

/// One group: prepared, written, counted, answered.
fn write(node: &Arc<Node>, writer: &mut Writer, batch: Vec<Order>) -> Result<(), String> {
    if batch.is_empty() {
        return Ok(());
    }
    let full = node.log_full();
    let mut waiting = Vec::with_capacity(batch.len());
    let mut refused = Vec::new();
    let state = node.state();
    let mut group = Group::after(&state, now_millis());
    for order in batch {
        match order {
            Order::TakeBack(voids) => group.take_back(&state, voids),
            Order::Kept(_) | Order::Stop => {}
            Order::Likes { adds, reply } => match admit(node, &group, &state, &adds, full.as_ref()) {
                Ok(()) => {
                    let like = |add: Add| (add.id.clone(), group.like(&state, add));
                    let likes = adds.into_iter().map(like).collect();
                    waiting.push(Waiting { likes, reply });
                }
                Err(reason) => refused.push((reply, reason)),
            },
        }
    }
    drop(state);
    for (reply, reason) in refused {
        reply(Err(reason));
    }
    let entries = group.entries();
    if !entries.is_empty()
        && let Err(error) = writer.append(entries)
    {
        let reason = error.to_string();
        let refused = match &error {
            AppendError::Full(_) => Refused::VolumeFull(reason.clone()),
            AppendError::Broken(_) | AppendError::Unencodable(_) => Refused::Broken(reason.clone()),
        };
        for order in waiting {
            (order.reply)(Err(refused.clone()));
        }
        node.trouble(Some(reason.clone()));
        return match error {
            AppendError::Full(_) | AppendError::Unencodable(_) => Ok(()),
            AppendError::Broken(_) => Err(reason),
        };
    }
    node.count_group(entries);
    writer.tell();
    answer(node, waiting);
    Ok(())
}

fn admit(node: &Node, group: &Group, state: &State, adds: &[Add], full: Option<&Refused>) -> Result<(), Refused> {
    match full {
        Some(full) => Err(full.clone()),
        None => group
            .has_room(state, adds, node.max_ids())
            .map_err(|full| node.full(full)),
    }
}

fn answer(node: &Arc<Node>, waiting: Vec<Waiting>) {
    let ordinal = node.origin().ordinal.0;
    let mut answers = Vec::with_capacity(waiting.len());
    let state = node.state();
    for order in waiting {
        let answer = |(id, position): (Id, Option<Position>)| Answer {
            total: state.total(id.as_str()).total,
            id,
            position,
            node: ordinal,
            duplicate: position.is_none(),
        };
        let likes: Vec<_> = order.likes.into_iter().map(answer).collect();
        answers.push((order.reply, likes));
    }
    drop(state);
    for (reply, likes) in answers {
        node.acknowledged(likes.len());
        reply(Ok(likes));
    }
}
