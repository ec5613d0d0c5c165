//! What a campaign did, counted.

use std::fmt;

use super::oracle::Found;

/// What a campaign did. Duplicates and losses are not counted: the first one ends it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) rounds: usize,
    pub(crate) projects: usize,
    pub(crate) runs: usize,
    pub(crate) kills: usize,
    /// The run had ended before its kill.
    pub(crate) too_late: usize,
    pub(crate) found: Found,
    /// Kills with nothing of their own in the journal yet.
    pub(crate) before_intent: usize,
    /// Attempts that a kill left with an intent.
    pub(crate) intent: usize,
    /// … sent.
    pub(crate) sent: usize,
    /// … received.
    pub(crate) received: usize,
    /// Kills that left nothing open, after at least one create.
    pub(crate) between: usize,
    pub(crate) printed: usize,
    pub(crate) scratched: usize,
    pub(crate) restarts: usize,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.rounds += other.rounds;
        self.projects += other.projects;
        self.runs += other.runs;
        self.kills += other.kills;
        self.too_late += other.too_late;
        self.found.creates += other.found.creates;
        self.found.doubts_created += other.found.doubts_created;
        self.found.doubts_empty += other.found.doubts_empty;
        self.before_intent += other.before_intent;
        self.intent += other.intent;
        self.sent += other.sent;
        self.received += other.received;
        self.between += other.between;
        self.printed += other.printed;
        self.scratched += other.scratched;
        self.restarts += other.restarts;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { creates, doubts_created, doubts_empty } = self.found;
        write!(
            f,
            "{} rounds in {} projects, {} runs, {} kills ({} too late); kills hit: before any intent {}, between creates {}; \
             attempts hit: intent {}, sent {}, received {}; creates {creates}, in doubt {} ({doubts_created} exist, \
             {doubts_empty} do not), printed {}, scratched {}, server restarts {}; duplicates 0, lost 0",
            self.rounds,
            self.projects,
            self.runs,
            self.kills,
            self.too_late,
            self.before_intent,
            self.between,
            self.intent,
            self.sent,
            self.received,
            doubts_created + doubts_empty,
            self.printed,
            self.scratched,
            self.restarts,
        )
    }
}
