//! Deletes: the names that are to go, how a command deletes them, and what the server makes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Defect;
use super::process::{Start, position};
use super::server::SimProvider;
use super::world::Inner;
use crate::apply::{Applier, Departure, Report, StopSignal, Terms};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::listing::{ListedInstance, Listing};
use crate::provider::DeleteError;
use crate::state::{Phase, State};

impl Start {
    /// What the operator calls new, so that it is not taken for a renamed one: where names leave, all of them.
    pub(super) fn new_names(&self) -> Vec<InstanceName> {
        let has_left = self.world.with(|inner| !inner.doomed.is_empty());
        if has_left { self.declared.keys().cloned().collect() } else { Vec::new() }
    }

    /// The names that are to go, and whose instance exists, or may.
    pub(super) fn leaving(&self, state: &State) -> BTreeSet<InstanceName> {
        let has_instance = |phase: &Phase| matches!(phase, Phase::Created(_) | Phase::Retiring(..));
        let there = state.records().values().filter(|record| has_instance(&record.phase)).map(|record| &record.name);
        self.world.with(|inner| {
            let takes_all = inner.chance.defect == Some(Defect::DeclaredIsDeleted) && !inner.doomed.is_empty();
            there.filter(|name| takes_all || inner.doomed.contains(*name)).cloned().collect()
        })
    }

    /// Deletes `names`, if nothing has stopped the run.
    pub(super) async fn delete(
        &self,
        applier: &Applier,
        names: &BTreeSet<InstanceName>,
        (report, stop): (&mut Report, &StopSignal),
    ) {
        if names.is_empty() || report.halt.is_some() || stop.asked().is_some() {
            return;
        }
        let departures = applier.retire(names, Terms::default()).await;
        self.world.with(|inner| {
            for (name, departure) in &departures.outcomes {
                if let Departure::Deleted { id, .. } = departure {
                    inner.check_told_deleted(name, id);
                }
            }
        });
        report.departures.extend(departures.outcomes);
        report.halt = departures.halt;
    }

    /// `chatapi destroy`: it finishes nothing else, and writes no lock file before.
    pub(super) async fn destroy(&self, process: usize, applier: &Applier, stop: &StopSignal) -> Result<Report, String> {
        let (state, _) = position(applier).await?;
        let mut report = Report::default();
        let leaving = self.leaving(&state);
        if !leaving.is_empty() {
            self.delete(applier, &leaving, (&mut report, stop)).await;
            self.finish(process, applier, None).await?;
        }
        Ok(report)
    }
}

impl SimProvider {
    /// One request to delete `id`.
    pub(super) async fn remove(&self, id: &InstanceId) -> Result<(), DeleteError> {
        self.lives().await;
        sleep(self.world.moment(Duration::from_secs(3))).await;
        if self.world.with(|inner| inner.happens(inner.chance.connect)) {
            return Err(DeleteError::NotSent("connection refused".into()));
        }
        self.lives().await;
        let answer = self.world.with(|inner| {
            inner.check_retire_sent(id);
            inner.delete(id)
        });
        self.lives().await;
        sleep(self.world.moment(Duration::from_secs(60))).await;
        self.lives().await;
        self.world.with(|inner| {
            inner.note(|| format!("{} gets {answer:?} of {id}", self.process));
            if answer.is_ok() {
                inner.ledger.said_deleted.insert((self.process, id.clone()));
            }
            match (inner.chance.defect, answer) {
                (Some(Defect::UnknownIsDeleted), Err(DeleteError::InDoubt(_))) => Ok(()),
                (_, answer) => answer,
            }
        })
    }
}

impl Inner {
    /// One more of the names that were tried is declared no longer, if this seed knows that at all.
    pub(super) fn doom(&mut self) {
        if !self.chance.deletes || self.dice.u32(0..10) < 4 {
            return;
        }
        let tried: BTreeSet<_> = self.ledger.attempts.values().map(|tried| tried.name.clone()).collect();
        if let Some(name) = self.dice.choice(tried.difference(&self.doomed).cloned().collect::<Vec<_>>()) {
            self.note(|| format!("{name} is declared no longer"));
            self.doomed.insert(name);
        }
    }

    /// What becomes of a request to delete `id`, and what is seen of it.
    fn delete(&mut self, id: &InstanceId) -> Result<(), DeleteError> {
        let unknown = || Err(DeleteError::InDoubt("there was no answer".into()));
        if self.happens(self.chance.remove) {
            match self.dice.u32(0..7) {
                0 => return Err(DeleteError::NotSent("reset before its end".into())),
                1 => {
                    let after = self.dice.bool().then_some(7);
                    return Err(DeleteError::Later { after, reason: "status 429".into() });
                }
                2 => return Err(DeleteError::Refused("not now".into())),
                3 => return unknown(),
                4 => {
                    self.carry_out(id, Duration::ZERO);
                    return unknown();
                }
                // It is under way for as long as an instance may take to be listed.
                5 => {
                    let late = self.lateness();
                    self.carry_out(id, late);
                    return unknown();
                }
                _ => {}
            }
        }
        if self.carry_out(id, Duration::ZERO) { Ok(()) } else { Err(DeleteError::Refused("there is no such instance".into())) }
    }

    /// The server deletes, `late`. `false`: there is no such instance.
    fn carry_out(&mut self, id: &InstanceId, late: Duration) -> bool {
        let now = Instant::now();
        let Some(at) = self.server.reals.iter().position(|real| real.id == *id && real.gone_at.is_none_or(|at| at > now)) else {
            return false;
        };
        self.check_delete(id);
        let lag = self.lateness();
        self.note(|| format!("the server deletes {id} after {late:?}, listed for {lag:?} more"));
        let real = &mut self.server.reals[at];
        self.ledger.tally.deletes += u64::from(real.gone_at.is_none());
        let gone_at = real.gone_at.map_or(now + late, |at| at.min(now + late));
        (real.gone_at, real.unlisted_at) = (Some(gone_at), Some(gone_at + lag));
        true
    }

    /// What a resolver would see that takes a list without anything for the plain truth.
    pub(super) fn filled_up(&self, mut listing: Listing) -> Listing {
        if listing.instances.is_empty() {
            let seen = self.server.reals.iter().filter(|real| self.ledger.seen.contains(&real.id) && !real.is_deleted());
            listing.instances = seen.map(|real| ListedInstance::bare(real.id.clone(), real.kind)).collect();
        }
        listing
    }

    /// What a resolver would see that takes a list without anything as proof that what is being deleted is gone.
    pub(super) fn filled_but_for_leaving(&self, listing: Listing) -> Listing {
        if !listing.instances.is_empty() {
            return listing;
        }
        let mut filled = self.filled_up(listing);
        filled.instances.retain(|shown| self.ledger.retirings.values().all(|open| open.id != shown.id));
        if filled.instances.is_empty() {
            filled.instances.push(ListedInstance::bare(InstanceId::parse("1").unwrap(), InstanceType::WhatsApp));
        }
        filled
    }
}
