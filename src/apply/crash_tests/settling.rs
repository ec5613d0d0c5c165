//! The matrix of settlements: every entry of what a manifest settles (a doubt closed, a name moved, an instance taken in), and every
//! step of the creates after it; with all of it still to be done, or one part done by a run before.

use super::*;
use crate::manifest::{Manifest, Source};
use crate::plan::{Evidence, plan, settle};

/// What became of the create in doubt, as the manifest says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doubt {
    Made,
    NotMade,
}

/// What an earlier run has settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prior {
    Nothing,
    Doubt,
    Move,
    Import,
}

const PRIORS: [Prior; 4] = [Prior::Nothing, Prior::Doubt, Prior::Move, Prior::Import];

#[derive(Debug, Clone, Copy)]
struct Cell {
    trial: Trial,
    doubt: Doubt,
    prior: Prior,
}

const OLD: &str = "old";
const NEW: &str = "new";
const FOREIGN: &str = "desk";
const DOUBTFUL: &str = "x";
const ATTEMPT: &str = "a-in-doubt";

impl Case for Cell {
    fn trial(&self) -> Trial {
        self.trial
    }

    fn begin(&self, store: &mut dyn StateStore, world: &World) {
        make(store, world, &named(OLD), Step::Created);
        make_for_others(world, &named(FOREIGN));
        let attempt = AttemptId::typed(ATTEMPT);
        lock(&world.names).insert(attempt.clone(), named(DOUBTFUL));
        if self.doubt == Doubt::Made {
            let _ = world.create(&attempt);
        }
        let kind = InstanceType::WhatsApp;
        note(store, Event::Intent { attempt: attempt.clone(), name: named(DOUBTFUL), kind, fence: None });
        note(store, Event::Sent { attempt });
        let settled = settle(&self.manifest(world), store.state()).unwrap();
        let of = |event: &Event| match event {
            Event::Resolved { .. } => Prior::Doubt,
            Event::Moved { .. } => Prior::Move,
            _ => Prior::Import,
        };
        let events = settled.steps.iter().map(|(settlement, _)| settlement.event(Evidence::default()));
        for event in events.filter(|event| of(event) == self.prior) {
            note(store, event);
        }
    }

    async fn work(&self, applier: &Applier, world: &World) -> Result<(), RecordError> {
        applier.recover().await?;
        let state = applier.look(|store| store.state().clone()).await?;
        let settled = match settle(&self.manifest(world), &state) {
            Ok(settled) => settled,
            // One that is in doubt again has another attempt than the one that was settled: whoever wrote that has to look again.
            Err(_) if self.is_doubted_again(&state) => return Ok(()),
            Err(problems) => {
                world.demand(false, || format!("what is settled is refused: {problems:?}"));
                return Ok(());
            }
        };
        let plan = match world.defect {
            Some(Defect::PlannedUnsettled) => plan(&self.declared(), &state),
            _ => settled.plan(&self.declared()),
        };
        let steps: Vec<_> = settled.steps.iter().map(|(it, change)| (it.event(Evidence::default()), change.clone())).collect();
        *lock(&world.first) = steps.iter().filter_map(|(event, _)| mortal::step_of(event)).map(|(step, of)| (of, step)).collect();
        if plan.acts() {
            applier.begin(plan.aim()).await?;
        }
        if world.defect == Some(Defect::SettledAfterCreates) {
            create(applier, &plan).await?;
        }
        applier.settle_declared(steps, binding()).await?;
        create(applier, &plan).await?;
        applier.sync().await
    }

    fn check(&self, world: &World, dir: &Path) -> Result<(), String> {
        // What exists already is created by nobody.
        let state = promises(world, dir, |name| usize::from(*name != named(NEW)))?;
        if state.record(&named(OLD)).is_some() {
            return Err("the old name is still there".to_owned());
        }
        has_whole(world, dir, &state, (&named(NEW), &world.made(&named(OLD))[0]))?;
        has_id(&state, FOREIGN, &world.made(&named(FOREIGN))[0])?;
        let mut created: Vec<_> = self.fresh().collect();
        match self.doubt {
            Doubt::Made => has_id(&state, DOUBTFUL, &world.made(&named(DOUBTFUL))[0])?,
            Doubt::NotMade => created.push(named(DOUBTFUL)),
        }
        let doubts = created.iter().map(|name| is_doubted(&state, name)).collect::<Result<Vec<_>, _>>()?;
        let doubts = doubts.into_iter().filter(|is_doubted| *is_doubted).count();
        has_no_more_doubts(world, self.trial.crash, self.trial.parallel, doubts)?;
        // One that is in doubt again has another attempt.
        match settle(&self.manifest(world), &state) {
            Ok(settled) if settled.steps.is_empty() && settled.spent.len() == 3 => Ok(()),
            Ok(settled) => Err(format!("still to be settled: {:?}", settled.steps)),
            Err(_) if self.doubt == Doubt::NotMade && doubts > 0 => Ok(()),
            Err(problems) => Err(format!("what was settled is refused: {problems:?}")),
        }
    }
}

