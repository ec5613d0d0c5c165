//! One run: it opens, recovers, settles doubts by the list where the account is exclusive, plans, lists, and tries each name once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::facts::{Fact, OLD, STRANGER, Said, Tried, at, boot, fold, id, ids, name};
use super::world::{Net, World};
use super::{Defect, Setting};
use crate::instance::InstanceType;
use crate::listing::{ListedInstance, Listing};
use crate::plan::{Action, Candidates, Moment, Proposal, Settling, plan, propose, unsent_proof};
use crate::state::{Phase, Record, State};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Run {
    Idle,
    Recovering,
    /// Lists for its doubts; `first`: what it saw the first time.
    Examining {
        first: Option<u8>,
    },
    /// Writes what the rules say of each name, if anything.
    Resolving([Option<Ruling>; 2]),
    Fencing,
    /// Has a fence or not.
    Working([Work; 2], bool),
    Done,
    Dead,
}

/// Where the try of one name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Due,
    Begun,
    /// `sent` is durable.
    Cleared,
    /// The request is let go.
    Waiting,
    /// The answer is durable.
    Received(Said),
    Over,
}

/// What a rule says of a doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ruling {
    Exists(u8),
    NotCreated,
}

impl Run {
    pub(super) fn is_alive(self) -> bool {
        !matches!(self, Self::Idle | Self::Done | Self::Dead)
    }
}

/// What a record that an earlier run left open becomes.
pub(super) fn recovery(record: &Record, world: &World, keeps: bool) -> Option<Fact> {
    let tried = |attempt: &crate::state::Attempt| attempt.id.as_str().as_bytes()[2] - b'0';
    match &record.phase {
        Phase::Received(attempt, _) => {
            let tried = tried(attempt);
            let said = world.journal.iter().find_map(|fact| match fact {
                Fact::Received(of, said) if *of == tried => Some(*said),
                _ => None,
            });
            Some(judged(tried, said.unwrap(), world.tick))
        }
        Phase::Intent(attempt) => {
            let proof = unsent_proof(attempt, Some(&boot(world.boot)), keeps);
            let tried = tried(attempt);
            Some(if proof.is_some() { Fact::Unsent(tried) } else { Fact::Doubted(tried, world.tick) })
        }
        _ => None,
    }
}

fn judged(tried: Tried, said: Said, tick: u8) -> Fact {
    match said {
        Said::Created => Fact::Created(tried),
        Said::Refused => Fact::Refused(tried),
        Said::Unclear => Fact::Doubted(tried, tick),
    }
}

pub(super) fn creates(state: &State, names: u8) -> Vec<u8> {
    let declared: BTreeMap<_, _> = (0..names).map(|index| (name(index), InstanceType::WhatsApp)).collect();
    let plan = plan(&declared, state);
    let wanted: Vec<_> = plan.with(Action::Create).map(|change| change.name.clone()).collect();
    (0..names).filter(|index| wanted.contains(&name(*index))).collect()
}

fn number(found: &crate::instance::InstanceId) -> u8 {
    ids(u8::MAX).find(|index| id(*index) == *found).unwrap()
}

impl World {
    /// What the run `run` may do next.
    pub(super) fn run_on(&self, run: usize, setting: Setting, next: &mut Vec<Self>) -> Result<(), String> {
        match self.runs[run] {
            Run::Idle => self.open(run, setting, next),
            Run::Recovering => self.recover(run, setting, next),
            Run::Examining { first } => {
                self.examine(run, first, setting, next);
                Ok(())
            }
            Run::Resolving(verdicts) => self.resolve(run, verdicts, setting, next),
            Run::Fencing => self.fence(run, setting, next),
            Run::Working(works, is_fenced) => {
                if works == [Work::Over; 2] {
                    next.push(self.finished(run)?);
                }
                // One after the other, as with `--parallelism 1`; a request of the dead is still on its way beside them.
                if let Some(index) = works.iter().position(|work| *work != Work::Over) {
                    self.work(run, index, (works, is_fenced), setting, next)?;
                }
                Ok(())
            }
            Run::Done | Run::Dead => Ok(()),
        }
    }

    fn state(&self, run: usize) -> &State {
        self.states[run].as_deref().unwrap()
    }

    fn at(&self, run: usize, step: Run) -> Self {
        let mut world = self.clone();
        world.runs[run] = step;
        world
    }

