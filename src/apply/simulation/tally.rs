//! What many seeds came to, in numbers.

use std::ops::AddAssign;

/// What was seen over many seeds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) creates: u64,
    pub(super) kills: u64,
    pub(super) power_cuts: u64,
    pub(super) doubts: u64,
    pub(super) settled_by_rule: u64,
    pub(super) locked_out: u64,
    pub(super) failed_closed: u64,
    pub(super) rebuilt: u64,
    /// Absences that the evidence allowed and that were none: the risk that is left.
    pub(super) wrong_absences: u64,
    pub(super) deletes: u64,
    /// Of those recorded as deleted, the ones that a list showed to be gone, and not the server's word.
    pub(super) deleted_by_list: u64,
    /// What the evidence allowed to call deleted, and was not: the risk that is left.
    pub(super) wrong_deletions: u64,
    /// What was called kept, since a list that lags still showed it.
    pub(super) wrong_keeps: u64,
    /// Deletes that nothing proves at the end.
    pub(super) unproven_deletes: u64,
    /// Names that a lying disk, or an older state with an older lock file, made forgotten.
    pub(super) excused: u64,
    /// Of those, created a second time.
    pub(super) excused_doubles: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.creates += other.creates;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.doubts += other.doubts;
        self.settled_by_rule += other.settled_by_rule;
        self.locked_out += other.locked_out;
        self.failed_closed += other.failed_closed;
        self.rebuilt += other.rebuilt;
        self.wrong_absences += other.wrong_absences;
        self.deletes += other.deletes;
        self.deleted_by_list += other.deleted_by_list;
        self.wrong_deletions += other.wrong_deletions;
        self.wrong_keeps += other.wrong_keeps;
        self.unproven_deletes += other.unproven_deletes;
        self.excused += other.excused;
        self.excused_doubles += other.excused_doubles;
    }
}
