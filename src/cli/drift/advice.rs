//! What answers the findings of a comparison with the server's list: the commands to type.

use std::collections::BTreeSet;

use crate::cli::deletes::destroying;
use crate::cli::gone;
use crate::instance::InstanceName;
use crate::manifest::Manifest;
use crate::plan::{CalledGone, Deviation, Drift, Finding};

/// What the answers go by.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Advice<'a> {
    command: &'a str,
    /// None: the state alone was compared.
    manifest: Option<&'a Manifest>,
    /// What else was found.
    among: Option<&'a Drift>,
}

impl<'a> Advice<'a> {
    /// Of a program that is called as `command`, beside what is declared.
    pub(in crate::cli) const fn new(command: &'a str, manifest: Option<&'a Manifest>) -> Self {
        Self { command, manifest, among: None }
    }

    /// For the findings of `drift`: what answers one of them may have to name others.
    pub(in crate::cli) const fn among(self, drift: &'a Drift) -> Self {
        Self { among: Some(drift), ..self }
    }

    /// What answers one finding.
    pub(in crate::cli) fn of(&self, finding: &Finding) -> Vec<String> {
        let (command, id) = (self.command, &finding.id);
        match (&finding.deviation, &finding.name) {
            (Deviation::Gone { .. }, Some(name)) => {
                let all = self.among.map(gone).unwrap_or_default();
                self.of_gone(&if all.is_empty() { BTreeSet::from([name]) } else { all })
            }
            (Deviation::Retiring { is_protected, .. }, Some(name)) => {
                vec![format!("`{}` finishes that; deleting again does no harm", destroying(command, name, *is_protected))]
            }
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
            (Deviation::StillListed { by: CalledGone::ByLists { is_name_free }, .. }, Some(name)) => {
                let under = if *is_name_free { name.as_str() } else { "NAME" };
                let why = if *is_name_free { "" } else { ", under a name of its own" };
                vec![format!(
                    "lists alone called {id} gone, and it exists: to manage it again{why}, with its token where that is known: `{command} import {under} --id {id}`"
                )]
            }
            (Deviation::StillListed { .. }, _) => {
                vec![format!("{id} is on record as deleted; a list may lag behind: ask again later, then the provider")]
            }
            _ => Vec::new(),
        }
    }

    fn of_gone(&self, gone: &BTreeSet<&InstanceName>) -> Vec<String> {
        gone::answers(self.command, gone, |name| self.manifest.is_some_and(|manifest| manifest.get(name).is_none()))
    }

    /// What answers all of them: what many have in common is said once.
    pub(super) fn of_all(&self, drift: &Drift) -> Vec<String> {
        let (mut unknown, mut still_listed, mut rest) = (Vec::new(), Vec::new(), Vec::new());
        for finding in &drift.findings {
            match (&finding.deviation, &finding.name) {
                (Deviation::Gone { .. }, Some(_)) => {}
                (Deviation::Unknown { .. }, _) if finding.kind.is_some() => unknown.push(finding),
                (Deviation::StillListed { by: CalledGone::ByServer, .. }, _) => still_listed.push(finding),
                _ => rest.push(finding),
            }
        }
        let mut said = self.of_gone(&gone(drift));
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
            many => {
                let count = many.len();
                vec![format!("{count} are on record as deleted; a list may lag behind: ask again later, then the provider")]
            }
        });
        said
    }
}

/// The names whose instances are gone.
fn gone(drift: &Drift) -> BTreeSet<&InstanceName> {
    let is_gone = |finding: &&Finding| matches!(finding.deviation, Deviation::Gone { .. });
    drift.findings.iter().filter(is_gone).filter_map(|finding| finding.name.as_ref()).collect()
}
