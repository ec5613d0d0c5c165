//! The manifest as a saved plan keeps it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::settlements::SavedSettlements;
use crate::diagnostic::{Place, Position};
use crate::instance::{InstanceName, InstanceType};
use crate::manifest::{Declaration, Manifest, ProviderKind};
use crate::price::Prices;
use crate::seal::Recipients;

/// A manifest as a saved plan keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SavedManifest {
    /// The files, as they were typed.
    pub files: Vec<String>,
    /// The lock file, as it was typed or found.
    pub lock_file: String,
    pub(super) provider: ProviderKind,
    exclusive: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    prices: Option<Prices>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seal_to: Option<Recipients>,
    /// What each variable held.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
    pub(super) instances: Vec<SavedInstance>,
    #[serde(default, skip_serializing_if = "SavedSettlements::is_empty")]
    pub(super) settlements: SavedSettlements,
}

/// A declaration and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedInstance {
    pub(super) name: InstanceName,
    #[serde(rename = "type")]
    pub(super) kind: InstanceType,
    file: String,
    line: u32,
    column: u32,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    protect: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
pub(super) fn is_false(flag: &bool) -> bool {
    !flag
}

impl SavedManifest {
    /// Keeps `manifest`, which was read from `files`.
    pub fn of(manifest: &Manifest, files: Vec<String>, lock_file: String) -> Self {
        let instance = |declaration: &Declaration| SavedInstance {
            name: declaration.name.clone(),
            kind: declaration.kind,
            file: declaration.place.file.to_string(),
            line: declaration.place.position.line,
            column: declaration.place.position.column,
            labels: BTreeMap::clone(&declaration.labels),
            owner: declaration.owner.clone(),
            protect: declaration.is_protected,
        };
        Self {
            files,
            lock_file,
            provider: manifest.provider,
            exclusive: manifest.exclusive,
            prices: manifest.prices.clone(),
            seal_to: manifest.seal_to.clone(),
            variables: manifest.variables.clone(),
            instances: manifest.declarations().iter().map(instance).collect(),
            settlements: SavedSettlements::of(&manifest.settlements),
        }
    }

    /// The manifest again.
    pub fn manifest(&self) -> Manifest {
        let declaration = |saved: &SavedInstance| Declaration {
            name: saved.name.clone(),
            kind: saved.kind,
            labels: Arc::new(saved.labels.clone()),
            owner: saved.owner.clone(),
            is_protected: saved.protect,
            place: Place {
                file: saved.file.as_str().into(),
                position: Position { line: saved.line, column: saved.column, ..Position::START },
            },
        };
        let (prices, seal_to) = (self.prices.clone(), self.seal_to.clone());
        let declarations = self.instances.iter().map(declaration).collect();
        let mut manifest =
            Manifest::assembled(self.provider, self.exclusive, (prices, seal_to), self.variables.clone(), declarations);
        manifest.settlements = self.settlements.settlements();
        manifest
    }

    /// Whether `manifest` declares the same, wherever it stands.
    pub(super) fn says_what(&self, manifest: &Manifest) -> bool {
        let same = |(saved, declared): (&SavedInstance, &Declaration)| {
            (&saved.name, saved.kind, &saved.labels) == (&declared.name, declared.kind, &*declared.labels)
                && (&saved.owner, saved.protect) == (&declared.owner, declared.is_protected)
        };
        let settings = (self.provider, self.exclusive, &self.prices, &self.seal_to);
        settings == (manifest.provider, manifest.exclusive, &manifest.prices, &manifest.seal_to)
            && self.instances.len() == manifest.declarations().len()
            && self.instances.iter().zip(manifest.declarations()).all(same)
            && self.settlements.says_what(&manifest.settlements)
    }
}
