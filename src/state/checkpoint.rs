//! The first entry of a journal that goes on from an earlier one. Like [`Event`](super::Event) a stored format.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Binding, Hash, Head, Lineage, Run};
use crate::seal::Recipients;

/// What a journal goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// [`FORMAT`](super::FORMAT) of the version that wrote it.
    pub format: u32,
    /// The state's lineage.
    pub lineage: Lineage,
    /// The last entry of the earlier journal. The chain goes on from its hash.
    pub after: Head,
    /// How many entries follow that belong to it; without all of them the journal is damaged.
    pub entries: u64,
    /// The state's binding.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binding: Option<Binding>,
    /// The last command in it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<Arc<Run>>,
    /// Whom secrets are sealed to.
    pub recipients: Recipients,
    /// The earlier journal was damaged: so many of its entries could not be read. Its positions prove nothing about this one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lost: Option<u64>,
    /// Where the earlier entries are, without their secrets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub history: Option<History>,
}

/// A file with earlier entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Its name in the state's `history` directory.
    pub file: String,
    /// SHA-256 of its bytes.
    pub sum: Hash,
}
