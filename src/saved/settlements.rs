//! What a saved plan keeps of `import`, `moved` and `resolutions`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Place, Position};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::manifest::{Import, Move, Resolution, Settlements};
use crate::plan::{Action, Change, Reason};
use crate::state::AttemptId;

/// All of it, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedSettlements {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    import: Vec<SavedImport>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    moved: Vec<SavedMove>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    resolutions: Vec<SavedResolution>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedImport {
    name: InstanceName,
    id: InstanceId,
    #[serde(rename = "type")]
    kind: InstanceType,
    at: SavedPlace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedMove {
    from: InstanceName,
    to: InstanceName,
    at: SavedPlace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedResolution {
    name: InstanceName,
    attempt: AttemptId,
    /// None: nothing was created.
    created: Option<InstanceId>,
    at: SavedPlace,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedPlace {
    file: String,
    line: u32,
    column: u32,
}

impl SavedPlace {
    fn of(place: &Place) -> Self {
        Self { file: place.file.to_string(), line: place.position.line, column: place.position.column }
    }

    fn place(&self) -> Place {
        let position = Position { line: self.line, column: self.column, ..Position::START };
        Place { file: self.file.as_str().into(), position }
    }
}

impl SavedSettlements {
    pub(super) fn of(said: &Settlements) -> Self {
        let import =
            |it: &Import| SavedImport { name: it.name.clone(), id: it.id.clone(), kind: it.kind, at: SavedPlace::of(&it.place) };
        let moved = |it: &Move| SavedMove { from: it.from.clone(), to: it.to.clone(), at: SavedPlace::of(&it.place) };
        let resolution = |it: &Resolution| SavedResolution {
            name: it.name.clone(),
            attempt: it.attempt.clone(),
            created: it.created.clone(),
            at: SavedPlace::of(&it.place),
        };
        Self {
            import: said.imports.iter().map(import).collect(),
            moved: said.moves.iter().map(moved).collect(),
            resolutions: said.resolutions.iter().map(resolution).collect(),
        }
    }

    pub(super) fn settlements(&self) -> Settlements {
        let import = |it: &SavedImport| Import { name: it.name.clone(), id: it.id.clone(), kind: it.kind, place: it.at.place() };
        let moved = |it: &SavedMove| Move { from: it.from.clone(), to: it.to.clone(), place: it.at.place() };
        let resolution = |it: &SavedResolution| Resolution {
            name: it.name.clone(),
            attempt: it.attempt.clone(),
            created: it.created.clone(),
            place: it.at.place(),
        };
        Settlements {
            imports: self.import.iter().map(import).collect(),
            moves: self.moved.iter().map(moved).collect(),
            resolutions: self.resolutions.iter().map(resolution).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.import.is_empty() && self.moved.is_empty() && self.resolutions.is_empty()
    }

    /// Whether `said` is the same, wherever it stands.
    pub(super) fn says_what(&self, said: &Settlements) -> bool {
        let other = Self::of(said);
        let imports = |all: &Self| all.import.iter().map(|it| (it.name.clone(), it.id.clone(), it.kind)).collect::<Vec<_>>();
        let moves = |all: &Self| all.moved.iter().map(|it| (it.from.clone(), it.to.clone())).collect::<Vec<_>>();
        let closed = |all: &Self| {
            let said = all.resolutions.iter().map(|it| (it.name.clone(), it.attempt.clone(), it.created.clone()));
            said.collect::<Vec<_>>()
        };
        (imports(self), moves(self), closed(self)) == (imports(&other), moves(&other), closed(&other))
    }

    /// Whether it is said here what `changes` settle.
    pub(super) fn has_all(&self, changes: &[Change]) -> bool {
        let imports: BTreeSet<_> = self.import.iter().map(|it| (&it.name, &it.id, it.kind)).collect();
        let moves: BTreeSet<_> = self.moved.iter().map(|it| (&it.from, &it.to)).collect();
        let closed: BTreeSet<_> = self.resolutions.iter().map(|it| (&it.name, &it.attempt, &it.created)).collect();
        changes.iter().all(|Change { name, kind, action, reason, .. }| match (action, reason) {
            (Action::Import, Reason::Foreign { id }) => imports.contains(&(name, id, *kind)),
            (Action::Move, Reason::Renamed { from, .. }) => moves.contains(&(from, name)),
            (Action::Settle, Reason::Verdict { attempt, created }) => closed.contains(&(name, attempt, created)),
            _ => false,
        })
    }
}
