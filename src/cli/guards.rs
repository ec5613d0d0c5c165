//! What answers a guard, and many of one kind in one breath.

use std::collections::{BTreeMap, BTreeSet};

use super::answers::{Asked, replacing};
use super::deletes::LISTED;
use crate::instance::{InstanceId, InstanceName};
use crate::manifest::Target;
use crate::plan::{Guard, Left};
use crate::report;

/// From so many probable renames on, they are told as one.
const MANY: usize = 2;
/// So many entries are proposed.
const ENTRIES: usize = 50;

/// What is said of `guards`, each with what answers it. A pattern or a count that has got another name is one thing to a person, not a
/// hundred; and what several names need is told in one command, behind the last of them.
pub(super) fn told(guards: &[Guard], asked: &Asked<'_>) -> Vec<(String, Vec<String>)> {
    let (renames, rest): (Vec<_>, Vec<_>) = guards.iter().partition(|guard| renamed(guard).is_some());
    let recreated: BTreeSet<_> = guards.iter().filter_map(deleted).collect();
    let retyped: BTreeMap<_, _> = guards.iter().filter_map(retyped).collect();
    let alone = |guard: &&Guard| {
        let joint = match guard {
            Guard::Recreate { name, .. } if recreated.len() > 1 => {
                Some((recreated.last() == Some(&name), all_recreated(&recreated, asked)))
            }
            Guard::TypeChange { name, .. } if retyped.len() > 1 => {
                Some((retyped.keys().next_back() == Some(&name), all_retyped(&retyped, asked)))
            }
            _ => None,
        };
        let hints = joint.map(|(is_last, hint)| if is_last { vec![hint] } else { Vec::new() });
        (report::guard_text(guard), hints.unwrap_or_else(|| guard_hints(guard, asked)))
    };
    if renames.len() < MANY {
        return guards.iter().map(|guard| alone(&guard)).collect();
    }
    let pairs: Vec<_> = renames.into_iter().filter_map(renamed).collect();
    std::iter::once(all_renamed(&pairs, asked)).chain(rest.iter().map(alone)).collect()
}

/// Whether `guard` is told together with others of its kind.
fn renamed(guard: &Guard) -> Option<(&InstanceName, &InstanceName)> {
    match guard {
        Guard::ProbableRename { from, to, left: Left::Exists, .. } => Some((from, to)),
        _ => None,
    }
}

/// The name that was deleted while it was declared.
const fn deleted(guard: &Guard) -> Option<&InstanceName> {
    match guard {
        Guard::Recreate { name, .. } => Some(name),
        _ => None,
    }
}

/// The name that exists as another type than is declared, and its id.
const fn retyped(guard: &Guard) -> Option<(&InstanceName, Option<&InstanceId>)> {
    match guard {
        Guard::TypeChange { name, id, .. } => Some((name, id.as_ref())),
        _ => None,
    }
}

fn recreating(name: &InstanceName) -> String {
    format!("--recreate {name}")
}

fn all_recreated(names: &BTreeSet<&InstanceName>, asked: &Asked<'_>) -> String {
    let flags = asked.flags(names.iter().map(|name| recreating(name)));
    format!("for new instances: {flags}; take out of the manifest what is not wanted")
}

fn all_retyped(types: &BTreeMap<&InstanceName, Option<&InstanceId>>, asked: &Asked<'_>) -> String {
    let flags = asked.flags(types.iter().map(|(name, id)| replacing(name, *id)));
    format!("declare them as they exist again; for new ones in their places, {} with {flags}", asked.with)
}

fn all_renamed(pairs: &[(&InstanceName, &InstanceName)], asked: &Asked<'_>) -> (String, Vec<String>) {
    let count = pairs.len();
    let text = format!("{count} names are new, and {count} of their types have left: renames would pay for second instances");
    let entry = |(from, to): &(&InstanceName, &InstanceName)| format!("{{from: {from}, to: {to}}}");
    let entries = pairs.iter().take(ENTRIES).map(entry).collect::<Vec<_>>().join(", ");
    let more = match count.saturating_sub(ENTRIES) {
        0 => String::new(),
        more => format!(", and {more} more: `renamed_from` of each change in `plan --json`"),
    };
    let flags = asked.flags(pairs.iter().map(|(_, to)| format!("--not-a-rename {to}")));
    let hints = vec![
        format!("if they are renames, say so in the manifest: `moved: [{entries}]`{more}"),
        "which was which is a guess, by how alike the names are: check each pair".to_owned(),
        format!("if they are new, {} with {flags}", asked.with),
        "if another manifest declares those that have left: name both in one command".to_owned(),
    ];
    (text, hints)
}

/// Of so many.
pub(super) const fn they_are(count: usize) -> &'static str {
    if count == 1 { "it is" } else { "they are" }
}

