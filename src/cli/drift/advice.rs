//! What answers the findings of a comparison with the server's list: the commands to type.

use crate::instance::InstanceName;
use crate::manifest::Manifest;
use crate::plan::{Deviation, Drift, Finding};

/// So many names stand in one command.
const NAMES: usize = 10;

/// What the answers go by.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Advice<'a> {
    command: &'a str,
    /// None: the state alone was compared.
    manifest: Option<&'a Manifest>,
}

impl<'a> Advice<'a> {
    /// Of a program that is called as `command`, beside what is declared.
    pub(in crate::cli) const fn new(command: &'a str, manifest: Option<&'a Manifest>) -> Self {
        Self { command, manifest }
    }

    /// What answers one finding.
    pub(in crate::cli) fn of(&self, finding: &Finding) -> Vec<String> {
        let (command, id) = (self.command, &finding.id);
        match (&finding.deviation, &finding.name) {
            (Deviation::Gone { .. }, Some(name)) if self.is_undeclared(name) => {
                vec![format!("`{name}` is not declared: `{command} destroy {name}` records that it is gone")]
            }
            (Deviation::Gone { .. }, Some(name)) => vec![
                format!("for a new one in the place of `{name}`, which costs money: `{command} apply --recreate {name}`"),
                format!(
                    "if none is wanted: take `{name}` out of the manifest, and `{command} destroy {name}` records that it is gone"
                ),
            ],
            (Deviation::WrongType { meant, .. }, Some(name)) => {
                vec![format!("`{name}` is not {meant} on the server, and a type cannot be changed: look at {id} there")]
            }
            (Deviation::Candidate { .. }, _) => {
                vec![format!("{id} may be of a create in doubt: `{command} doubts --refresh` shows what settles it")]
            }
            (Deviation::Unknown { .. }, _) if finding.kind.is_none() => {
                vec![format!("{id} is of no type that can be managed here: look at it in the provider's console")]
            }
            (Deviation::Unknown { .. }, _) => vec![format!("if {id} is to be managed here: `{command} import NAME --id {id}`")],
            (Deviation::StillListed { .. }, _) => {
                vec![format!("{id} is on record as deleted or gone; a list may lag behind: ask again later, then the provider")]
            }
            _ => Vec::new(),
        }
    }

    /// What answers all of them: what many have in common is said once.
    pub(super) fn of_all(&self, drift: &Drift) -> Vec<String> {
        let (mut gone, mut undeclared) = (Vec::new(), Vec::new());
        let (mut unknown, mut still_listed, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for finding in &drift.findings {
            match (&finding.deviation, &finding.name) {
                (Deviation::Gone { .. }, Some(name)) if self.is_undeclared(name) => undeclared.push((name, finding)),
                (Deviation::Gone { .. }, Some(name)) => gone.push((name, finding)),
                (Deviation::Unknown { .. }, _) if finding.kind.is_some() => unknown.push(finding),
                (Deviation::StillListed { .. }, _) => still_listed.push(finding),
                _ => rest.push(finding),
            }
        }
        let mut said = match gone.as_slice() {
            [] => Vec::new(),
            [(_, finding)] => self.of(finding),
            many => self.recreated(many.iter().map(|(name, _)| *name)),
        };
        said.extend(match undeclared.as_slice() {
            [] => Vec::new(),
            [(_, finding)] => self.of(finding),
            many => vec![self.destroyed(many.iter().map(|(name, _)| *name), "what is not declared")],
        });
        said.extend(rest.into_iter().flat_map(|finding| self.of(finding)));
        said.extend(match unknown.as_slice() {
            [] => Vec::new(),
            [finding] => self.of(finding),
            many => {
                let command = self.command;
                vec![format!("if the {} unknown ones are to be managed here: `{command} import --discover`", many.len())]
            }
        });
        said.extend(match still_listed.as_slice() {
            [] => Vec::new(),
            [finding] => self.of(finding),
            many => vec![format!(
                "{} are on record as deleted or gone; a list may lag behind: ask again later, then the provider",
                many.len()
            )],
        });
        said
    }

    /// Of declared names that are gone.
    fn recreated<'n>(&self, names: impl Iterator<Item = &'n InstanceName> + Clone) -> Vec<String> {
        let flags = listed(names.clone(), " --recreate ");
        vec![
            format!("for new ones in their places, which cost money: `{} apply{flags}`{}", self.command, rest(names.clone())),
            self.destroyed(names, "if none is wanted: take them out of the manifest, and what is gone"),
        ]
    }

    fn destroyed<'n>(&self, names: impl Iterator<Item = &'n InstanceName> + Clone, what: &str) -> String {
        format!("{what} is recorded as gone by `{} destroy{}`{}", self.command, listed(names.clone(), " "), rest(names))
    }

    fn is_undeclared(&self, name: &InstanceName) -> bool {
        self.manifest.is_some_and(|manifest| manifest.get(name).is_none())
    }
}

/// The first names, each behind `before`.
fn listed<'n>(names: impl Iterator<Item = &'n InstanceName>, before: &str) -> String {
    names.take(NAMES).flat_map(|name| [before, name.as_str()]).collect()
}

/// What is said of the names that a command has no room for.
fn rest<'n>(names: impl Iterator<Item = &'n InstanceName>) -> String {
    match names.skip(NAMES).count() {
        0 => String::new(),
        more => format!(", and {more} more"),
    }
}
