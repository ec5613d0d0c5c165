//! Which records an entry changes, so that an index writes those and no others.

use super::{Event, State, Verdict};
use crate::instance::{InstanceId, InstanceName};

impl State {
    /// The names whose records `event`, which is to be taken in next, changes.
    pub(crate) fn touched(&self, event: &Event) -> Vec<InstanceName> {
        let mut names: Vec<InstanceName> = match event {
            Event::Moved { from: one, to: other } | Event::Replacing { name: one, to: other } => vec![one.clone(), other.clone()],
            Event::Noted { orphaned: some, returned: others } | Event::Protection { protected: some, unprotected: others } => {
                some.iter().chain(others).cloned().collect()
            }
            other => other.name().or_else(|| self.name_of_attempt(other)).cloned().into_iter().collect(),
        };
        // What was deleted has its id no longer, once the server gives that again.
        let owners = |id| self.known_ids().get(id).into_iter().chain(self.former_ids.get(id));
        names.extend(gained(event).into_iter().flat_map(owners).cloned());
        names
    }
}

/// The id that a name gets.
const fn gained(event: &Event) -> Option<&InstanceId> {
    match event {
        Event::Created { id, .. } | Event::Adopted { id, .. } | Event::Resolved { verdict: Verdict::Created { id, .. }, .. } => {
            Some(id)
        }
        _ => None,
    }
}
