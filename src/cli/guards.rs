//! What answers a guard, and many of one kind in one breath.

use std::collections::BTreeSet;

use super::gone;
use crate::instance::InstanceName;
use crate::plan::{Guard, Left};
use crate::report;

/// From so many probable renames on, they are told as one.
const MANY: usize = 2;
/// So many entries are proposed, and so many names stand in one command.
const ENTRIES: usize = 50;
const NAMES: usize = 10;

/// What is said of `guards`, each with what answers it; `with`: the command that is told. A pattern or a count that has got another
/// name is one thing to a person, not a hundred.
pub(super) fn told(guards: &[Guard], command: &str, with: &str) -> Vec<(String, Vec<String>)> {
    let (renames, rest): (Vec<_>, Vec<_>) = guards.iter().partition(|guard| renamed(guard).is_some());
    let recreated: BTreeSet<_> = guards.iter().filter_map(deleted).collect();
    let alone = |guard: &&Guard| {
        let hints = match deleted(guard) {
            Some(name) if recreated.len() > 1 && recreated.last() != Some(&name) => Vec::new(),
            Some(_) if recreated.len() > 1 => vec![all_recreated(&recreated)],
            _ => guard_hints(guard, command, with),
        };
        (report::guard_text(guard), hints)
    };
    if renames.len() < MANY {
        return guards.iter().map(|guard| alone(&guard)).collect();
    }
    let pairs: Vec<_> = renames.into_iter().filter_map(renamed).collect();
    std::iter::once(all_renamed(&pairs, with)).chain(rest.iter().map(alone)).collect()
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

fn all_recreated(names: &BTreeSet<&InstanceName>) -> String {
    let (flags, more) = (gone::recreating(names), gone::rest(names));
    format!("for new instances: `{}`{more}; take out of the manifest what is not wanted", flags.trim_start())
}

fn all_renamed(pairs: &[(&InstanceName, &InstanceName)], with: &str) -> (String, Vec<String>) {
    let count = pairs.len();
    let text = format!("{count} names are new, and {count} of their types have left: renames would pay for second instances");
    let entry = |(from, to): &(&InstanceName, &InstanceName)| format!("{{from: {from}, to: {to}}}");
    let entries = pairs.iter().take(ENTRIES).map(entry).collect::<Vec<_>>().join(", ");
    let more = match count.saturating_sub(ENTRIES) {
        0 => String::new(),
        more => format!(", and {more} more: `renamed_from` of each change in `plan --json`"),
    };
    let flags: Vec<String> = pairs.iter().take(NAMES).map(|(_, to)| format!("--not-a-rename {to}")).collect();
    let others = if count > NAMES { format!(", and so on for the other {}", count - NAMES) } else { String::new() };
    let hints = vec![
        format!("if they are renames, say so in the manifest: `moved: [{entries}]`{more}"),
        "which was which is a guess, by how alike the names are: check each pair".to_owned(),
        format!("if they are new, {with} with `{}`{others}", flags.join(" ")),
        "if another manifest declares those that have left: name both in one command".to_owned(),
    ];
    (text, hints)
}

/// Of so many.
pub(super) const fn they_are(count: usize) -> &'static str {
    if count == 1 { "it is" } else { "they are" }
}

/// What answers a guard; `with`: the command that is told.
pub(super) fn guard_hints(guard: &Guard, command: &str, with: &str) -> Vec<String> {
    let answer = match guard {
        Guard::TypeChange { name, recorded, .. } => {
            format!("declare `{name}` as {recorded} again; for a new one in its place, {with} with `--replace {name}`")
        }
        Guard::Released { name, .. } => {
            format!("to manage it again: `{command} release --undo {name}`; for a new instance choose another name")
        }
        Guard::Recreate { name, .. } => {
            format!("for a new instance: `--recreate {name}`; if none is wanted, remove it from the manifest")
        }
        Guard::HalfReplaced { name, aside, .. } => format!(
            "to go on, {with} with `--replace {name}`; to take it back: `moved: [{{from: {aside}, to: {name}}}]` in the manifest, or `{command} state mv {aside} {name}`"
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
        Guard::Protected { name, is_declared: true, .. } => {
            format!(
                "`protect: false` and its type as it was in the manifest, and an apply, lift that; then {with} with `--replace {name}`"
            )
        }
        Guard::Protected { name, is_declared: false, .. } => {
            format!(
                "to lift that, declare `{name}` once more with `protect: false`, and apply; `{command} destroy --unprotect {name}` deletes it by hand"
            )
        }
        Guard::Mistaken { name, .. } => {
            format!("look at both: `{command} state show {name}`, `{command} drift`; the state may be an older or another one")
        }
        Guard::Deletes { wanted, .. } | Guard::Everything { wanted } => {
            let they = they_are(*wanted);
            format!("if {they} meant: `--max-deletes {wanted}`, or CHATAPI_MAX_DELETES where your CI keeps its settings")
        }
        Guard::Unconfirmed { wanted } => format!("if {} meant: `--yes --max-deletes {wanted}`", they_are(*wanted)),
        Guard::Strangers { ids, .. } => format!(
            "bring the newest state back if this is an older one (then plan again); if {} somebody else's: `--allow-unknown {}`, once",
            they_are(ids.len()),
            ids.len()
        ),
        Guard::ProbableRename { from, to, left: Left::Exists, .. } => {
            format!(
                "if it is a rename: `moved: [{{from: {from}, to: {to}}}]` in the manifest, or `{command} state mv {from} {to}`; if it is new, {with} with `--not-a-rename {to}`"
            )
        }
        Guard::ProbableRename { from, to, kind, left: Left::TakenIn { id } } => format!(
            "if it is: `import: [{{name: {to}, id: \"{id}\", type: {kind}}}]` without `{from}`, or `{command} state mv {from} {to}`; if `{to}` is new, {with} with `--not-a-rename {to}`"
        ),
        Guard::ProbableRename { from, to, left: Left::PresumedGone, .. } => format!(
            "if it is listed: `{command} import {to} --id ID`, as `{command} drift` tells; if `{from}` is not wanted, `{command} state rm {from}`; if `{to}` is new, {with} with `--not-a-rename {to}`"
        ),
        Guard::ProbableRename { from, to, left: Left::InDoubt, .. } => format!(
            "`{from}` is in doubt: settle that first (`{command} doubts`); if `{to}` is new, {with} with `--not-a-rename {to}`"
        ),
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
    std::iter::once(answer).chain(elsewhere).collect()
}