    /// Written, not durable.
    fn note(&self, run: usize, fact: Fact) -> Result<Self, String> {
        if let Fact::Created(tried) = fact
            && !self.is_durable(|fact| *fact == Fact::Received(tried, Said::Created))
        {
            return Err(format!("V3: {tried} is called created, and its answer is not durable"));
        }
        let mut state = self.state(run).clone();
        fact.apply_to(&mut state)?;
        let mut world = self.clone();
        world.states[run] = Some(Arc::new(state));
        world.journal.push(fact);
        Ok(world)
    }

    /// Durable; or the process dies before it is.
    fn record(&self, run: usize, fact: Fact, next: &mut Vec<Self>) -> Result<Self, String> {
        let mut world = self.note(run, fact)?;
        next.push(world.clone().with_dead(run));
        world.durable = world.journal.len();
        Ok(world)
    }

    fn open(&self, run: usize, setting: Setting, next: &mut Vec<Self>) -> Result<(), String> {
        let is_locked = self.runs.iter().any(|run| run.is_alive()) && setting.defect != Some(Defect::NoLock);
        if is_locked || (run == 1 && self.runs[0] == Run::Idle) {
            return Ok(());
        }
        let mut world = self.at(run, Run::Recovering);
        world.states[run] = Some(Arc::new(fold(&self.journal)?));
        if setting.defect != Some(Defect::OpenedWithoutSync) {
            world.durable = world.journal.len();
        }
        next.push(world.note(run, Fact::Run { boot: self.boot })?);
        Ok(())
    }

    fn recover(&self, run: usize, setting: Setting, next: &mut Vec<Self>) -> Result<(), String> {
        let left = self.state(run).records().values().find_map(|record| recovery(record, self, setting.keeps));
        let is_due = setting.is_exclusive && self.state(run).doubts().next().is_some();
        next.push(match left {
            Some(fact) if setting.defect != Some(Defect::RecoverySkipped) => self.note(run, fact)?,
            _ if is_due => self.at(run, Run::Examining { first: None }),
            _ => self.planned(run, setting)?,
        });
        Ok(())
    }

    /// What the server may list now: all, less some of what is recent; or nothing.
    fn lists(&self) -> Vec<u8> {
        let mut lists: Vec<u8> =
            (0..=self.recent).filter(|hidden| hidden & !self.recent == 0).map(|hidden| self.exists & !hidden).collect();
        lists.push(0);
        lists
    }

    fn examine(&self, run: usize, first: Option<u8>, setting: Setting, next: &mut Vec<Self>) {
        // A list that is refused settles nothing.
        next.push(self.at(run, Run::Resolving([None; 2])));
        for list in self.lists() {
            next.push(self.at(run, self.weighed(run, first, list, setting)));
        }
    }

    fn candidates(&self, run: usize, list: u8, setting: Setting) -> Candidates {
        let instances = ids(list).map(|index| ListedInstance::bare(id(index), InstanceType::WhatsApp)).collect();
        let mut candidates = Candidates::from_listing(self.state(run), &Listing { instances, odd_items: 0 });
        if setting.defect == Some(Defect::EmptyListBelieved) && list == 0 {
            candidates.is_credible = true;
            candidates.old.insert(id(OLD));
        }
        candidates
    }

    fn weighed(&self, run: usize, first: Option<u8>, list: u8, setting: Setting) -> Run {
        let settles_at_once = setting.defect == Some(Defect::SettledAtOnce);
        let settling =
            if settles_at_once { Settling { after: Duration::ZERO, ..Settling::default() } } else { Settling::default() };
        let candidates = self.candidates(run, list, setting);
        let is_agreeing = first.is_some_and(|first| self.candidates(run, first, setting) == candidates);
        let now = Moment { wall: at(self.tick), boot: None, up: None };
        let proposals = propose(self.state(run), &candidates, is_agreeing, now, settling);
        let is_due = |proposal: &Proposal| matches!(proposal, Proposal::NotYetSettled { at } if *at <= now.wall);
        if first.is_none() && proposals.values().any(|(_, proposal)| is_due(proposal)) {
            return Run::Examining { first: Some(list) };
        }
        let verdict = |index| match proposals.get(&name(index)) {
            Some((_, Proposal::Exists(found))) => Some(Ruling::Exists(number(&found.id))),
            Some((_, Proposal::NotCreated)) => Some(Ruling::NotCreated),
            _ => None,
        };
        Run::Resolving([verdict(0), verdict(1)])
    }

