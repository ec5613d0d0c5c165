//! The manifest: which instances are wanted, read from YAML.
//!
//! [`Manifest::parse`] is pure and finds every problem of every file in one go; a [`Manifest`] that exists is right. It cannot
//! say where requests go or what authorises them: such keys are refused, and their values are never shown. Only [`load`] and
//! [`Manifest::read`] touch files.
//!
//! One text goes through `encoding` (bytes to text), `document` (text to a tree with places), `validate` and `entry` (tree to
//! candidates) and `names` (candidates of all files to one manifest). `reading` runs them. An entry makes as many candidates as
//! `repeat` says, by the patterns of `pattern`, of what `scope` knows: `variables`, a number, a row of a `table`. Work and memory are
//! bounded by [`FILE_MAX`], [`TOTAL_MAX`], [`NODES_MAX`], [`INSTANCES_MAX`] and [`DEPTH_MAX`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostics, Place};
use crate::instance::{InstanceName, InstanceType};
use crate::price::Prices;
use crate::seal::Recipients;

mod attributes;
mod beside;
mod confidential;
mod document;
mod encoding;
mod entry;
mod environments;
mod items;
mod names;
mod pattern;
mod prices;
mod reading;
mod repeat;
mod report;
mod rows;
mod scalar;
mod schema;
mod scope;
mod sealing;
mod secrets;
mod settled;
mod settlements;
mod source;
mod syntax;
mod table;
mod target;
mod validate;
mod variables;

pub use confidential::Confidential;
pub use document::DEPTH_MAX;
pub use environments::{Environment, Environments};
pub(crate) use scalar::is_text;
pub use schema::schema;
pub use settlements::{Import, Move, Resolution, Settlements};
pub(crate) use source::neighbour;
pub use source::{Loaded, Source, Stdin, load, load_beside, load_guarded};
pub use target::{Target, TargetError};
pub use variables::Given;

/// The version of the format that this program reads.
pub const VERSION: u32 = 1;
/// Longest accepted file, in bytes: room for 100,000 instances with a comment each.
pub const FILE_MAX: usize = 32 << 20;
/// Most bytes of all files together.
pub const TOTAL_MAX: usize = 64 << 20;
/// Most keys, values, lists and mappings of all files together; an instance takes five.
pub const NODES_MAX: usize = 1_000_000;
/// Most instances of all files together.
pub const INSTANCES_MAX: usize = 1_000_000;
/// Most bytes that labels and owners take which are made for each instance.
const MADE_MAX: usize = 512 << 20;

/// Who provides the instances.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderKind {
    /// The paid service, under the address that the environment gives.
    #[default]
    Chatapi,
    /// The embedded emulator: nothing there costs money.
    Emulator,
}

impl ProviderKind {
    /// Every kind, in the order of their text.
    pub const ALL: [Self; 2] = [Self::Chatapi, Self::Emulator];

    /// The text in a manifest and in every output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chatapi => "chatapi",
            Self::Emulator => "emulator",
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One instance that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declaration {
    /// Our name of it.
    pub name: InstanceName,
    /// What it is to be.
    pub kind: InstanceType,
    /// What it is selected by; one map for all instances of an entry that have the same.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Whose it is.
    pub owner: Option<String>,
    /// Whether it must not be deleted.
    pub is_protected: bool,
    /// Where its name stands.
    pub place: Place,
}

/// Everything that is wanted, from all files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Who provides the instances.
    pub provider: ProviderKind,
    /// Whether the operator says that nobody else creates instances on this account.
    pub exclusive: bool,
    /// What an instance costs a month, where it says so.
    pub prices: Option<Prices>,
    /// The public keys that secrets are sealed to, where it names any.
    pub seal_to: Option<Recipients>,
    /// What each variable held.
    pub variables: BTreeMap<String, String>,
    /// What is settled before anything is created.
    pub settlements: Settlements,
    declarations: Vec<Declaration>,
}

impl Manifest {
    /// Reads all `sources` as one manifest, or says all that is wrong with them.
    ///
    /// Each file needs `instances`. Several files may say `provider` if they say the same; files that leave it out agree with
    /// any. Pure: the same bytes always give the same answer.
    pub fn parse(sources: &[Source]) -> Result<Self, Diagnostics> {
        Self::parse_with(sources, &Given::default())
    }

    /// As [`Manifest::parse`], with values for variables.
    pub fn parse_with(sources: &[Source], given: &Given) -> Result<Self, Diagnostics> {
        reading::read(sources, given)
    }

    /// What it says besides names, types and settlements that changes what an apply does, for the hash of a plan: the kind of provider alone
    /// where that is all.
    pub fn footing(&self) -> String {
        let mut footing = self.provider.as_str().to_owned();
        if self.exclusive {
            footing += " exclusive";
        }
        if let Some(keys) = &self.seal_to {
            let keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
            footing = format!("{footing} seal_to {}", keys.join(" "));
        }
        let protected = self.declarations().iter().filter(|declared| declared.is_protected);
        let names: Vec<&str> = protected.map(|declared| declared.name.as_str()).collect();
        if names.is_empty() { footing } else { format!("{footing} protect {}", names.join(" ")) }
    }

    /// [`load_guarded`] and [`Manifest::parse_with`]: the problems of files that cannot be read come with those of the others.
    pub fn read(paths: &[PathBuf], stdin: Stdin<'_>, given: &Given) -> Result<Self, Diagnostics> {
        let Loaded { sources, mut problems } = load_guarded(paths, stdin, &given.confidential);
        if problems.is_empty() {
            return Self::parse_with(&sources, given);
        }
        if let (false, Err(others)) = (sources.is_empty(), Self::parse_with(&sources, given)) {
            problems.append(others);
        }
        Err(problems)
    }

    /// From parts that were a manifest before.
    pub(crate) fn assembled(
        provider: ProviderKind,
        exclusive: bool,
        (prices, seal_to): (Option<Prices>, Option<Recipients>),
        variables: BTreeMap<String, String>,
        mut declarations: Vec<Declaration>,
    ) -> Self {
        declarations.sort_by(|one, other| one.name.cmp(&other.name));
        let settlements = Settlements::default();
        Self { provider, exclusive, prices, seal_to, variables, settlements, declarations }
    }

    /// The same, settling nothing but what is about `names`.
    #[must_use]
    pub fn settling_only(&self, names: &BTreeSet<InstanceName>) -> Self {
        Self { settlements: self.settlements.of(names), ..self.clone() }
    }

    /// The declarations, sorted by name.
    pub fn declarations(&self) -> &[Declaration] {
        &self.declarations
    }

    /// The declaration of `name`.
    pub fn get(&self, name: &InstanceName) -> Option<&Declaration> {
        let found = self.declarations.binary_search_by(|declaration| declaration.name.cmp(name)).ok()?;
        self.declarations.get(found)
    }
}

/// What is left of the limits for all files together.
struct Limits {
    nodes: usize,
    bytes: usize,
    instances: usize,
    made: usize,
}

impl Limits {
    /// Nothing is used yet.
    const WHOLE: Self = Self { nodes: NODES_MAX, bytes: TOTAL_MAX, instances: INSTANCES_MAX, made: MADE_MAX };

    /// Takes `count` instances, if so many are left.
    fn take(&mut self, count: usize) -> bool {
        let left = self.instances.checked_sub(count);
        self.instances = left.unwrap_or(self.instances);
        left.is_some()
    }

    /// Whether nothing more can be made.
    fn is_full(&self) -> bool {
        self.made == 0
    }
}
