//! The rules for all names together: each once, and no twins.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::Declaration;
use crate::diagnostic::{Diagnostic, Diagnostics, Place, Position, Span};

/// `declarations` sorted by name; those whose name (or its twin) is taken are reported and left out.
///
/// Each comes with the rank of its file. The first one in the order of the files keeps the name.
pub(super) fn unique(declarations: Vec<(usize, Declaration)>, problems: &mut Diagnostics) -> Vec<Declaration> {
    let mut taken: HashMap<String, usize> = HashMap::with_capacity(declarations.len());
    let mut kept: Vec<Declaration> = Vec::with_capacity(declarations.len());
    for (order, declaration) in declarations {
        match taken.entry(declaration.name.twin_key()) {
            Entry::Vacant(free) => {
                free.insert(kept.len());
                kept.push(declaration);
            }
            Entry::Occupied(first) => {
                if problems.is_full() {
                    problems.count();
                } else if let Some(first) = kept.get(*first.get()) {
                    problems.push(clash(first, &declaration).in_file(&declaration.place.file, order));
                }
            }
        }
    }
    kept.sort_by(|one, other| one.name.cmp(&other.name));
    kept
}

fn clash(first: &Declaration, second: &Declaration) -> Diagnostic {
    let problem = if first.name == second.name {
        Diagnostic::error(&format!("duplicate name `{}`", second.name)).help("give each instance a name of its own")
    } else {
        let summary = format!("the names `{}` and `{}` are twins", first.name, second.name);
        let help = "choose names that differ in more than letter case and `-`, `_`, `.`: they may become file or variable names";
        Diagnostic::error(&summary).help(help)
    };
    problem.at(span_of(second)).related("first declared", first.place.clone())
}

/// The place of a declaration's name, as long as the name.
fn span_of(declaration: &Declaration) -> Span {
    let Place { position: start, .. } = declaration.place;
    let length = u32::try_from(declaration.name.as_str().len()).unwrap_or_default();
    Span { start, end: Position { column: start.column + length, byte: start.byte + length, ..start } }
}
