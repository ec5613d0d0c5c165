//! The matrix of replacements: `apply --replace` from setting the old one aside, over the create, to its delete; where the server
//! refuses the create, the old one has its name again. The order is that of `cli::apply`, which is repeated here.

use super::*;
use crate::plan::{Replace, is_usable, plan};

/// How far an earlier run came with the first name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Prior {
    Created,
    /// The old one is set aside, and nothing is in its place.
    Aside,
    NewInDoubt,
    NewReceived,
    NewCreated,
    /// The delete of the old one is on record and not sent.
    OldBegun,
    /// It is sent, and has not come to the server.
    OldLost,
    /// It is sent, and carried out.
    OldCarriedOut,
}

const PRIORS: [Prior; 8] = [
    Prior::Created,
    Prior::Aside,
    Prior::NewInDoubt,
    Prior::NewReceived,
    Prior::NewCreated,
    Prior::OldBegun,
    Prior::OldLost,
    Prior::OldCarriedOut,
];

#[derive(Debug, Clone, Copy)]
struct Cell {
    trial: Trial,
    prior: Prior,
}

const STAYS: &str = "stays";

impl Case for Cell {
    fn trial(&self) -> Trial {
        self.trial
    }

    fn begin(&self, store: &mut dyn StateStore, world: &World) {
        world.is_replacing.store(true, Ordering::SeqCst);
        make(store, world, &named(STAYS), Step::Created);
        let olds: Vec<_> = self.names().map(|name| make(store, world, &name, Step::Created)).collect();
        lock(&world.doomed).extend(olds.iter().cloned());
        if self.prior == Prior::Created {
            return;
        }
        let aside = aside(&name(0), &olds[0]);
        note(store, Event::Replacing { name: name(0), to: aside.clone() });
        match self.prior {
            Prior::Created | Prior::Aside => {}
            Prior::NewInDoubt => drop(make(store, world, &name(0), Step::Sent)),
            Prior::NewReceived => drop(make(store, world, &name(0), Step::Received)),
            _ => drop(make(store, world, &name(0), Step::Created)),
        }
        match self.prior {
            Prior::OldBegun => begin_delete(store, world, &aside, Step::Retiring),
            Prior::OldLost => begin_delete(store, world, &aside, Step::RetireSent),
            Prior::OldCarriedOut => begin_delete(store, world, &aside, Step::Retired),
            _ => {}
        }
    }

    async fn work(&self, applier: &Applier, world: &World) -> Result<(), RecordError> {
        applier.recover().await?;
        let state = applier.look(|store| store.state().clone()).await?;
        let names: Vec<_> = self.names().collect();
        let asked: Vec<_> = names.iter().map(|name| Replace { name: name.clone(), id: None }).collect();
        let plan = plan(&self.declared(), &state).replacing(&asked, |_| false, &state);
        let mut replaced: Vec<_> = plan.set_asides().map(|(name, aside)| (name.clone(), aside.clone())).collect();
        let replacements: Vec<_> = plan.replacements().map(|(name, aside)| (name.clone(), aside.clone())).collect();
        *lock(&world.first) = replaced.iter().map(|(name, _)| (name.to_string(), Step::Replacing)).collect();
        if plan.acts() {
            applier.begin(plan.aim()).await?;
        }
        if world.defect == Some(Defect::ReplacedAgain) {
            // Without a look at what was replaced before.
            let there = names.iter().filter(|name| is_usable(&state, name) && state.replaced(name).is_some());
            replaced.extend(there.map(|name| (name.clone(), aside(name, state.record(name).and_then(Record::id).unwrap()))));
        }
        for (name, aside) in &replaced {
            applier.set_aside(name, aside).await?;
        }
        if world.defect == Some(Defect::OldDeletedFirst) {
            retire(applier, world, &replaced.iter().map(|(_, aside)| aside.clone()).collect(), false).await?;
        }
        let plan = match world.defect {
            Some(Defect::ReplacedAgain) => {
                crate::plan::plan(&self.declared(), &applier.look(|store| store.state().clone()).await?)
            }
            _ => plan,
        };
        let report = create(applier, &plan).await?;
        // What an earlier run has set aside, too.
        let begun = replacements.into_iter().filter(|(name, _)| replaced.iter().all(|(other, _)| other != name));
        for (name, aside) in &replaced.iter().cloned().chain(begun).collect::<Vec<_>>() {
            if report.outcomes.get(name).is_some_and(came_to_nothing) {
                applier.move_back(aside, name).await?;
            }
        }
        let state = applier.look(|store| store.state().clone()).await?;
        let olds = names.iter().filter(|name| is_usable(&state, name)).filter_map(|name| state.replaced(name));
        let olds: BTreeSet<_> = olds.filter(|old| !old.is_retired()).map(|old| old.name.clone()).collect();
        if report.halt.is_none() {
            retire(applier, world, &olds, false).await?;
        }
        applier.sync().await
    }

