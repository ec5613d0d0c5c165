//! The lists of the account that are on record: what was there before an attempt, and what was seen since.

use std::collections::BTreeSet;

use super::{Attempt, Serial, State};
use crate::instance::InstanceId;

impl State {
    /// The newest list that is on record, with its entry; none: none was ever had.
    pub fn newest_fence(&self) -> Option<(Serial, &BTreeSet<InstanceId>)> {
        self.fences.last_key_value().map(|(serial, ids)| (*serial, ids))
    }

    /// The ids that were listed just before `attempt`; none: there was no list.
    pub fn fence_of(&self, attempt: &Attempt) -> Option<&BTreeSet<InstanceId>> {
        self.fences.get(&attempt.fence?)
    }

    /// Whether a list from before `attempt` is there and does not show `id`. Without one nothing is called new.
    pub fn is_new_to(&self, attempt: &Attempt, id: &InstanceId) -> bool {
        self.fence_of(attempt).is_some_and(|fence| !fence.contains(id))
    }

    /// What lists have shown that never belonged to a name of ours, each with the list.
    pub fn seen(&self) -> Vec<(Serial, &InstanceId)> {
        let former: BTreeSet<&InstanceId> = self.former().map(|(former, _)| &former.id).collect();
        let all = self.fences.iter().flat_map(|(serial, ids)| ids.iter().map(|id| (*serial, id)));
        all.filter(|(_, id)| !self.ids.contains_key(*id) && !former.contains(id)).collect()
    }

    /// The lists that are of use: those that open attempts refer to, those since the oldest of them, and the newest.
    pub(crate) fn used_fences(&self) -> BTreeSet<Serial> {
        let open: BTreeSet<Serial> = self.open_fences().collect();
        let since = open.first().map(|oldest| self.fences.range(*oldest..).map(|(serial, _)| *serial));
        let newest = self.fences.keys().next_back().copied();
        open.iter().copied().chain(since.into_iter().flatten()).chain(newest).collect()
    }

    fn open_fences(&self) -> impl Iterator<Item = Serial> {
        self.records.values().filter_map(|record| record.open_attempt()?.fence)
    }

    /// Before `newest` comes: a list that no attempt refers to is kept only while it shows what an open attempt may have created
    /// and the newest does not show.
    pub(super) fn forget_old_fences(&mut self, newest: &BTreeSet<InstanceId>) {
        let open: BTreeSet<Serial> = self.open_fences().collect();
        let oldest = open.first().copied();
        let before = oldest.and_then(|oldest| self.fences.get(&oldest)).cloned().unwrap_or_default();
        let is_evidence = |id: &InstanceId| !newest.contains(id) && !before.contains(id) && !self.ids.contains_key(id);
        let tells =
            |serial: Serial, ids: &BTreeSet<InstanceId>| oldest.is_some_and(|it| serial > it) && ids.iter().any(is_evidence);
        let kept: BTreeSet<Serial> = self.fences.iter().filter(|(serial, ids)| tells(**serial, ids)).map(|(it, _)| *it).collect();
        self.fences.retain(|serial, _| open.contains(serial) || kept.contains(serial));
    }
}
