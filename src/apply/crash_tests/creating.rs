//! The matrix of creates: every step of one create, with nothing known, created, in doubt or answered beforehand.

use super::*;
use crate::plan::{Action, plan};

/// What is known of the first name beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prior {
    Nothing,
    Created,
    InDoubt,
    Received,
}

pub(super) const PRIORS: [Prior; 4] = [Prior::Nothing, Prior::Created, Prior::InDoubt, Prior::Received];

#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) trial: Trial,
    pub(super) prior: Prior,
}

impl Case for Cell {
    fn trial(&self) -> Trial {
        self.trial
    }

    fn begin(&self, store: &mut dyn StateStore, world: &World) {
        let last = match self.prior {
            Prior::Nothing => return,
            Prior::InDoubt => Step::Sent,
            Prior::Received => Step::Received,
            Prior::Created => Step::Created,
        };
        make(store, world, &name(0), last);
    }

    async fn work(&self, applier: &Applier, world: &World) -> Result<(), RecordError> {
        if world.defect != Some(Defect::RecoverySkipped) {
            applier.recover().await?;
        }
        let state = applier.look(|store| store.state().clone()).await?;
        let declared = (0..self.names()).map(|index| (name(index), InstanceType::WhatsApp)).collect();
        create(applier, &plan(&declared, &state)).await.map(|_| ())
    }

    fn check(&self, world: &World, dir: &Path) -> Result<(), String> {
        let mut doubts = self.doubts(world, dir)?;
        if self.prior == Prior::InDoubt && !doubts.remove(&0) {
            return Err("P7: the prior doubt is gone without evidence".into());
        }
        has_no_more_doubts(world, self.trial.crash, self.trial.parallel, doubts.len())
    }
}

impl Cell {
    pub(super) fn names(&self) -> usize {
        1 + self.trial.parallel
    }

    /// What was promised, and which of the names are in doubt.
    pub(super) fn doubts(&self, world: &World, dir: &Path) -> Result<BTreeSet<usize>, String> {
        let state = promises(world, dir, |_| 1)?;
        let mut doubts = BTreeSet::new();
        for index in 0..self.names() {
            if is_doubted(&state, &name(index))? {
                doubts.insert(index);
            }
        }
        Ok(doubts)
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for (crash, prior) in crashes(CREATE).flat_map(|crash| PRIORS.map(|prior| (crash, prior))) {
        for (parallel, nth) in SHAPES {
            cells.push(Cell { trial: Trial { crash: Crash { nth, ..crash }, trouble: Trouble::Nothing, parallel }, prior });
        }
    }
    cells
}

#[test]
fn p1_p2_p3_the_crash_matrix() {
    let cells = cells();
    assert!(cells.len() > 1_000);
    assert_kept("creates", &cells);
}

#[test]
fn each_seeded_defect_makes_the_matrix_fail() {
    let is_plain = |cell: &Cell| {
        let Crash { step, nth, .. } = cell.trial.crash;
        let is_first = nth == 1 || matches!(step, Step::Received | Step::Created);
        cell.trial.parallel == 1 && is_first && matches!(cell.prior, Prior::Nothing | Prior::Received)
    };
    let cells: Vec<Cell> = cells().into_iter().filter(is_plain).collect();
    let defects = [
        (Defect::SentAfterCall, "P1"),
        (Defect::DoubtTakenForRefusal, "P1"),
        (Defect::RecoverySkipped, "ends as"),
        (Defect::ParsedBeforeReceived, "doubts"),
        (Defect::IntentNotSynced, "P2"),
        (Defect::NothingSynced, "P1"),
    ];
    assert_seen(&cells, &defects);
}

#[test]
fn the_plan_of_a_held_name_says_so() {
    let crash = Crash { step: Step::Call, when: When::Written, mode: Mode::Kill, nth: 1 };
    let cell = Cell { trial: Trial { crash, trouble: Trouble::Nothing, parallel: 1 }, prior: Prior::Nothing };
    let dir = scratch();
    let world = Arc::new(World::default());
    world.aim(Some(crash));
    let store = open(dir.path(), &world, &DiskControl::default(), &cell).unwrap();
    run(&cell, store, &world, "boot-1").unwrap();
    let reading = crate::store::read(dir.path(), None).unwrap();
    let plan = plan(&BTreeMap::from([(name(0), InstanceType::WhatsApp)]), &reading.state);
    assert_eq!(plan.changes[0].action, Action::Hold);
}
