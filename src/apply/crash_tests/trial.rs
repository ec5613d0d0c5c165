//! What can befall a story: the places of a crash, its modes, what the server does besides, and the mistakes that are seeded.

/// The steps of everything that a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    Run,
    Bound,
    Resolved,
    Moved,
    Adopted,
    Protection,
    Replacing,
    Listed,
    Intent,
    Connect,
    Sent,
    Call,
    Received,
    Created,
    Retiring,
    RetireSent,
    Delete,
    List,
    Retired,
    Kept,
}

/// Those of one create.
pub(super) const CREATE: [Step; 9] =
    [Step::Run, Step::Bound, Step::Listed, Step::Intent, Step::Connect, Step::Sent, Step::Call, Step::Received, Step::Created];
/// Those of one delete.
pub(super) const DELETE: [Step; 6] = [Step::Retiring, Step::RetireSent, Step::Delete, Step::List, Step::Retired, Step::Kept];

/// Where in a step. For a call: not delivered; delivered and acted on, without an answer; answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Before,
    Written,
    Done,
}

pub(super) const WHENS: [When; 3] = [When::Before, When::Written, When::Done];

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The process is gone; what it wrote is in the page cache.
    Kill,
    /// The machine is gone with all that was not synced.
    PowerCut,
    /// The step returns an error, once.
    Fail,
}

pub(super) const MODES: [Mode; 3] = [Mode::Kill, Mode::PowerCut, Mode::Fail];
/// Names at once, and at which occurrence of the step.
pub(super) const SHAPES: [(usize, u32); 4] = [(1, 1), (1, 2), (3, 1), (3, 2)];

#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    pub(super) step: Step,
    pub(super) when: When,
    pub(super) mode: Mode,
    /// At which occurrence of the step.
    pub(super) nth: u32,
}

/// What the server does once besides, whatever else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Trouble {
    #[default]
    Nothing,
    /// A create is refused.
    CreateRefused,
    /// A delete is lost on its way: nothing came of it, and nobody says so.
    DeleteLost,
    /// A delete is refused.
    DeleteRefused,
    /// A delete is lost, and there is no list to tell.
    DeleteUnlisted,
}

/// What befalls a story, and how wide it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trial {
    pub(super) crash: Crash,
    pub(super) trouble: Trouble,
    /// How many requests at once.
    pub(super) parallel: usize,
}

impl Trial {
    /// Whether a story comes to the step of its crash at all: an instance is kept only where the server refuses its delete, and a
    /// list has no effect to be cut off.
    pub(super) fn can_be_met(&self) -> bool {
        match self.crash.step {
            Step::Kept => self.trouble == Trouble::DeleteRefused,
            Step::List => self.crash.when != When::Written,
            _ => true,
        }
    }
}

/// A crash at the first occurrence of each place in `steps`, by every mode.
pub(super) fn crashes(steps: impl IntoIterator<Item = Step>) -> impl Iterator<Item = Crash> {
    let places = steps.into_iter().flat_map(|step| WHENS.map(|when| (step, when)));
    places.flat_map(|(step, when)| MODES.map(|mode| Crash { step, when, mode, nth: 1 }))
}

/// Mistakes that somebody could make, each in the place of the real thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Defect {
    SentAfterCall,
    DoubtTakenForRefusal,
    RecoverySkipped,
    ParsedBeforeReceived,
    IntentNotSynced,
    NothingSynced,
    RetireSentAfterCall,
    RetiringNotSynced,
    UnknownTakenForDeleted,
    DeletedByName,
    SettledAfterCreates,
    SettlementsNotSynced,
    PlannedUnsettled,
    ReplacingNotSynced,
    ReplacedAgain,
    OldDeletedFirst,
}
