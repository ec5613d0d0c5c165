//! What answers instances that are on record and not on the server's list: commands that lead to the end. A list that lacks others too
//! is not believed, so that all of them are named in one.

use std::collections::BTreeSet;

use crate::instance::InstanceName;

/// So many names stand in one command.
pub(super) const NAMES: usize = 40;

/// What answers `gone`. `is_undeclared`: a manifest was read, and it does not have the name.
pub(super) fn answers(
    command: &str,
    gone: &BTreeSet<&InstanceName>,
    is_undeclared: impl Fn(&InstanceName) -> bool,
) -> Vec<String> {
    let (undeclared, declared): (BTreeSet<&InstanceName>, BTreeSet<&InstanceName>) =
        gone.iter().partition(|name| is_undeclared(name));
    let first = |names: &BTreeSet<&InstanceName>| names.first().map(ToString::to_string).unwrap_or_default();
    let (recreate, destroy) = (recreate(command, &declared), destroy(command, gone, ""));
    match (declared.len(), undeclared.len()) {
        (0, 0) => Vec::new(),
        (0, 1) => vec![format!("`{}` is not declared: {destroy} records that it is gone", first(&undeclared))],
        (0, _) => vec![format!("what is not declared is recorded as gone by {destroy}")],
        (1, 0) => {
            let name = first(&declared);
            vec![
                format!("for a new one in the place of `{name}`, which costs money: {recreate}"),
                format!("if none is wanted: take `{name}` out of the manifest, and {destroy} records that it is gone"),
            ]
        }
        (_, 0) => vec![
            format!("for new ones in their places, which cost money: {recreate}"),
            format!(
                "if not all of them are wanted: {destroy} records that they are gone; take out of the manifest what is not wanted, and then `{command} apply --recreate NAME` is for the others"
            ),
        ],
        _ => vec![
            format!("{destroy} records that they are gone, all of them in one command"),
            format!("then, for new ones in the place of what is declared, which costs money: {recreate}"),
        ],
    }
}

/// The command that records all of these as gone, with `flags` behind it.
pub(super) fn destroy(command: &str, names: &BTreeSet<&InstanceName>, flags: &str) -> String {
    format!("`{command} destroy{}{flags}`{}", listed(names, " "), rest(names))
}

fn recreate(command: &str, names: &BTreeSet<&InstanceName>) -> String {
    format!("`{command} apply{}`{}", recreating(names), rest(names))
}

/// The flags that ask for new ones in the places of these.
pub(super) fn recreating(names: &BTreeSet<&InstanceName>) -> String {
    listed(names, " --recreate ")
}

/// The first names, each behind `before`.
fn listed(names: &BTreeSet<&InstanceName>, before: &str) -> String {
    names.iter().take(NAMES).flat_map(|name| [before, name.as_str()]).collect()
}

/// What is said of the names that a command has no room for.
pub(super) fn rest(names: &BTreeSet<&InstanceName>) -> String {
    match names.len().saturating_sub(NAMES) {
        0 => String::new(),
        more => format!(" (and {more} more in the same command: `drift` names them)"),
    }
}
