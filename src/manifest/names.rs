//! The rules for all names together: each once, and no twins.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Declaration;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Position, Span};
use crate::instance::{InstanceName, InstanceType};

/// An instance with a good name, and perhaps without a good type: its name is taken all the same.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) name: InstanceName,
    pub(super) kind: Option<InstanceType>,
    pub(super) place: Place,
}

/// The declarations among `candidates`, sorted by name; those whose name (or its twin) is taken are reported and left out.
///
/// Each comes with the rank of its file. The first one in the order of the files keeps the name.
pub(super) fn unique(candidates: Vec<(usize, Candidate)>, problems: &mut Diagnostics) -> Vec<Declaration> {
    let mut taken: HashMap<String, usize> = HashMap::with_capacity(candidates.len());
    let mut kept: Vec<Candidate> = Vec::with_capacity(candidates.len());
    for (order, candidate) in candidates {
        match taken.entry(candidate.name.twin_key()) {
            Entry::Vacant(free) => {
                free.insert(kept.len());
                kept.push(candidate);
            }
            Entry::Occupied(first) => {
                if problems.is_full() {
                    problems.count();
                } else if let Some(first) = kept.get(*first.get()) {
                    problems.push(clash(first, &candidate).in_file(&candidate.place.file, order));
                }
            }
        }
    }
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    let declared = |Candidate { name, kind, place }| Some(Declaration { name, kind: kind?, place });
    kept.into_iter().filter_map(declared).collect()
}

fn clash(first: &Candidate, second: &Candidate) -> Diagnostic {
    let problem = if first.name == second.name {
        Diagnostic::error(&format!("duplicate name `{}`", second.name)).help("give each instance a name of its own")
    } else {
        let summary = format!("the names `{}` and `{}` are twins", first.name, second.name);
        let help = "choose names that differ in more than letter case and `-`, `_`, `.`: they may become file or variable names";
        Diagnostic::error(&summary).help(help)
    };
    problem.at(span_of(second)).related("first declared", first.place.clone())
}

/// The place of a name, as long as the name.
fn span_of(candidate: &Candidate) -> Span {
    let Place { position: start, .. } = candidate.place;
    let length = u32::try_from(candidate.name.as_str().len()).unwrap_or_default();
    Span { start, end: Position { column: start.column + length, byte: start.byte + length, ..start } }
}
