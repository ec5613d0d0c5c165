//! The matrix of deletes: every step of a delete, as `destroy` and `apply --prune` have it, of an instance that exists, was
//! protected, has another's former name, is being deleted already, or is gone. Beside those that are named stand one that is not, one
//! that is protected, and somebody else's: they are all there at the end.

use super::*;
use crate::plan::{Action, plan};

/// What is known of the first name beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prior {
    Created,
    /// Protected, and the operator says that it goes all the same.
    Protected,
    /// It had another name once, which is now that of the one that stays.
    Renamed,
    /// Its delete is on record and not sent.
    Begun,
    /// It is sent, and has not come to the server.
    Lost,
    /// It is sent, and carried out.
    CarriedOut,
    /// Somebody else has deleted it.
    Gone,
}

const PRIORS: [Prior; 7] =
    [Prior::Created, Prior::Protected, Prior::Renamed, Prior::Begun, Prior::Lost, Prior::CarriedOut, Prior::Gone];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verb {
    Destroy,
    /// Together with a create, which comes first.
    Prune,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    trial: Trial,
    prior: Prior,
    verb: Verb,
}

const STAYS: &str = "stays";
const PROTECTED: &str = "protected";
const STRANGER: &str = "stranger";
const FRESH: &str = "fresh";

impl Case for Cell {
    fn trial(&self) -> Trial {
        self.trial
    }

    fn begin(&self, store: &mut dyn StateStore, world: &World) {
        let is_renamed = self.prior == Prior::Renamed;
        if is_renamed {
            make(store, world, &named(STAYS), Step::Created);
            note(store, Event::Moved { from: named(STAYS), to: name(0) });
        }
        make(store, world, &named(STAYS), Step::Created);
        make(store, world, &named(PROTECTED), Step::Created);
        make_for_others(world, &named(STRANGER));
        for name in (usize::from(is_renamed)..=self.trial.parallel).map(name) {
            make(store, world, &name, Step::Created);
        }
        lock(&world.doomed).extend((0..=self.trial.parallel).map(|index| self.id(world, index)));
        let is_protected = self.prior == Prior::Protected;
        let protected = std::iter::once(named(PROTECTED)).chain(is_protected.then(|| name(0))).collect();
        note(store, Event::Protection { protected, unprotected: vec![] });
        match self.prior {
            Prior::Created | Prior::Protected | Prior::Renamed => {}
            Prior::Begun => begin_delete(store, world, &name(0), Step::Retiring),
            Prior::Lost => begin_delete(store, world, &name(0), Step::RetireSent),
            Prior::CarriedOut => begin_delete(store, world, &name(0), Step::Retired),
            Prior::Gone => world.delete(&self.id(world, 0)).unwrap(),
        }
    }

    async fn work(&self, applier: &Applier, world: &World) -> Result<(), RecordError> {
        applier.recover().await?;
        let state = applier.look(|store| store.state().clone()).await?;
        let named = match self.verb {
            Verb::Destroy => {
                // An apply in between: what is being deleted is held, and nothing is created for it.
                let there = self.doomed(&state, |record| !record.is_retired());
                let plan = plan(&declared(there.into_iter()), &state);
                world.demand(plan.with(Action::Create).next().is_none(), || format!("P1: {plan:?}"));
                create(applier, &plan).await?;
                self.doomed(&state, |record| !record.is_retired())
            }
            Verb::Prune => {
                let plan = plan(&declared([super::named(FRESH)].into_iter()), &state).pruning(&state);
                if create(applier, &plan).await?.halt.is_some() {
                    return Ok(());
                }
                plan.with(Action::Delete).map(|change| change.name.clone()).collect()
            }
        };
        let is_unprotecting = self.prior == Prior::Protected;
        // What a run before has not deleted is as protected as it was.
        let lifted = self.doomed(&state, |record| !record.is_retired() && !record.is_protected);
        world.demand(!is_unprotecting || !lifted.contains(&name(0)), || format!("P9: nobody protects {lifted:?} any more"));
        retire(applier, world, &named, is_unprotecting).await?;
        applier.sync().await
    }

