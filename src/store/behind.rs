//! How a state and a copy of its head elsewhere do not go together: each way has another way out.

use std::path::{Path, PathBuf};

use super::journal::Witness;
use crate::state::{Lineage, Serial};

/// The state lacks what a copy of its head elsewhere proves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Behind {
    /// There is no state at all.
    #[error("the state is missing: there is no journal in {}, and {witness} saw it at serial {seen}", .dir.display())]
    Missing {
        /// Which copy tells of one.
        witness: &'static str,
        /// Where it should be.
        dir: PathBuf,
        /// What the copy saw.
        seen: Serial,
    },
    /// It ends before the copy does.
    #[error("the state is older than {witness}: it ends at serial {end}, and serial {seen} was seen")]
    Older {
        /// Which copy.
        witness: &'static str,
        /// The state's last entry.
        end: Serial,
        /// What the copy saw.
        seen: Serial,
    },
    /// Somebody began it apart from the one that the copy is of.
    #[error("the state is another one than {witness} belongs to: the lineage is {found}, and {witness} says {expected}")]
    Other {
        /// Which copy.
        witness: &'static str,
        /// The state's lineage.
        found: Lineage,
        /// The copy's.
        expected: Lineage,
    },
    /// Both began as one, and each went on in its own way.
    #[error("the state and {witness} went different ways: their histories differ at serial {at}")]
    Apart {
        /// Which copy.
        witness: &'static str,
        /// Where they differ.
        at: Serial,
    },
    /// It is as new as the copy, and does not know what the copy names.
    #[error("the state lacks what {witness} names: {why}")]
    Lacking {
        /// Which copy.
        witness: &'static str,
        /// What it does not know.
        why: String,
    },
}

impl Behind {
    /// There is nothing in `dir`, and `witness` saw something.
    pub(super) fn missing(dir: &Path, witness: &Witness) -> Self {
        Self::Missing { witness: witness.name, dir: dir.to_owned(), seen: witness.head.serial }
    }

    /// The state of lineage `found` ends before what `witness` saw, or is another one.
    pub(super) fn older(found: &Lineage, end: Serial, witness: &Witness) -> Self {
        witness.other(found).unwrap_or(Self::Older { witness: witness.name, end, seen: witness.head.serial })
    }

    /// The state of lineage `found` has another entry where `witness` saw its last, or is another one.
    pub(super) fn apart(found: &Lineage, witness: &Witness) -> Self {
        witness.other(found).unwrap_or(Self::Apart { witness: witness.name, at: witness.head.serial })
    }
}

impl Witness {
    /// How a state of lineage `found` is another one than this saw, if it is.
    fn other(&self, found: &Lineage) -> Option<Behind> {
        let expected = self.lineage.as_ref().filter(|expected| *expected != found)?.clone();
        Some(Behind::Other { witness: self.name, found: found.clone(), expected })
    }
}
