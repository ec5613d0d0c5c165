//! A guard in words and in a document.

use serde::Serialize;

use crate::instance::{InstanceId, InstanceName};
use crate::plan::{Guard, Left};
use crate::text::counted;

/// Ids that a message names.
const SHOWN: usize = 5;

/// A guard in a document.
#[derive(Debug, Serialize)]
pub struct GuardData {
    pub(super) guard: &'static str,
    /// None: the guard is about the whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<InstanceName>,
    pub(super) message: String,
    /// The instances that it is about, where it is about some of nobody's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ids: Vec<InstanceId>,
}

impl From<&Guard> for GuardData {
    fn from(guard: &Guard) -> Self {
        let (word, name) = match guard {
            Guard::TypeChange { name, .. } => ("type_change", Some(name)),
            Guard::Released { name, .. } => ("released", Some(name)),
            Guard::Recreate { name, .. } => ("recreate", Some(name)),
            Guard::HalfReplaced { name, .. } => ("half_replaced", Some(name)),
            Guard::ProbableRename { to, .. } => ("probable_rename", Some(to)),
            Guard::Budget { .. } => ("budget", None),
            Guard::Growth { .. } => ("growth", None),
            Guard::Cost { .. } => ("cost", None),
            Guard::Unpriced { .. } => ("unpriced", None),
            Guard::Protected { name, .. } => ("protected", Some(name)),
            Guard::Mistaken { name, .. } => ("mistaken", Some(name)),
            Guard::Deletes { .. } => ("deletes", None),
            Guard::Everything { .. } => ("everything", None),
            Guard::Unconfirmed { .. } => ("unconfirmed", None),
            Guard::Strangers { .. } => ("unknown_instances", None),
        };
        let ids = match guard {
            Guard::Strangers { ids, .. } => ids.clone(),
            _ => Vec::new(),
        };
        Self { guard: word, name: name.cloned(), message: guard_text(guard), ids }
    }
}

/// A guard in words.
pub fn guard_text(guard: &Guard) -> String {
    match guard {
        Guard::TypeChange { name, recorded, declared, .. } => {
            format!("`{name}` is declared as {declared} and exists as {recorded}; a type cannot be changed")
        }
        Guard::Released { name, id } => {
            format!("`{name}` is declared again, and was released: it exists as {id} and is not managed")
        }
        Guard::Recreate { name, id } => {
            format!("`{name}` was deleted as {id} while it was declared: creating it anew costs money again")
        }
        Guard::HalfReplaced { name, id, aside } => {
            format!("`{name}` is half replaced: what it had, {id}, is called `{aside}` now, and no new one was created yet")
        }
        Guard::Mistaken { name, id, recorded, listed } => {
            format!("`{name}` would be deleted as {id}, which is recorded as {recorded}, and the server lists it as {listed}")
        }
        Guard::Budget { wanted, most } => {
            format!("{} would be created, and each costs money; this run may create {most}", instances(*wanted))
        }
        Guard::Growth { wanted, existing, most } => format!(
            "{} would be created beside {existing} that exist; in CI at most {most} pass unless told how many are meant",
            instances(*wanted)
        ),
        Guard::Cost { total, most, currency } => {
            format!("everything together would cost {total} {currency} a month; this run may come to {most}")
        }
        Guard::Unpriced { kind } => {
            format!("the cost is limited, and nobody has said what an instance of type {kind} costs")
        }
        Guard::ProbableRename { from, to, kind, left: Left::TakenIn { id, .. } } => {
            format!(
                "`{to}` is new and `{from}`, taken in as {id}, too, both {kind}: a run that was lost may have created it as `{to}`"
            )
        }
        Guard::ProbableRename { from, to, kind, left: Left::PresumedGone } => {
            format!(
                "`{to}` is new and `{from}` has left, both {kind}: what that had is called gone by lists alone, and may exist"
            )
        }
        Guard::ProbableRename { from, to, kind, .. } => {
            format!("`{to}` is new and `{from}` has left, both {kind}: a rename would pay for a second instance")
        }
        Guard::Protected { name, id, is_declared: true } => {
            format!("`{name}` is protected, and would be replaced: it exists as {id}")
        }
        Guard::Protected { name, id, is_declared: false } => {
            format!("`{name}` is protected, and would be deleted: it exists as {id}")
        }
        Guard::Deletes { names, most } => {
            format!("{} would be deleted, and this run may delete {most}", instances(names.len()))
        }
        Guard::Everything { names } => {
            format!("nothing at all is declared, and {} would be deleted", instances(names.len()))
        }
        Guard::Unconfirmed { names } => {
            format!("{} would be deleted for good, and nobody is asked here", instances(names.len()))
        }
        Guard::Strangers { ids, allowed } => strangers_text(ids, *allowed),
    }
}

fn strangers_text(ids: &[InstanceId], allowed: usize) -> String {
    let count = ids.len();
    let some = ids.iter().take(SHOWN).map(InstanceId::to_string).collect::<Vec<_>>().join(", ");
    let more = if count > SHOWN { ", …; a document has them all" } else { "" };
    let be = if allowed == 1 { "is" } else { "are" };
    let allowed = if allowed > 0 { format!(", and {allowed} {be} allowed") } else { String::new() };
    let has = instances(count);
    let them = if count == 1 { "it" } else { "them" };
    format!(
        "the account has {has} that this state does not know{allowed} ({some}{more}): a run whose state was lost may have created {them}"
    )
}

fn instances(count: usize) -> String {
    counted(count, "instance", "instances")
}