    fn check(&self, world: &World, dir: &Path) -> Result<(), String> {
        let was_renamed = |name: &InstanceName| self.prior == Prior::Renamed && name.as_str() == STAYS;
        let state = promises(world, dir, |name| if was_renamed(name) { 2 } else { 1 })?;
        for (name, id) in (0..=self.trial.parallel).map(|index| (name(index), self.id(world, index))) {
            let record = state.record(&name).ok_or_else(|| format!("{name} is forgotten"))?;
            if !record.is_retired() || record.id() != Some(&id) || world.has(&id) {
                return Err(format!("{name} was {id}, and ends as {:?}", record.phase));
            }
        }
        has_whole(world, dir, &state, (&named(STAYS), world.made(&named(STAYS)).last().unwrap()))?;
        has_whole(world, dir, &state, (&named(PROTECTED), &world.made(&named(PROTECTED))[0]))?;
        if !world.has(&world.made(&named(STRANGER))[0]) {
            return Err("P9: a stranger's is gone".to_owned());
        }
        let doubts = match self.verb {
            Verb::Destroy => 0,
            Verb::Prune => usize::from(is_doubted(&state, &named(FRESH))?),
        };
        has_no_more_doubts(world, self.trial.crash, 1, doubts)
    }
}

impl Cell {
    /// What a name to be deleted has.
    fn id(&self, world: &World, index: usize) -> InstanceId {
        let was = if self.prior == Prior::Renamed && index == 0 { named(STAYS) } else { name(index) };
        world.made(&was)[0].clone()
    }

    /// Those of the names to be deleted that are so on record.
    fn doomed(&self, state: &State, are_so: fn(&Record) -> bool) -> BTreeSet<InstanceName> {
        (0..=self.trial.parallel).map(name).filter(|name| state.record(name).is_some_and(are_so)).collect()
    }
}

fn declared(more: impl Iterator<Item = InstanceName>) -> BTreeMap<InstanceName, InstanceType> {
    [named(STAYS), named(PROTECTED)].into_iter().chain(more).map(|name| (name, InstanceType::WhatsApp)).collect()
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let steps = [Step::Run].into_iter().chain(DELETE);
    let troubles = [Trouble::Nothing, Trouble::DeleteLost, Trouble::DeleteRefused, Trouble::DeleteUnlisted];
    for (crash, prior) in crashes(steps).flat_map(|crash| PRIORS.map(|prior| (crash, prior))) {
        for (trouble, (parallel, nth)) in troubles.into_iter().flat_map(|trouble| [(trouble, (1, 1)), (trouble, (3, 2))]) {
            let trial = Trial { crash: Crash { nth, ..crash }, trouble, parallel };
            // What the server does besides is told by one shape.
            let is_told = trouble == Trouble::Nothing || (parallel, nth) == (1, 1);
            if is_told && trial.can_be_met() {
                cells.push(Cell { trial, prior, verb: Verb::Destroy });
            }
        }
    }
    cells
}

/// A prune, with a crash in its create or in its deletes.
fn prunes() -> Vec<Cell> {
    let mut cells = Vec::new();
    for crash in crashes(CREATE.into_iter().chain(DELETE)) {
        let trial = Trial { crash, trouble: Trouble::Nothing, parallel: 3 };
        let priors = [Prior::Created, Prior::Begun, Prior::CarriedOut, Prior::Gone];
        if trial.can_be_met() {
            cells.extend(priors.map(|prior| Cell { trial, prior, verb: Verb::Prune }));
        }
    }
    cells
}

#[test]
fn p1_p2_p9_the_crash_matrix_of_deletes() {
    let cells = cells();
    assert!(cells.len() > 1_500);
    assert_kept("deletes", &cells);
}

#[test]
fn p1_p9_the_crash_matrix_of_creates_with_deletes_after_them() {
    assert_kept("prunes", &prunes());
}

#[test]
fn each_seeded_defect_of_a_delete_makes_the_matrix_fail() {
    let is_plain = |cell: &Cell| {
        let is_simple = (cell.trial.parallel, cell.prior) == (1, Prior::Renamed) && cell.trial.crash.mode == Mode::PowerCut;
        is_simple && matches!(cell.trial.trouble, Trouble::Nothing | Trouble::DeleteLost)
    };
    let cells: Vec<Cell> = cells().into_iter().filter(is_plain).collect();
    let defects = [
        (Defect::RetireSentAfterCall, "P2"),
        (Defect::RetiringNotSynced, "P2"),
        (Defect::NothingSynced, "P2"),
        (Defect::UnknownTakenForDeleted, "is called deleted"),
        (Defect::DeletedByName, "nobody had named it"),
    ];
    assert_seen(&cells, &defects);
}