/// What answers a guard.
pub(super) fn guard_hints(guard: &Guard, asked: &Asked<'_>) -> Vec<String> {
    let Asked { command, with, .. } = *asked;
    let flag = |flag: String| asked.flags([flag]);
    let new = |name: &InstanceName| flag(format!("--not-a-rename {name}"));
    let answer = match guard {
        Guard::TypeChange { name, recorded, id, .. } => format!(
            "declare `{name}` as {recorded} again; for a new one in its place, {with} with {}",
            flag(replacing(name, id.as_ref()))
        ),
        Guard::Released { name, .. } => {
            format!("to manage it again: `{command} release --undo {name}`; for a new instance choose another name")
        }
        Guard::Recreate { name, .. } => {
            format!("for a new instance: {}; if none is wanted, remove it from the manifest", flag(recreating(name)))
        }
        Guard::HalfReplaced { name, aside, .. } => format!(
            "to go on, {with} with {}; to take it back: `moved: [{{from: {aside}, to: {name}}}]` in the manifest, or `{command} state mv {aside} {name}`",
            flag(replacing(name, None))
        ),
        Guard::Budget { wanted, .. } | Guard::Growth { wanted, .. } => {
            format!("if so many are meant: `--max-creates {wanted}`, or CHATAPI_MAX_CREATES where your CI keeps its settings")
        }
        Guard::Cost { total, .. } => {
            format!(
                "if so much is meant: `--max-monthly-cost {total}`, or CHATAPI_MAX_MONTHLY_COST where your CI keeps its settings"
            )
        }
        Guard::Unpriced { kind } => format!("say it in the manifest: `prices: {{currency: EUR, {kind}: 39.00}}`"),
        Guard::Protected { name, is_declared: true, .. } => format!(
            "first an apply with `protect: false` and its type as it was in the manifest; then {with} with {}",
            flag(replacing(name, None))
        ),
        Guard::Protected { name, is_declared: false, .. } => {
            // A flag that forces it is told to whoever has named it, and to nobody else.
            let is_named = asked.said.targets.iter().any(|target| matches!(target, Target::Name(named) if named == name));
            let by_hand = format!("; `{command} destroy --unprotect {name}` deletes it by hand");
            format!(
                "to lift that, declare `{name}` once more with `protect: false`, and apply{}",
                if is_named { by_hand.as_str() } else { "" }
            )
        }
        Guard::Mistaken { name, .. } => {
            format!("look at both: `{command} state show {name}`, `{command} drift`; the state may be an older or another one")
        }
        Guard::Deletes { names, .. } | Guard::Everything { names } => {
            let (they, wanted) = (they_are(names.len()), names.len());
            format!("if {they} meant: `--max-deletes {wanted}`, or CHATAPI_MAX_DELETES where your CI keeps its settings")
        }
        Guard::Unconfirmed { names } => format!("if {} meant: `--yes --max-deletes {}`", they_are(names.len()), names.len()),
        Guard::Strangers { ids, .. } => format!(
            "bring the newest state back if this is an older one (then plan again); if {} somebody else's: `--allow-unknown {}`, once",
            they_are(ids.len()),
            ids.len()
        ),
        Guard::ProbableRename { from, to, left: Left::Exists, .. } => {
            format!(
                "if it is a rename: `moved: [{{from: {from}, to: {to}}}]` in the manifest, or `{command} state mv {from} {to}`; if it is new, {with} with {}",
                new(to)
            )
        }
        Guard::ProbableRename { from, to, kind, left: Left::TakenIn { id, is_recorded: false } } => format!(
            "if it is: `import: [{{name: {to}, id: \"{id}\", type: {kind}}}]` without `{from}`; if `{to}` is new, {with} with {}",
            new(to)
        ),
        Guard::ProbableRename { from, to, left: Left::TakenIn { is_recorded: true, .. }, .. } => format!(
            "if it is: `{command} state mv {from} {to}`, and `{from}` out of the manifest; if `{to}` is new, {with} with {}",
            new(to)
        ),
        Guard::ProbableRename { from, to, left: Left::PresumedGone, .. } => format!(
            "if it is listed: `{command} import {to} --id ID`, as `{command} drift` tells; if `{from}` is not wanted, `{command} state rm {from}`; if `{to}` is new, {with} with {}",
            new(to)
        ),
        Guard::ProbableRename { from, to, left: Left::InDoubt, .. } => {
            format!("`{from}` is in doubt: settle that first (`{command} doubts`); if `{to}` is new, {with} with {}", new(to))
        }
    };
    let elsewhere = match guard {
        Guard::ProbableRename { from, left: Left::Exists | Left::InDoubt, .. } => {
            Some(format!("if another manifest declares `{from}`: name both in one command"))
        }
        Guard::Strangers { ids, .. } => {
            let they = they_are(ids.len());
            Some(format!("if {they} yours, and to be managed here: `{command} import --discover` proposes entries"))
        }
        _ => None,
    };
    let victims = match guard {
        Guard::Deletes { names, .. } | Guard::Everything { names } | Guard::Unconfirmed { names } => {
            let flags = asked.flags(None);
            Some(victims(names, Some(&format!("{command} plan {}", flags.trim_matches('`')))))
        }
        _ => None,
    };
    victims.into_iter().chain([answer]).chain(elsewhere).collect()
}

/// Names what would be deleted, where nothing else does: all of it, or the first ones and what `shows_all`.
pub(super) fn victims(names: &BTreeSet<InstanceName>, shows_all: Option<&str>) -> String {
    let most = if shows_all.is_some() { LISTED } else { usize::MAX };
    let listed = names.iter().take(most).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let rest = match (names.len().saturating_sub(most), shows_all) {
        (left @ 1.., Some(command)) => format!(" and {left} more, as `{command}` shows"),
        _ => String::new(),
    };
    format!("that would be {listed}{rest}")
}
