//! The second place for an answer that the journal does not take: the disk is full in spite of the reservation, or failing.

use serde::{Deserialize, Serialize};

use crate::instance::InstanceName;
use crate::state::{AttemptId, KeptAnswer, Lineage};

/// The version of the format.
const VERSION: u32 = 1;

/// An answer on its own, with all that it takes to bring it back. `chatapi state rescue` does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Packet {
    chatapi_rescue: u32,
    /// The state that it belongs to.
    pub lineage: Lineage,
    /// The instance's name at that time.
    pub name: InstanceName,
    /// The attempt.
    pub attempt: AttemptId,
    /// The answer, sealed where the state has recipients.
    pub answer: KeptAnswer,
}

impl Packet {
    /// An answer to `attempt`.
    pub fn new(lineage: &Lineage, name: &InstanceName, attempt: &AttemptId, answer: KeptAnswer) -> Self {
        let (lineage, name, attempt) = (lineage.clone(), name.clone(), attempt.clone());
        Self { chatapi_rescue: VERSION, lineage, name, attempt, answer }
    }

    /// Whether this version can read it.
    pub fn is_known(&self) -> bool {
        self.chatapi_rescue == VERSION
    }

    /// Whether its answer is sealed: only then may it go where others read.
    pub fn is_sealed(&self) -> bool {
        matches!(self.answer.body, crate::state::KeptBody::Sealed(_))
    }
}

/// Keeps what the journal does not take. Called at most once for each request in flight.
pub trait Rescue: Send + Sync {
    /// Where the packet is kept now, in words; nothing: nowhere, and its token is lost.
    fn save(&self, packet: &Packet) -> Option<String>;
}

/// No second place.
#[derive(Debug, Clone, Copy)]
pub struct NoRescue;

impl Rescue for NoRescue {
    fn save(&self, _: &Packet) -> Option<String> {
        None
    }
}
