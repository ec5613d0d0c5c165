//! What a manifest says of instances that exist already: which are taken in, which have another name from now on, and how doubts
//! are settled. Each entry is carried out once; the state tells whether it was.
//!
//! The rules here are those that the files alone can break: each thing once, and nothing against what is declared.

use std::collections::btree_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Declaration;
use super::names::At;
use crate::diagnostic::{Diagnostic, Diagnostics, Place};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::state::AttemptId;
use crate::text::closest;

/// So many moves of a chain are followed for a message.
const STEPS_MAX: usize = 100;

/// An instance that exists and was not created from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its name from now on.
    pub name: InstanceName,
    /// The server's id.
    pub id: InstanceId,
    /// Its type.
    pub kind: InstanceType,
    /// Where its name stands.
    pub place: Place,
}

/// An instance that has another name from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The name until now.
    pub from: InstanceName,
    /// The name from now on.
    pub to: InstanceName,
    /// Where the old name stands.
    pub place: Place,
}

/// How a doubt is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The name in doubt.
    pub name: InstanceName,
    /// The attempt; another one is not meant.
    pub attempt: AttemptId,
    /// What it created; none: nothing.
    pub created: Option<InstanceId>,
    /// Where the name stands.
    pub place: Place,
}

/// Everything that is to be settled before anything is created, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlements {
    /// `import`.
    pub imports: Vec<Import>,
    /// `moved`.
    pub moves: Vec<Move>,
    /// `resolutions`.
    pub resolutions: Vec<Resolution>,
}

impl Settlements {
    /// Those of `names`, as they are called now or afterwards.
    #[must_use]
    pub fn of(&self, names: &BTreeSet<InstanceName>) -> Self {
        Self {
            imports: self.imports.iter().filter(|import| names.contains(&import.name)).cloned().collect(),
            moves: self.moves.iter().filter(|moved| names.contains(&moved.to) || names.contains(&moved.from)).cloned().collect(),
            resolutions: self.resolutions.iter().filter(|said| names.contains(&said.name)).cloned().collect(),
        }
    }

    /// Whether nothing is to be settled.
    pub fn is_empty(&self) -> bool {
        self.imports.is_empty() && self.moves.is_empty() && self.resolutions.is_empty()
    }
}

/// The same while it is read: each entry with the stretch that is to be mended if it is wrong.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) imports: Vec<(Import, At)>,
    pub(super) moves: Vec<(Move, At)>,
    pub(super) resolutions: Vec<(Resolution, At)>,
}

impl Said {
    /// Adds what another file says.
    pub(super) fn append(&mut self, mut other: Self) {
        self.imports.append(&mut other.imports);
        self.moves.append(&mut other.moves);
        self.resolutions.append(&mut other.resolutions);
    }

    /// Reports what is wrong with all of it together; what is declared is looked at only where that `is_whole`.
    pub(super) fn checked(
        self,
        (declared, is_whole): (&[Declaration], bool),
        files: &[Arc<str>],
        problems: &mut Diagnostics,
    ) -> Settlements {
        let mut check = Check { declared, is_whole, files, problems };
        check.once(&self);
        check.moves(&self.moves);
        check.declarations(&self);
        Settlements {
            imports: self.imports.into_iter().map(|(import, _)| import).collect(),
            moves: self.moves.into_iter().map(|(moved, _)| moved).collect(),
            resolutions: self.resolutions.into_iter().map(|(resolution, _)| resolution).collect(),
        }
    }
}

struct Check<'c> {
    declared: &'c [Declaration],
    is_whole: bool,
    files: &'c [Arc<str>],
    problems: &'c mut Diagnostics,
}

