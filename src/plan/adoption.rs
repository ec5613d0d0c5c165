//! Whether the server's list lets an instance be taken in: it shows it, with the type that is said, it can be believed, and no doubt
//! may have created that very instance. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::missing;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::state::{AttemptId, State};

/// Why an instance is not taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// The list cannot be believed.
    Incredible {
        /// What exists and is not in it.
        gone: Vec<InstanceId>,
    },
    /// The list does not show it.
    Unlisted,
    /// It has another type.
    OtherType {
        /// As the server calls it.
        listed: String,
    },
    /// It is new since an attempt of which nobody knows what it created.
    Doubtful {
        /// Whose.
        name: InstanceName,
        /// The attempt.
        attempt: AttemptId,
    },
}

/// A list that can be believed, held against a state.
#[derive(Debug)]
pub struct Admission<'a> {
    state: &'a State,
    listed: BTreeMap<&'a InstanceId, &'a ListedInstance>,
}

impl<'a> Admission<'a> {
    /// If `listing` can be believed: it can be read, and shows what exists.
    pub fn new(state: &'a State, listing: &'a Listing) -> Result<Self, Unfit> {
        let gone = missing(state, listing);
        if listing.odd_items > 0 || !gone.is_empty() {
            return Err(Unfit::Incredible { gone });
        }
        Ok(Self { state, listed: listing.instances.iter().map(|instance| (&instance.id, instance)).collect() })
    }

    /// What is listed as `id`, if it may be taken in; `kind`: the type that it has to have.
    pub fn of(&self, id: &InstanceId, kind: Option<InstanceType>) -> Result<(&'a ListedInstance, InstanceType), Unfit> {
        let found = self.listed.get(id).copied().ok_or(Unfit::Unlisted)?;
        if let Some((name, attempt)) = doubt_of(self.state, id) {
            return Err(Unfit::Doubtful { name: name.clone(), attempt: attempt.clone() });
        }
        match found.kind {
            Some(listed) if kind.is_none_or(|kind| kind == listed) => Ok((found, listed)),
            _ => Err(Unfit::OtherType { listed: found.type_text.clone() }),
        }
    }
}

/// The open doubt that may have created `id`: whatever its type, since a server may call that otherwise than we asked for. Without a
/// list from before the attempt any instance may be its own.
pub fn doubt_of<'s>(state: &'s State, id: &InstanceId) -> Option<(&'s InstanceName, &'s AttemptId)> {
    let is_its = |fence: Option<&BTreeSet<InstanceId>>| fence.is_none_or(|fence| !fence.contains(id));
    let mut doubts = state.doubts().filter(|(_, attempt, _)| is_its(state.fence_of(attempt)));
    doubts.next().map(|(record, attempt, _)| (&record.name, &attempt.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Entry, Event, FORMAT, Lineage, Serial};

    const WA: InstanceType = InstanceType::WhatsApp;
    const DEV: InstanceType = InstanceType::WhatsAppDev;

    fn id(text: &str) -> InstanceId {
        InstanceId::parse(text).unwrap()
    }

    /// A state that knows 1, and has a doubt since a list of `fence`; none: no list; no ids at all: no doubt either.
    fn state(fence: Option<&[&str]>) -> State {
        let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), FORMAT);
        let mut add = |event| {
            let entry = Entry { serial: state.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event };
            state.apply(&entry).unwrap();
            entry.serial
        };
        let name = |text: &str| InstanceName::parse(text).unwrap();
        add(Event::adopted("ours", "1"));
        if fence == Some(&[]) {
            return state;
        }
        let fence = fence.map(|ids| add(Event::Listed { ids: ids.iter().map(|text| id(text)).collect() }));
        let attempt = AttemptId::typed("a-x");
        add(Event::Intent { attempt: attempt.clone(), name: name("x"), kind: WA, fence });
        add(Event::Sent { attempt });
        state
    }

    #[test]
    fn p1_only_what_is_listed_for_certain_and_is_nobodys_is_taken_in() {
        type Row<'a> = (Option<&'a [&'a str]>, &'a [&'a str], usize, Option<InstanceType>, &'a str, &'a str);
        let rows: &[Row<'_>] = &[
            (Some(&[]), &["1", "7"], 0, Some(WA), "fits", "listed, and no doubt"),
            (Some(&[]), &["1", "7"], 0, None, "fits", "its type is what the list says"),
            (Some(&[]), &["1", "7"], 0, Some(DEV), "type whatsapp", "another type"),
            (Some(&[]), &["1"], 0, Some(WA), "unlisted", "not there"),
            (Some(&[]), &["7"], 0, Some(WA), "incredible 1", "what exists is missing"),
            (Some(&[]), &["1", "7"], 1, Some(WA), "incredible", "an item cannot be read"),
            (Some(&["1", "7"]), &["1", "7"], 0, Some(WA), "fits", "it was there before the doubt"),
            (Some(&["1"]), &["1", "7"], 0, Some(WA), "doubt x", "it may be what the doubt created"),
            (None, &["1", "7"], 0, Some(WA), "doubt x", "nobody knows what was there"),
        ];
        for (fence, listed, odd_items, kind, expected, why) in rows {
            let instances = listed.iter().map(|text| ListedInstance::bare(id(text), WA)).collect();
            let listing = Listing { instances, odd_items: *odd_items };
            let state = state(*fence);
            let found = match Admission::new(&state, &listing).and_then(|admission| admission.of(&id("7"), *kind)) {
                Ok((instance, WA)) if instance.id == id("7") => "fits".to_owned(),
                Ok(other) => panic!("{other:?}"),
                Err(Unfit::Incredible { gone }) => gone.iter().fold("incredible".to_owned(), |text, id| format!("{text} {id}")),
                Err(Unfit::Unlisted) => "unlisted".to_owned(),
                Err(Unfit::OtherType { listed }) => format!("type {listed}"),
                Err(Unfit::Doubtful { name, .. }) => format!("doubt {name}"),
            };
            assert_eq!(found, *expected, "{why}");
        }
        let mut strange = ListedInstance::bare(id("7"), WA);
        (strange.kind, strange.type_text) = (None, "telegram".to_owned());
        let listing = Listing { instances: vec![ListedInstance::bare(id("1"), WA), strange], odd_items: 0 };
        let state = state(Some(&[]));
        let unknown = Admission::new(&state, &listing).unwrap().of(&id("7"), None);
        assert_eq!(
            unknown.map(|_| ()),
            Err(Unfit::OtherType { listed: "telegram".to_owned() }),
            "a type that nobody can declare"
        );
    }
}
