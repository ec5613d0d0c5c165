//! What an apply does beside creating: it protects, sets instances aside that get a new one, and deletes what was confirmed.
//!
//! Deletes come last and only where nothing has stopped the run; what may not be, or was not confirmed, stops it before anything
//! is sent. Of what was reviewed only what the plan shows is deleted.

use std::collections::BTreeSet;

use super::{Run, Task, unrecorded};
use crate::apply::{Applier, Departure, Halt, Outcome, RecordError, Report, Terms};
use crate::cli::deletes;
use crate::cli::error::CliError;
use crate::cli::planning::remark_spent;
use crate::cli::prompt;
use crate::failpoint;
use crate::instance::InstanceName;
use crate::plan::{Action, Guard, is_usable};
use crate::report::account::Notice;
use crate::state::{Record, State};

/// How many names were protected, and are protected no longer.
pub(super) type Marks = (usize, usize);

impl Run<'_> {
    /// Has somebody say how many instances are to be deleted, where any are.
    pub(super) async fn confirm(&self, task: &Task, state: &State) -> Result<Option<Guard>, CliError> {
        let (names, unlisted) = task.by_list(state, &task.deletes());
        let (is_unasked, most) = (self.args.auto_approve, self.args.budget.max_deletes);
        if names.is_empty() {
            return Ok(None);
        }
        if is_unasked && most.is_some() {
            deletes::announce(self.context, state, &names);
            deletes::set_apart(self.context, &unlisted);
            return Ok(None);
        }
        if is_unasked || !prompt::is_answered(self.context) {
            return Ok(Some(Guard::Unconfirmed { names }));
        }
        self.ask(state, (&names, &unlisted)).await.map(|()| None)
    }

    /// Whether anybody may say that what was replaced before goes.
    pub(super) fn is_asked_about_remainders(&self) -> bool {
        if self.args.auto_approve { self.args.budget.max_deletes.is_some() } else { prompt::is_answered(self.context) }
    }

    /// Asks a person. A signal is no answer: what follows sees it, and does nothing.
    async fn ask(
        &self,
        state: &State,
        (names, unlisted): (&BTreeSet<InstanceName>, &BTreeSet<InstanceName>),
    ) -> Result<(), CliError> {
        let count = names.len();
        deletes::announce(self.context, state, names);
        deletes::set_apart(self.context, unlisted);
        let answer = prompt::unless_stopped(self.context, self.stop.clone(), move |console| deletes::ask(console, count)).await;
        answer.unwrap_or(Ok(()))
    }

    /// Gives those that get a new instance the name that they have from then on.
    pub(super) async fn set_aside(&self, applier: &Applier, task: &Task) -> Result<(), CliError> {
        for (name, aside) in task.plan.set_asides() {
            applier.set_aside(name, aside).await.map_err(unrecorded)?;
            failpoint::pass("set-aside");
        }
        Ok(())
    }

    /// Gives what was set aside for those names that `got_nothing` their name back.
    pub(super) async fn give_back(
        &self,
        applier: &Applier,
        task: &Task,
        got_nothing: impl Fn(&InstanceName) -> bool,
    ) -> Result<(), RecordError> {
        for (name, aside) in task.plan.replacements().filter(|(name, _)| got_nothing(name)) {
            let old = aside.clone();
            if applier.look(move |store| store.state().record(&old).is_some()).await? {
                failpoint::pass("moving-back");
                applier.move_back(aside, name).await?;
            }
        }
        Ok(())
    }

    /// What follows the creates. What the state does not take halts the run.
    pub(super) async fn leave(&self, applier: &Applier, task: &Task, report: &mut Report) -> Marks {
        let concluded = self.conclude(applier, task, report).await;
        concluded.unwrap_or_else(|error| {
            report.halt = Some(Halt::Store(error.into_store_error()));
            (0, 0)
        })
    }

    async fn conclude(&self, applier: &Applier, task: &Task, report: &mut Report) -> Result<Marks, RecordError> {
        if matches!(report.halt, Some(Halt::Store(_))) {
            return Ok((0, 0));
        }
        let is_nothing = |outcome: &Outcome| {
            matches!(outcome, Outcome::Refused { .. } | Outcome::NotSent { .. } | Outcome::NotCreated { .. } | Outcome::NotTried)
        };
        self.give_back(applier, task, |name| report.outcomes.get(name).is_some_and(is_nothing)).await?;
        let marks = self.protect(applier, task).await?;
        self.delete(applier, task, &task.deletes(), report).await?;
        let state = applier.look(|store| store.state().clone()).await?;
        let replaced = self.replaced(&state, task, report);
        remark_spent(self.context, &task.plan, self.consent, (&state, &replaced));
        let (listed, unlisted) = task.by_list(&state, &replaced);
        let (going, staying) = listed.into_iter().partition::<BTreeSet<_>, _>(|name| self.may_go(task, name));
        let others = task.by_list(&state, &task.deletes()).0.len();
        let may_go = match () {
            () if going.is_empty() => false,
            () if self.is_well(report) => self.may_delete_replaced(&state, (&going, &unlisted), others).await,
            // Nothing is deleted any more, and nobody is asked for nothing.
            () if self.is_asked_about_remainders() => true,
            () => {
                self.remind(&going, going.len() + others);
                false
            }
        };
        if may_go {
            failpoint::pass("replaced");
            report.departures.extend(going.iter().map(|name| (name.clone(), Departure::NotTried)));
            self.delete(applier, task, &going, report).await?;
            report.halt = report.halt.take().or_else(|| self.stop.asked().map(Halt::Interrupted));
            let is_left = |name: &&InstanceName| matches!(report.departures.get(*name), Some(Departure::NotTried));
            self.remind(going.iter().filter(is_left), going.len() + others);
        }
        self.remind(&staying, staying.len());
        for name in &unlisted {
            self.remark_unlisted(name);
        }
        Ok(marks)
    }

    /// Whether this run may delete what was replaced: if the plan was reviewed, only what it shows.
    fn may_go(&self, task: &Task, replaced: &InstanceName) -> bool {
        let is_reviewed = self.saved.is_some() || self.args.checksum.is_some();
        !is_reviewed || task.remainders.contains_key(replaced)
    }

    /// Nobody has named it: what the record alone knows of stays.
    fn remark_unlisted(&self, name: &InstanceName) {
        let told = format!("the server does not list `{name}`: nothing was sent for it");
        let hint = format!("if it is gone: `{} destroy {name}` records that", self.context.command());
        self.context.remark(Notice::warning(&told).about(name).hint(&hint));
    }

    /// Records what the manifest says of deletes, for all that exist by now and that this run is about.
    async fn protect(&self, applier: &Applier, task: &Task) -> Result<Marks, RecordError> {
        let about: BTreeSet<_> = task
            .plan
            .changes
            .iter()
            .filter(|change| matches!(change.action, Action::Create | Action::Finish | Action::Protect | Action::Unprotect))
            .map(|change| change.name.clone())
            .collect();
        let declared: Vec<_> = self
            .manifest
            .declarations()
            .iter()
            .filter(|declared| about.contains(&declared.name))
            .map(|declared| (declared.name.clone(), declared.is_protected))
            .collect();
        let (protected, unprotected) = applier
            .look(move |store| {
                let differs = |(name, is_protected): &(InstanceName, bool)| {
                    let record = store.state().record(name).filter(|record| record.instance().is_some());
                    record.is_some_and(|record| record.is_protected != *is_protected)
                };
                declared.into_iter().filter(differs).partition::<Vec<_>, _>(|(_, is_protected)| *is_protected)
            })
            .await?;
        let names = |marks: Vec<(InstanceName, bool)>| marks.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        let marks = (protected.len(), unprotected.len());
        if marks != (0, 0) {
            applier.protect(names(protected), names(unprotected)).await?;
        }
        Ok(marks)
    }

    /// Deletes `names`, if nothing has stopped the run, and nothing in it has failed or is in doubt.
    async fn delete(
        &self,
        applier: &Applier,
        task: &Task,
        names: &BTreeSet<InstanceName>,
        report: &mut Report,
    ) -> Result<(), RecordError> {
        if names.is_empty() || !self.is_well(report) {
            return Ok(());
        }
        let state = applier.look(|store| store.state().clone()).await?;
        let (listed, unlisted) = task.by_list(&state, names);
        for name in unlisted {
            self.remark_unlisted(&name);
            report
                .departures
                .insert(name, Departure::Kept { reason: "the server does not list it: nothing was sent".to_owned() });
        }
        let departures = applier.retire(&listed, Terms::default()).await;
        report.departures.extend(departures.outcomes);
        report.halt = departures.halt;
        Ok(())
    }

    /// Whether nothing has stopped the run, and nothing in it has failed or is in doubt.
    fn is_well(&self, report: &Report) -> bool {
        let is_well = |outcome: &Outcome| matches!(outcome, Outcome::Created { .. } | Outcome::NotCreated { .. });
        report.halt.is_none() && self.stop.asked().is_none() && report.outcomes.values().all(is_well)
    }

    /// What this run has replaced, and what was before and the plan shows, if it still exists beside a new one that can be used. What is
    /// declared is none of it, whatever it is called.
    fn replaced(&self, state: &State, task: &Task, report: &Report) -> BTreeSet<InstanceName> {
        let is_declared = |name: &InstanceName| self.manifest.get(name).is_some();
        let remains = |name: &InstanceName| state.remainder(name).filter(|_| is_usable(state, name)).map(|old| &old.name);
        // What the plan shows to go for a name is all that goes for it: what that leaves now has been counted by nobody.
        let is_shown = |name: &InstanceName| task.remainders.values().any(|by| by == name);
        let new = task.plan.replacements().filter(|(name, _)| !is_shown(name)).filter_map(|(name, _)| remains(name));
        let before = task.remainders.iter().filter_map(|(old, by)| remains(by).filter(|it| *it == old));
        let names = new.chain(before).filter(|name| !is_declared(name) && !report.departures.contains_key(*name));
        names.cloned().collect()
    }

    /// Whether somebody says so, beside `others` that this run may delete. Nothing is lost where nobody does.
    async fn may_delete_replaced(
        &self,
        state: &State,
        (names, unlisted): (&BTreeSet<InstanceName>, &BTreeSet<InstanceName>),
        others: usize,
    ) -> bool {
        let count = names.len() + others;
        let most = self.args.budget.max_deletes;
        let is_too_many = most.is_some_and(|most| count > most);
        if self.args.auto_approve && most.is_some() && !is_too_many {
            deletes::announce(self.context, state, names);
            deletes::set_apart(self.context, unlisted);
            return true;
        }
        let is_asked = !self.args.auto_approve && !is_too_many && prompt::is_answered(self.context);
        if is_asked && self.ask(state, (names, unlisted)).await.is_ok() {
            return true;
        }
        self.remind(names, count);
        false
    }

    /// Tells of what was replaced and still exists. With the next `--replace`, `count` are to be deleted.
    fn remind<'n>(&self, names: impl IntoIterator<Item = &'n InstanceName>, count: usize) {
        let command = self.context.command();
        for name in names {
            let told = format!("`{name}` was replaced, and still exists: it is still paid for");
            let hint = format!("`{command} destroy {name}` deletes it; with the next `--replace`: `--yes --max-deletes {count}`");
            self.context.remark(Notice::warning(&told).about(name).hint(&hint));
        }
    }
}