fn has_id(state: &State, name: &str, id: &InstanceId) -> Result<(), String> {
    let record = state.record(&named(name)).ok_or_else(|| format!("nothing is known of {name}"))?;
    if record.instance().is_some_and(|instance| instance.id == *id) {
        return Ok(());
    }
    Err(format!("{name} is {id}, and ends as {:?}", record.phase))
}

impl Cell {
    fn is_doubted_again(&self, state: &State) -> bool {
        let attempt = state.record(&named(DOUBTFUL)).and_then(Record::open_attempt);
        self.doubt == Doubt::NotMade && attempt.is_some_and(|attempt| attempt.id.to_string() != ATTEMPT)
    }

    fn fresh(&self) -> impl Iterator<Item = InstanceName> {
        (0..self.trial.parallel).map(name)
    }

    fn declared(&self) -> BTreeMap<InstanceName, InstanceType> {
        [NEW, FOREIGN, DOUBTFUL].map(named).into_iter().chain(self.fresh()).map(|name| (name, InstanceType::WhatsApp)).collect()
    }

    fn manifest(&self, world: &World) -> Manifest {
        let names: Vec<_> = self.declared().into_keys().map(|name| format!("{{name: {name}, type: whatsapp}}")).collect();
        let foreign = &world.made(&named(FOREIGN))[0];
        let verdict = match self.doubt {
            // What is created anew later is another one.
            Doubt::Made => format!("created: \"{}\"", world.made(&named(DOUBTFUL))[0]),
            Doubt::NotMade => "not-created: true".to_owned(),
        };
        let text = format!(
            "instances: [{}]\nimport: [{{name: {FOREIGN}, id: \"{foreign}\", type: whatsapp}}]\nmoved: [{{from: {OLD}, to: {NEW}}}]\n\
             resolutions: [{{name: {DOUBTFUL}, attempt: {ATTEMPT}, {verdict}}}]\n",
            names.join(", ")
        );
        Manifest::parse(&[Source::new("instances.yaml", text)]).unwrap()
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let steps = [Step::Resolved, Step::Moved, Step::Adopted].into_iter().chain(CREATE);
    for (crash, prior) in crashes(steps).flat_map(|crash| PRIORS.map(|prior| (crash, prior))) {
        let is_done = matches!(
            (crash.step, prior),
            (Step::Resolved, Prior::Doubt) | (Step::Moved, Prior::Move) | (Step::Adopted, Prior::Import)
        );
        for (doubt, parallel) in [(Doubt::Made, 1), (Doubt::NotMade, 3)] {
            if !is_done {
                cells.push(Cell { trial: Trial { crash, trouble: Trouble::Nothing, parallel }, doubt, prior });
            }
        }
    }
    cells
}

#[test]
fn p1_p3_p4_the_crash_matrix_of_settlements() {
    let cells = cells();
    assert!(cells.len() > 800);
    assert_kept("settlements", &cells);
}

#[test]
fn each_seeded_defect_of_a_settlement_makes_the_matrix_fail() {
    let is_plain = |cell: &Cell| (cell.trial.parallel, cell.prior, cell.doubt) == (1, Prior::Nothing, Doubt::Made);
    let cells: Vec<Cell> = cells().into_iter().filter(is_plain).collect();
    let defects = [
        (Defect::SettledAfterCreates, "P4"),
        (Defect::SettlementsNotSynced, "P4"),
        (Defect::NothingSynced, "P2"),
        // The state takes no second instance under a name that has one.
        (Defect::PlannedUnsettled, "nothing disturbs ends with"),
    ];
    assert_seen(&cells, &defects);
}