impl Check<'_> {
    fn push(&mut self, problem: Diagnostic, at: At) {
        let problem = problem.at(at.span);
        self.problems.push(match self.files.get(at.order) {
            Some(file) => problem.in_file(file, at.order),
            None => problem,
        });
    }

    fn declaration(&self, name: &InstanceName) -> Option<&Declaration> {
        let found = self.declared.binary_search_by(|declared| declared.name.cmp(name)).ok()?;
        self.declared.get(found)
    }

    /// Each name and each id once.
    fn once(&mut self, said: &Said) {
        let mut names: BTreeMap<String, &Import> = BTreeMap::new();
        for (import, at) in &said.imports {
            match names.entry(import.name.twin_key()) {
                Slot::Vacant(free) => drop(free.insert(import)),
                Slot::Occupied(first) => {
                    let first = *first.get();
                    let summary = if first.name == import.name {
                        format!("`{}` is imported twice", import.name)
                    } else {
                        format!("the names `{}` and `{}` are twins", first.name, import.name)
                    };
                    let twice = Diagnostic::error(&summary).related("first imported", first.place.clone());
                    self.push(twice.help("keep one of the two: a name has one instance"), *at);
                }
            }
        }
        let imported = said.imports.iter().map(|(import, at)| (&import.id, &import.place, at));
        let resolved = said.resolutions.iter().filter_map(|(said, at)| Some((said.created.as_ref()?, &said.place, at)));
        let mut ids: BTreeMap<&InstanceId, &Place> = BTreeMap::new();
        for (id, place, at) in imported.chain(resolved) {
            if let Some(first) = ids.insert(id, place) {
                let twice =
                    Diagnostic::error(&format!("the id {id} is given to two names")).related("first given", first.clone());
                self.push(twice.help("an instance has one name: look at the server which it is"), *at);
            }
        }
        let mut resolved: BTreeMap<&InstanceName, &Place> = BTreeMap::new();
        for (Resolution { name, place, .. }, at) in &said.resolutions {
            if let Some(first) = resolved.insert(name, place) {
                let twice = Diagnostic::error(&format!("`{name}` is resolved twice")).related("first resolved", first.clone());
                self.push(twice.help("keep one of the two: a name has one open attempt"), *at);
            }
        }
    }

    /// Each name is moved once, to another one, and stays there.
    fn moves(&mut self, moves: &[(Move, At)]) {
        let mut known: BTreeMap<&InstanceName, &Move> = BTreeMap::new();
        for (moved, at) in moves {
            if moved.from == moved.to {
                let same = Diagnostic::error(&format!("`{}` is moved to itself", moved.from));
                self.push(same.help("say another name, or take the entry out"), *at);
            } else if let Some(first) = known.insert(&moved.from, moved) {
                let twice = Diagnostic::error(&format!("`{}` is moved twice", moved.from));
                self.push(twice.related("first moved", first.place.clone()).help("keep one of the two"), *at);
            }
        }
        let mut told: BTreeSet<&InstanceName> = BTreeSet::new();
        for (moved, at) in moves {
            let Some(next) = known.get(&moved.to).filter(|_| moved.from != moved.to) else { continue };
            let (mut way, mut end) = (BTreeSet::from([&moved.from]), *next);
            while way.len() < STEPS_MAX
                && way.insert(&end.from)
                && let Some(next) = known.get(&end.to)
            {
                end = *next;
            }
            let problem = if way.contains(&end.to) {
                if way.iter().any(|name| told.contains(*name)) {
                    continue;
                }
                Diagnostic::error(&format!("the move of `{}` leads back to a name before it", moved.from))
                    .help("two names change places over a third one, in two applies")
            } else {
                let (from, through, to) = (&moved.from, &moved.to, &end.to);
                Diagnostic::error(&format!("`{from}` is moved to `{through}`, which is moved itself"))
                    .help(&format!("write `{{from: {from}, to: {to}}}` here; the other entry may stay"))
            };
            told.extend(way);
            self.push(problem.related("moved on", next.place.clone()), *at);
        }
    }

    /// What is taken in or has a new name is declared, and what has left is not.
    fn declarations(&mut self, said: &Said) {
        let imported = said.imports.iter().map(|(import, _)| &import.name);
        let taken: BTreeSet<&InstanceName> = imported.chain(said.moves.iter().map(|(moved, _)| &moved.to)).collect();
        for (moved, at) in &said.moves {
            if let Some(declared) = self.declaration(&moved.from).filter(|_| moved.from != moved.to) {
                let still = Diagnostic::error(&format!("`{}` is moved away and still declared", moved.from));
                let still = still.related("declared", declared.place.clone());
                self.push(still.help("take one of the two out: this entry, or the instance of the old name"), *at);
            }
            self.is_declared((&moved.to, *at), &taken, "moved to");
        }
        let targets: BTreeMap<&InstanceName, &Move> = said.moves.iter().map(|(moved, _)| (&moved.to, moved)).collect();
        for (import, at) in &said.imports {
            if let Some(moved) = targets.get(&import.name) {
                let both = Diagnostic::error(&format!("`{}` is imported, and `{}` is moved to it", import.name, moved.from));
                let both = both.related("moved", moved.place.clone());
                self.push(both.help("take one of the two out: a name has one instance"), *at);
            }
            match self.declaration(&import.name) {
                Some(declared) if declared.kind != import.kind => {
                    let (name, kind, wanted) = (&import.name, import.kind, declared.kind);
                    let differs = Diagnostic::error(&format!("`{name}` is imported as {kind} and declared as {wanted}"));
                    let differs = differs.related("declared", declared.place.clone());
                    self.push(differs.help("say in both what exists: a type cannot be changed"), *at);
                }
                Some(_) => {}
                None => self.is_declared((&import.name, *at), &taken, "imported"),
            }
        }
    }

    /// What is `taken` gets its instance from another entry.
    fn is_declared(&mut self, (name, at): (&InstanceName, At), taken: &BTreeSet<&InstanceName>, what: &str) {
        if !self.is_whole || self.declaration(name).is_some() {
            return;
        }
        let missing = Diagnostic::error(&format!("`{name}` is {what} and not declared"));
        let free = self.declared.iter().map(|declared| &declared.name).filter(|name| !taken.contains(name));
        let help = match closest(name.as_str(), free.map(InstanceName::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => {
                "declare it under `instances`, or say here what it is called there; if it is wanted no longer, take this entry out"
                    .to_owned()
            }
        };
        self.push(missing.help(&help), at);
    }
}
