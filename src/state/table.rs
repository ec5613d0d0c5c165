//! The transitions of one attempt, as one table: [`next_phase`]. Whatever it does not list is refused, while writing as well
//! as while reading: a journal that holds an illegal step is damaged.
//!
//! ```text
//! absent   -- intent --> intent -- sent --> in doubt -- received --> received -- created --> created
//!                          |                  |  ^                     |  |
//!                          +- unsent-> absent +  +------ doubted ------+  +- refused -> absent
//! in doubt -- resolved --> created | absent
//! created  -- released --> released -- reclaimed --> created
//! created  -- retiring --> retiring -- retire_sent --> retiring (sent) -- retired --> retired -- intent --> intent
//!    ^                        |                              |
//!    +--------- kept ---------+-------------- kept ----------+
//! created  -- gone --> retired (somebody else has deleted it)
//! ```

use super::{Doubt, Entry, Grounds, Instance, Phase, Retirement, Verdict};

/// Why an attempt is closed that a list of the server was held against, which did not show what it created.
pub(super) const NOT_LISTED: &str = "resolved as not created, by the server's list";

/// One attempt's step: its word and what it brings.
pub(super) enum Step<'a> {
    Unsent(&'a str),
    Sent,
    Received,
    Created(Instance),
    Refused(&'a str),
    Doubted(&'a str),
    Resolved(&'a Verdict, &'a Grounds),
    RetireSent,
    Retired,
    Kept,
}

/// The table. `None`: there is no such step.
pub(super) fn next_phase(phase: &Phase, step: &Step<'_>, entry: &Entry) -> Option<Phase> {
    let closed = |reason: &str| Some(Phase::Absent { closed: reason.to_owned() });
    let doubt = |reason: &str, since, answer| Doubt { since, reason: reason.to_owned(), answer };
    match (phase, step) {
        (Phase::Intent(_) | Phase::InDoubt(_, Doubt { answer: None, .. }), Step::Unsent(reason))
        | (Phase::Received(..), Step::Refused(reason)) => closed(reason),
        (Phase::Intent(attempt), Step::Sent) => {
            Some(Phase::InDoubt(attempt.clone(), doubt("sent, and no answer was recorded", entry.at, None)))
        }
        (Phase::Intent(attempt), Step::Doubted(reason)) => Some(Phase::InDoubt(attempt.clone(), doubt(reason, entry.at, None))),
        (Phase::InDoubt(attempt, Doubt { answer: None, .. }), Step::Received) => {
            Some(Phase::Received(attempt.clone(), entry.serial))
        }
        // The doubt is as old as the last thing that was seen of the attempt.
        (Phase::InDoubt(attempt, known), Step::Doubted(reason)) => {
            Some(Phase::InDoubt(attempt.clone(), doubt(reason, entry.at, known.answer)))
        }
        (Phase::Received(attempt, answer), Step::Doubted(reason)) => {
            Some(Phase::InDoubt(attempt.clone(), doubt(reason, entry.at, Some(*answer))))
        }
        (Phase::Received(_, answer), Step::Created(instance)) => {
            let holder = instance.token.as_ref().map(|token| token.entry);
            let holds = holder.is_none_or(|holder| holder == *answer || holder == entry.serial);
            holds.then(|| Phase::Created(instance.clone()))
        }
        (Phase::InDoubt(..), Step::Resolved(Verdict::NotCreated, Grounds { candidates: Some(_), .. })) => closed(NOT_LISTED),
        (Phase::InDoubt(..), Step::Resolved(Verdict::NotCreated, _)) => closed("resolved as not created"),
        (Phase::InDoubt(..), Step::Resolved(Verdict::Created { id, api_url }, _)) => {
            Some(Phase::Created(Instance::listed(id, api_url.as_ref(), entry.at)))
        }
        (Phase::Retiring(instance, open), Step::RetireSent) if open.sent.is_none() => {
            Some(Phase::Retiring(instance.clone(), Box::new(Retirement { sent: Some(entry.at), ..(**open).clone() })))
        }
        (Phase::Retiring(instance, open), Step::Retired) if open.sent.is_some() => {
            Some(Phase::Retired { id: instance.id.clone(), since: entry.at, lost: None })
        }
        (Phase::Retiring(instance, _), Step::Kept) => Some(Phase::Created(instance.clone())),
        _ => None,
    }
}
