//! What must be true when both runs are over and nothing is on its way.

use super::facts::{Fact, TRIED, fold, id, ids, name};
use super::run::{creates, recovery, swapped};
use super::world::World;
use super::{Defect, Setting};
use crate::state::State;

/// An end, in figures.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) doubts: usize,
    pub(super) adopted: usize,
    pub(super) absent: usize,
}

/// The state opens and recovers, each instance is accounted for or its name is in doubt, an operator who knows the truth can leave
/// every doubt, and what is planned then is the rest.
pub(super) fn end(world: &World, setting: Setting) -> Result<End, String> {
    if setting.defect == Some(Defect::NoLock) {
        // Two writers' entries are no journal.
        return Ok(End::default());
    }
    let mut state = fold(&world.journal)?;
    while let Some(fact) = state.records().values().find_map(|record| recovery(record, world, setting.keeps)) {
        fact.apply_to(&mut state)?;
    }
    let doubts = state.doubts().count();
    // Each instance that is not ours and has a name leaves one of ours without.
    let swapped = swapped(&state);
    if unaccounted(world, &state).len() > doubts + swapped {
        return Err("V2: an instance has no name, and no name is in doubt for it".to_owned());
    }
    leave_doubts(world, &mut state)?;
    if unaccounted(world, &state).len() > swapped {
        return Err("V2: an instance has no name although every doubt was left".to_owned());
    }
    let open = state.records().values().filter(|record| record.open_attempt().is_some()).count();
    let created = state.records().values().filter(|record| record.instance().is_some()).count();
    if open > 0 || created + creates(&state, setting.names).len() != usize::from(setting.names) {
        return Err(format!(
            "V6: {open} attempts stay open, {created} names are created, {:?} planned",
            creates(&state, setting.names)
        ));
    }
    let count = |is: fn(&Fact) -> bool| world.journal.iter().filter(|fact| is(fact)).count();
    let adopted = count(|fact| matches!(fact, Fact::Resolved(_, Some(_))));
    Ok(End { doubts, adopted, absent: count(|fact| matches!(fact, Fact::Resolved(_, None))) })
}

/// Our instances that no name has.
fn unaccounted(world: &World, state: &State) -> Vec<u8> {
    ids(world.exists).filter(|index| *index < TRIED && !state.known_ids().contains_key(&id(*index))).collect()
}

/// An operator gives each doubt its own instance, then what is left, then says that there is none.
fn leave_doubts(world: &World, state: &mut State) -> Result<(), String> {
    let is_own = |index: &u8, doubt: u8| index % 2 == doubt;
    for only_own in [true, false] {
        for doubt in 0..2 {
            let attempt = state.doubts().find(|(record, ..)| record.name == name(doubt)).map(|(_, open, _)| open.id.clone());
            let Some(attempt) = attempt else { continue };
            let tried = attempt.as_str().as_bytes()[2] - b'0';
            let left = unaccounted(world, state);
            let found = left.into_iter().find(|index| !only_own || is_own(index, doubt));
            if found.is_some() || !only_own {
                Fact::Resolved(tried, found).apply_to(state)?;
            }
        }
    }
    Ok(())
}
