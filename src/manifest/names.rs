//! The rules for all names together: each once, and no twins.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Declaration;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Span};
use crate::instance::{InstanceName, InstanceType};

/// An instance with a good name, and perhaps without a good type: its name is taken all the same.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: InstanceName,
    pub(super) kind: Option<InstanceType>,
    pub(super) labels: Arc<BTreeMap<String, String>>,
    pub(super) owner: Option<String>,
    pub(super) is_protected: bool,
    /// Where its name is said.
    pub(super) place: Place,
    /// What is to be mended if its name is wrong.
    pub(super) at: At,
}

/// A stretch of a file of this rank: a name or a pattern, or the row that a name was made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) order: usize,
    pub(super) span: Span,
}

/// The declarations among `candidates`, sorted by name; those whose name (or its twin) is taken are reported and left out.
///
/// The first one in the order of the files keeps the name. `files` stand in their order.
pub(super) fn unique(candidates: Vec<Candidate>, files: &[Arc<str>], problems: &mut Diagnostics) -> Vec<Declaration> {
    let mut taken: HashMap<String, usize> = HashMap::with_capacity(candidates.len());
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        match taken.entry(candidate.name.twin_key()) {
            Entry::Vacant(free) => {
                free.insert(kept.len());
                kept.push(candidate);
            }
            Entry::Occupied(first) => {
                if problems.is_full() {
                    problems.count();
                } else if let Some(first) = kept.get(*first.get()) {
                    let file = files.get(candidate.at.order).unwrap_or(&candidate.place.file);
                    problems.push(clash(first, &candidate, files).in_file(file, candidate.at.order));
                }
            }
        }
    }
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    let declared = |Candidate { name, kind, labels, owner, is_protected, place, .. }| {
        Some(Declaration { name, kind: kind?, labels, owner, is_protected, place })
    };
    kept.into_iter().filter_map(declared).collect()
}

fn clash(first: &Candidate, second: &Candidate, files: &[Arc<str>]) -> Diagnostic {
    let problem = if first.name == second.name {
        Diagnostic::error(&format!("duplicate name `{}`", second.name)).help("give each instance a name of its own")
    } else {
        let summary = format!("the names `{}` and `{}` are twins", first.name, second.name);
        let help = "choose names that differ in more than letter case and `-`, `_`, `.`: they may become file or variable names";
        Diagnostic::error(&summary).help(help)
    };
    let file = files.get(first.at.order).unwrap_or(&first.place.file);
    problem.at(second.at.span).related("first declared", Place { file: Arc::clone(file), position: first.at.span.start })
}