    fn resolve(
        &self,
        run: usize,
        mut verdicts: [Option<Ruling>; 2],
        setting: Setting,
        next: &mut Vec<Self>,
    ) -> Result<(), String> {
        let Some(index) = verdicts.iter().position(Option::is_some) else {
            next.push(self.planned(run, setting)?);
            return Ok(());
        };
        let found = match verdicts[index].take().unwrap() {
            Ruling::Exists(found) => Some(found),
            Ruling::NotCreated => None,
        };
        let record = self.state(run).record(&name(u8::try_from(index).unwrap())).unwrap();
        let tried = record.open_attempt().unwrap().id.as_str().as_bytes()[2] - b'0';
        let world = self.record(run, Fact::Resolved(tried, found), next)?;
        next.push(world.at(run, Run::Resolving(verdicts)));
        Ok(())
    }

    fn planned(&self, run: usize, setting: Setting) -> Result<Self, String> {
        if creates(self.state(run), setting.names).is_empty() { self.finished(run) } else { Ok(self.at(run, Run::Fencing)) }
    }

    fn fence(&self, run: usize, setting: Setting, next: &mut Vec<Self>) -> Result<(), String> {
        let wanted = creates(self.state(run), setting.names);
        let works = [0, 1].map(|index| if wanted.contains(&index) { Work::Due } else { Work::Over });
        next.push(self.at(run, Run::Working(works, false)));
        // Of the last run's fence, and without rules of any, nothing follows.
        let is_used = setting.is_exclusive && run == 0;
        let lists = if is_used { self.lists() } else { Vec::new() };
        for list in lists {
            next.push(self.note(run, Fact::Listed(list))?.at(run, Run::Working(works, true)));
        }
        Ok(())
    }

    /// A run that has come to its end leaves nothing half done, and its state is durable.
    fn finished(&self, run: usize) -> Result<Self, String> {
        if let Some(record) = self.state(run).records().values().find(|record| recovery(record, self, true).is_some()) {
            return Err(format!("V6: a run ends and leaves {} as {}", record.name, record.status()));
        }
        let mut world = self.at(run, Run::Done);
        (world.durable, world.states[run]) = (world.journal.len(), None);
        Ok(world)
    }

    fn work(
        &self,
        run: usize,
        index: usize,
        (works, is_fenced): ([Work; 2], bool),
        setting: Setting,
        next: &mut Vec<Self>,
    ) -> Result<(), String> {
        let tried = u8::try_from(2 * run + index).unwrap();
        let slot = usize::from(tried);
        let then = |world: &Self, work| {
            let mut works = works;
            works[index] = work;
            world.at(run, Run::Working(works, is_fenced))
        };
        let sent = Fact::Sent(tried, self.tick);
        let let_go = |mut world: Self| {
            world.net[slot] = Net::Pending;
            world
        };
        match works[index] {
            Work::Due => {
                let begun = self.record(run, Fact::Intent { tried, is_fenced }, next)?;
                next.push(then(&begun, Work::Begun));
            }
            Work::Begun => {
                next.push(then(&self.note(run, Fact::Unsent(tried))?, Work::Over));
                let world = match setting.defect {
                    Some(Defect::SentAfterRequest) => let_go(then(self, Work::Waiting)),
                    Some(Defect::SentNotSynced) => then(&self.note(run, sent)?, Work::Cleared),
                    _ => then(&self.record(run, sent, next)?, Work::Cleared),
                };
                next.push(world);
            }
            Work::Cleared => {
                // An interrupt at the last moment.
                next.push(then(&self.note(run, Fact::Unsent(tried))?, Work::Over));
                next.push(let_go(then(self, Work::Waiting)));
            }
            Work::Waiting => {
                let mut cut = self.note(run, self.after_timeout(tried, setting))?;
                if self.net[slot] != Net::Pending {
                    cut.net[slot] = Net::Quiet;
                }
                next.push(then(&cut, Work::Over));
                if let Net::Answered(said) = self.net[slot] {
                    let mut world = self.record(run, Fact::Received(tried, said), next)?;
                    world.net[slot] = Net::Quiet;
                    next.push(then(&world, Work::Received(said)));
                }
            }
            Work::Received(said) => next.push(then(&self.note(run, judged(tried, said, self.tick))?, Work::Over)),
            Work::Over => {}
        }
        Ok(())
    }

    fn after_timeout(&self, tried: Tried, setting: Setting) -> Fact {
        match setting.defect {
            Some(Defect::TimeoutTakenForRefusal) => Fact::Unsent(tried),
            _ => Fact::Doubted(tried, self.tick),
        }
    }
}

/// How many instances are taken for ours that are not: a stranger's, which nobody can tell from ours, and an old one, if the list
/// before the attempt was empty by mistake.
pub(super) fn swapped(state: &State) -> usize {
    [STRANGER, OLD].iter().filter(|index| state.known_ids().contains_key(&id(**index))).count()
}