    fn check(&self, world: &World, dir: &Path) -> Result<(), String> {
        let is_new = |name: &InstanceName| self.names().any(|it| it == *name);
        let state = promises(world, dir, |name| if is_new(name) { 2 } else { 1 })?;
        has_whole(world, dir, &state, (&named(STAYS), &world.made(&named(STAYS))[0]))?;
        let mut doubts = 0_usize;
        for name in self.names() {
            let made = world.made(&name);
            let aside = aside(&name, &made[0]);
            if is_doubted(&state, &name)? {
                // Nobody knows of a new one, and the old one is there.
                doubts += 1;
                has_whole(world, dir, &state, (&aside, &made[0]))?;
                continue;
            }
            has_whole(world, dir, &state, (&name, made.get(1).ok_or("there is no new one")?))?;
            let is_retired = state.record(&aside).is_some_and(|old| old.is_retired() && old.id() == Some(&made[0]));
            if !is_retired || world.has(&made[0]) {
                return Err(format!("{aside} is not deleted"));
            }
        }
        let prior = usize::from(self.prior == Prior::NewInDoubt);
        let mine = doubts.checked_sub(prior).ok_or("the prior doubt is gone")?;
        has_no_more_doubts(world, self.trial.crash, self.trial.parallel, mine)
    }
}

impl Cell {
    fn names(&self) -> impl Iterator<Item = InstanceName> + use<> {
        (0..=self.trial.parallel).map(name)
    }

    fn declared(&self) -> BTreeMap<InstanceName, InstanceType> {
        self.names().chain([named(STAYS)]).map(|name| (name, InstanceType::WhatsApp)).collect()
    }
}

fn aside(name: &InstanceName, id: &InstanceId) -> InstanceName {
    named(&format!("{name}.{id}"))
}

fn came_to_nothing(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused { .. } | Outcome::NotSent { .. } | Outcome::NotCreated { .. } | Outcome::NotTried)
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let steps = [Step::Replacing, Step::Moved].into_iter().chain(CREATE).chain(DELETE);
    for (crash, prior) in crashes(steps).flat_map(|crash| PRIORS.map(|prior| (crash, prior))) {
        for trouble in [Trouble::Nothing, Trouble::CreateRefused, Trouble::DeleteLost, Trouble::DeleteRefused] {
            for (parallel, nth) in [(1, 1), (3, 2)] {
                let trial = Trial { crash: Crash { nth, ..crash }, trouble, parallel };
                // What the server does besides is told from one beginning, and several at once from some.
                let is_some = matches!(prior, Prior::Created | Prior::NewInDoubt | Prior::OldLost);
                let is_told = match trouble {
                    Trouble::Nothing => parallel == 1 || is_some,
                    _ => (prior, parallel) == (Prior::Created, 1),
                };
                // The old one has its name again only where the new one is refused.
                let can_move = crash.step != Step::Moved || trouble == Trouble::CreateRefused;
                if is_told && can_move && trial.can_be_met() {
                    cells.push(Cell { trial, prior });
                }
            }
        }
    }
    cells
}

#[test]
fn p1_p3_p9_the_crash_matrix_of_replacements() {
    let cells = cells();
    assert!(cells.len() > 1_000);
    assert_kept("replacements", &cells);
}

#[test]
fn each_seeded_defect_of_a_replacement_makes_the_matrix_fail() {
    let is_plain = |cell: &Cell| {
        let is_simple =
            (cell.trial.parallel, cell.trial.trouble) == (1, Trouble::Nothing) && cell.trial.crash.mode == Mode::PowerCut;
        is_simple && matches!(cell.prior, Prior::Created | Prior::NewCreated)
    };
    let cells: Vec<Cell> = cells().into_iter().filter(is_plain).collect();
    let defects = [
        (Defect::OldDeletedFirst, "before what replaces it"),
        (Defect::ReplacingNotSynced, "P4"),
        (Defect::ReplacedAgain, "P1"),
        (Defect::DeletedByName, "nobody had named it"),
        (Defect::RetiringNotSynced, "P2"),
    ];
    assert_seen(&cells, &defects);
}