impl Task {
    /// The names whose instances may be deleted by this run, as they are called before it.
    pub(super) fn leaving(&self) -> BTreeSet<InstanceName> {
        let aside = self.plan.replacements().map(|(name, aside)| {
            let is_aside = self.settled.state.record(aside).is_some();
            if is_aside { aside } else { name }
        });
        self.deletes().into_iter().chain(self.remainders.keys().cloned()).chain(aside.cloned()).collect()
    }

    /// The names whose instances are to be deleted after the creates; about what was replaced it is asked then.
    pub(super) fn deletes(&self) -> BTreeSet<InstanceName> {
        let deleted = self.plan.with(Action::Delete).map(|change| &change.name);
        deleted.filter(|name| !self.remainders.contains_key(*name)).cloned().collect()
    }

    /// Of `names` those that the server lists, which are deleted, and the others, which are not.
    fn by_list(&self, state: &State, names: &BTreeSet<InstanceName>) -> (BTreeSet<InstanceName>, BTreeSet<InstanceName>) {
        let is_listed = |name: &InstanceName| {
            let id = state.record(name).and_then(Record::id);
            id.is_none_or(|id| !self.unlisted.contains(id))
        };
        names.iter().cloned().partition(is_listed)
    }

    /// What stops it where more of them are listed than it may delete.
    pub(super) fn too_many(&self, most: Option<usize>) -> Option<Guard> {
        let names = self.plan.with(Action::Delete).map(|change| change.name.clone()).collect();
        let names = self.by_list(&self.settled.state, &names).0;
        most.filter(|most| names.len() > *most).map(|most| Guard::Deletes { names, most })
    }
}
