//! Everything in the small world, and what happens in it that no run does: the server, the network, power, time, a stranger.

use std::sync::Arc;

use super::Setting;
use super::facts::{Fact, OLD, STRANGER, Said, TRIED, Tried, ids};
use super::run::{Run, Work};
use crate::state::State;

/// A request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Net {
    Quiet,
    /// On its way, or being worked on.
    Pending,
    Answered(Said),
}

#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) journal: Vec<Fact>,
    /// So many entries survive a power cut.
    pub(super) durable: usize,
    pub(super) runs: [Run; 2],
    /// What each run holds for the state.
    pub(super) states: [Option<Arc<State>>; 2],
    pub(super) net: [Net; TRIED as usize],
    /// The server's instances, one bit each.
    pub(super) exists: u8,
    /// Those that a list may not show yet.
    pub(super) recent: u8,
    pub(super) tick: u8,
    pub(super) boot: u8,
}

/// What tells two worlds apart. The order of durable entries of different names makes no difference.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    journal: Vec<Fact>,
    durable: usize,
    runs: [Run; 2],
    net: [Net; TRIED as usize],
    server: (u8, u8),
    time: (u8, u8),
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            journal: Vec::new(),
            durable: 0,
            runs: [Run::Idle; 2],
            states: [None, None],
            net: [Net::Quiet; TRIED as usize],
            exists: 1 << OLD,
            recent: 0,
            tick: 0,
            boot: 0,
        }
    }

    pub(super) fn key(&self) -> Key {
        let mut journal = self.journal.clone();
        journal[..self.durable].sort_by_key(|fact| fact.group());
        let recent = if self.is_a_list_to_come() { self.recent } else { 0 };
        let (server, time) = ((self.exists, recent), (self.tick, self.boot));
        Key { journal, durable: self.durable, runs: self.runs, net: self.net, server, time }
    }

    pub(super) fn is_over(&self) -> bool {
        self.runs.iter().all(|run| matches!(run, Run::Done | Run::Dead)) && !self.net.contains(&Net::Pending)
    }

    /// A process that is held for longer than the settling time between `sent` and the request: the one assumption.
    fn is_about_to_send(&self) -> bool {
        self.runs.iter().any(|run| matches!(run, Run::Working(works, _) if works.contains(&Work::Cleared)))
    }

    /// Whether a rule may still look at the server, which is all that time and strangers are for.
    fn is_a_list_to_come(&self) -> bool {
        matches!(self.runs[1], Run::Idle | Run::Recovering | Run::Examining { .. })
    }

    pub(super) fn is_durable(&self, fact: impl Fn(&Fact) -> bool) -> bool {
        self.journal[..self.durable].iter().any(fact)
    }

    /// Every world that may come next.
    pub(super) fn next(&self, setting: Setting) -> Result<Vec<Self>, String> {
        let mut next = Vec::new();
        for run in 0..2 {
            self.run_on(run, setting, &mut next)?;
            if self.runs[run].is_alive() {
                next.push(self.clone().with_dead(run));
            }
        }
        for tried in (0..TRIED).filter(|tried| self.net[usize::from(*tried)] == Net::Pending) {
            self.serve(tried, &mut next)?;
        }
        self.cut_power(&mut next);
        if setting.is_exclusive && self.is_a_list_to_come() {
            self.pass_time(setting, &mut next);
        }
        Ok(next)
    }

    fn pass_time(&self, setting: Setting, next: &mut Vec<Self>) {
        if setting.has_stranger && self.exists & (1 << STRANGER) == 0 {
            next.push(self.clone().with_instance(STRANGER));
        }
        if self.tick < setting.ticks && !self.net.contains(&Net::Pending) && !self.is_about_to_send() {
            next.push(Self { tick: self.tick + 1, recent: 0, ..self.clone() });
        }
    }

    /// What is durable is kept, and as much of the rest as pleases.
    fn cut_power(&self, next: &mut Vec<Self>) {
        let is_anybody_alive = self.runs.iter().any(|run| run.is_alive());
        if !is_anybody_alive && self.durable == self.journal.len() {
            return;
        }
        for kept in self.durable..=self.journal.len() {
            let mut cut = Self { boot: self.boot + 1, durable: kept, ..self.clone() };
            cut.journal.truncate(kept);
            for run in (0..2).filter(|run| self.runs[*run].is_alive()) {
                cut = cut.with_dead(run);
            }
            next.push(cut);
        }
    }

    /// The process is gone; what it sent is not.
    pub(super) fn with_dead(mut self, run: usize) -> Self {
        self.runs[run] = Run::Dead;
        self.states[run] = None;
        for net in &mut self.net[2 * run..2 * run + 2] {
            if matches!(net, Net::Answered(_)) {
                *net = Net::Quiet;
            }
        }
        self
    }

    fn with_instance(mut self, bit: u8) -> Self {
        self.exists |= 1 << bit;
        self.recent |= 1 << bit;
        self
    }

    fn serve(&self, tried: Tried, next: &mut Vec<Self>) -> Result<(), String> {
        let answered = |mut world: Self, said| {
            let is_heard = world.waits_for(tried);
            world.net[usize::from(tried)] = if is_heard { Net::Answered(said) } else { Net::Quiet };
            world
        };
        let mut lost = self.clone();
        lost.net[usize::from(tried)] = Net::Quiet;
        next.push(lost);
        next.extend([Said::Refused, Said::Unclear].map(|said| answered(self.clone(), said)));
        if self.has_instance_of(tried % 2) && !self.is_swapped(tried % 2) {
            return Err(format!("V1: attempt {tried} makes a second instance"));
        }
        if !self.is_durable(|fact| matches!(fact, Fact::Sent(of, _) if *of == tried)) {
            return Err(format!("V4: request {tried} is served, and `sent` is not durable"));
        }
        let created = self.clone().with_instance(tried);
        next.extend([Said::Created, Said::Unclear].map(|said| answered(created.clone(), said)));
        Ok(())
    }

    fn waits_for(&self, tried: Tried) -> bool {
        matches!(self.runs[usize::from(tried / 2)], Run::Working(works, _) if works[usize::from(tried % 2)] == Work::Waiting)
    }

    /// Whether an instance of ours counts for `name`: it was made for it, or given to it, and not given to the other.
    pub(super) fn has_instance_of(&self, name: u8) -> bool {
        ids(self.exists).filter(|id| *id < TRIED).any(|id| self.holder(id) == name)
    }

    /// Whether `name` was given what was made for the other one: its own is then the other's, and the end's count sees to it.
    fn is_swapped(&self, name: u8) -> bool {
        let is_of_other =
            |fact: &Fact| matches!(fact, Fact::Resolved(tried, Some(id)) if tried % 2 == name && *id < TRIED && id % 2 != name);
        self.journal.iter().any(is_of_other)
    }

    fn holder(&self, id: u8) -> u8 {
        let given = self.journal.iter().find_map(|fact| match fact {
            Fact::Resolved(tried, Some(found)) if *found == id => Some(tried % 2),
            _ => None,
        });
        given.unwrap_or(id % 2)
    }
}
