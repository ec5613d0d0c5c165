//! Names that are to have another instance because theirs is gone: the server's lists have to show that, every one of them.

use super::evidence::{Settling, Steps};
use super::strangers::{Strictness, unlisted};
use super::{Run, Task};
use crate::apply::{Absent, Applier};
use crate::cli::deletes;
use crate::cli::drift::{self, listed, losses};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::planning::remark_unsuspected;
use crate::instance::{InstanceId, InstanceName};
use crate::plan::{Action, Guard, existing, revived};
use crate::provider::ListError;
use crate::saved::SavedPlan;
use crate::state::{Event, Record, State};

/// What is to be done, and what stops it.
pub(super) struct Prepared {
    pub(super) task: Task,
    pub(super) guards: Vec<Guard>,
    pub(super) steps: Steps,
    /// What is to be recorded as gone, or is so already.
    pub(super) lost: Vec<Event>,
}

impl Run<'_> {
    /// What is to be done in `state`. What any list shows is not gone, and the plan is made again without that.
    /// `absent`: what the list alone has called not created.
    pub(super) async fn prepared(&self, applier: &Applier, state: &State, absent: &[Absent]) -> Result<Prepared, CliError> {
        let mut lost = self.lost(applier, state).await?;
        loop {
            let foreseen = drift::after(state, &lost)?;
            let mut task = self.task(&foreseen)?;
            let (guards, steps) = self.guarded(applier, (&foreseen, &mut task), absent).await?;
            let still = self.unseen(applier, (state, &lost))?;
            if still.len() == lost.len() {
                remark_unsuspected(self.context, self.manifest, &task.settled, self.consent);
                return Ok(Prepared { task, guards, steps, lost });
            }
            lost = still;
        }
    }

    /// What stops it, and if nothing does, what is settled before.
    async fn guarded(
        &self,
        applier: &Applier,
        (state, task): (&State, &mut Task),
        absent: &[Absent],
    ) -> Result<(Vec<Guard>, Steps), CliError> {
        let leaving = task.leaving();
        let mut guards = task.plan.guards(&self.limits, self.manifest.prices.as_ref());
        if !guards.is_empty() && guards.iter().all(|guard| matches!(guard, Guard::Deletes { .. })) {
            // What the server does not list is not deleted by this run, and does not count.
            task.unlisted = deletes::look(applier, &task.settled.state, &leaving).await.unlisted;
            guards = task.too_many(self.limits.max_deletes).into_iter().collect();
        }
        let mut settling = Settling::default();
        if guards.is_empty() {
            // None: a signal came, and nothing is settled.
            settling = self.evidence(applier, (state, &task.settled)).await?.unwrap_or_default();
        }
        let is_sending = !leaving.is_empty() || task.plan.with(Action::Create).next().is_some();
        if guards.is_empty() && is_sending {
            guards.extend(self.look_for_strangers(applier, (&task.settled.state, &leaving)).await?);
        }
        if guards.is_empty() && !leaving.is_empty() {
            let looked = deletes::look(applier, &task.settled.state, &leaving).await;
            guards.extend(looked.mistaken);
            // What one look lacked has not counted: a later one that shows it makes it no part of this run.
            task.unlisted.extend(looked.unlisted);
        }
        let Settling { steps, listed } = settling;
        if guards.is_empty() {
            self.check_absent(applier, (state, task), (absent, &steps, &listed)).await?;
        }
        Ok((guards, steps))
    }

    /// What says of those names that `--recreate` gives, and whose instance two lists lack, that it is gone. Nothing is recorded yet.
    async fn lost(&self, applier: &Applier, state: &State) -> Result<Vec<Event>, CliError> {
        let mut names: Vec<InstanceName> = self.consent.recreate.iter().filter(|name| self.is_to_be(name)).cloned().collect();
        let asked = revived(state, &names).map_err(|error| CliError::new(Exit::Error, &error))?;
        let mut lost = Vec::new();
        for is_second in [false, true] {
            let Some((name, _)) = existing(&asked, &names).next() else { break };
            if is_second && !applier.wait_between_lists().await {
                return Ok(Vec::new());
            }
            lost = match self.list(applier, Strictness::Stop).await {
                // A signal came: nothing is created.
                None => return Ok(Vec::new()),
                Some(Err(ListError::Unsupported(_))) if names.iter().all(|name| !is_lost(state, name)) => {
                    self.context.console.warn(format_args!(
                        "`{name}` exists by the record, and this server lists nothing: `--recreate` does nothing for it"
                    ));
                    return Ok(Vec::new());
                }
                Some(Err(error)) => return Err(unlisted(&error)),
                Some(Ok(listing)) => losses(self.context, state, &listing, (&names, self.args.server.settle_after))?,
            };
            self.check_saved((&asked, &names), &lost)?;
            names = gone(&lost).map(|(name, _)| name.clone()).collect();
        }
        Ok(lost)
    }

    /// Of `lost` what no list of the run has shown, at any time.
    fn unseen(&self, applier: &Applier, (state, lost): (&State, &[Event])) -> Result<Vec<Event>, CliError> {
        let (seen, unseen): (Vec<_>, Vec<_>) =
            lost.iter().cloned().partition(|event| gone([event]).any(|(_, id)| applier.has_seen(id)));
        gone(&seen).try_for_each(|about| listed(self.context, state, about))?;
        let names: Vec<InstanceName> = gone(lost).map(|(name, _)| name.clone()).collect();
        self.check_saved((state, &names), &unseen)?;
        Ok(unseen)
    }

    /// A saved plan that cannot be carried out as it was reviewed is not carried out at all.
    fn check_saved(&self, (asked, names): (&State, &[InstanceName]), lost: &[Event]) -> Result<(), CliError> {
        let is_lost = |name: &InstanceName| gone(lost).any(|(lost, _)| lost == name);
        let exists = existing(asked, names).find(|(name, _)| self.saved.is_some() && !is_lost(name));
        exists.map_or(Ok(()), |(name, instance)| {
            let message = format!("the saved plan is to recreate `{name}`, and {} is listed again", instance.id);
            Err(CliError::message(Exit::Stale, message).hint("nothing was sent: plan again"))
        })
    }

    /// Whether one may be created under the name: it is declared, and a saved plan was reviewed with that.
    fn is_to_be(&self, name: &InstanceName) -> bool {
        let is_reviewed = |saved: &SavedPlan| saved.plan.with(Action::Create).any(|change| change.name == *name);
        self.manifest.get(name).is_some() && self.saved.is_none_or(is_reviewed)
    }
}

/// Whether the name is on record as gone, by lists alone.
fn is_lost(state: &State, name: &InstanceName) -> bool {
    state.record(name).and_then(Record::lost).is_some()
}

/// The names and ids that `events` call gone.
fn gone<'e>(events: impl IntoIterator<Item = &'e Event>) -> impl Iterator<Item = (&'e InstanceName, &'e InstanceId)> {
    events.into_iter().filter_map(|event| match event {
        Event::Gone { name, id, .. } => Some((name, id)),
        _ => None,
    })
}
