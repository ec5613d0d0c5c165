//! Creates that are called absent: by the list of an exclusive account, or by the manifest. No list of the run may speak against it,
//! and no other environment may have what the list shows.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::evidence::Steps;
use super::strangers::Strictness;
use super::{Run, Task, unrecorded};
use crate::apply::{Absent, Applier, ByList};
use crate::cli::args::Allowance;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::neighbours;
use crate::instance::InstanceId;
use crate::plan::{self, Action};
use crate::provider::Provider as _;
use crate::state::{Event, State, Verdict};

impl Run<'_> {
    /// What the list alone says of doubts, where the account is exclusive and no other environment is in doubt too; and the state as it
    /// will be when that is recorded.
    pub(super) async fn foreseen(&self, applier: &Applier, state: State) -> Result<(State, ByList), CliError> {
        let mut theirs = neighbours::Neighbours::default();
        let proven = applier.proven(|| {
            theirs = neighbours::at(self.context, Some(self.server.provider.origin()));
            let doubt = theirs.doubts.first().map(|doubt| &doubt.of.at);
            if let Some(at) = doubt {
                let (name, environment) = (&at.name, &at.environment);
                self.context.console.warn(format_args!(
                    "`{name}` of environment `{environment}` is in doubt too: the list alone settles nothing here"
                ));
            }
            let is_known = doubt.is_none() && theirs.unread.is_empty();
            is_known.then(|| theirs.owners.keys().cloned().collect())
        });
        let by_list = match proven.await.map_err(unrecorded)? {
            Ok(by_list) => by_list,
            Err(error) => {
                self.context.console.warn(format_args!("doubts cannot be settled now: {error}"));
                return Ok((state, ByList::default()));
            }
        };
        for (name, id) in &by_list.others {
            let Some(owner) = theirs.owners.get(id) else { continue };
            self.context.console.warn(format_args!("`{name}` stays in doubt: the list shows {id}, which {owner} has"));
        }
        let events: Vec<_> = by_list.proven.iter().map(|proven| proven.event.clone()).collect();
        let foreseen = plan::with_events(&state, &events, Timestamp::now());
        Ok((foreseen.map_err(|error| CliError::new(Exit::Error, &error))?, by_list))
    }

    /// Refuses to go on where a list of this run has shown what may be one that is called absent: by the list alone (`before`), or by
    /// `steps`, for which `listed` was asked.
    pub(super) async fn check_absent(
        &self,
        applier: &Applier,
        (state, task): (&State, &Task),
        (before, steps, listed): (&[Absent], &Steps, &BTreeSet<InstanceId>),
    ) -> Result<(), CliError> {
        let by_steps = steps.iter().filter_map(|(event, change)| match event {
            Event::Resolved { attempt, verdict: Verdict::NotCreated, .. } => {
                let mut doubts = state.doubts();
                let fence = doubts.find(|(_, open, _)| open.id == *attempt).and_then(|(_, open, _)| state.fence_of(open));
                let weighed = listed.iter().chain(fence.into_iter().flatten()).cloned().collect();
                Some(Absent { name: change.name.clone(), weighed })
            }
            _ => None,
        });
        let absent: Vec<Absent> = before.iter().cloned().chain(by_steps).collect();
        if absent.is_empty() {
            return Ok(());
        }
        if task.plan.with(Action::Create).next().is_some() && matches!(self.args.allow_unknown, Some(Allowance::All)) {
            // Nobody has looked since. What it says is in what was seen; without it there is nothing more to hold against it.
            let _ = self.list(applier, Strictness::Warn).await;
        }
        let state = &task.settled.state;
        let former: BTreeSet<_> = state.former().map(|(former, _)| &former.id).collect();
        let seen = applier.seen();
        let unknown: Vec<_> = seen.iter().filter(|id| !state.known_ids().contains_key(*id) && !former.contains(id)).collect();
        let against = absent.iter().find_map(|it| Some((&it.name, unknown.iter().find(|id| !it.weighed.contains(**id))?)));
        against.map_or(Ok(()), |(name, id)| {
            let command = self.context.command();
            let message = format!("`{name}` is called not created, and another list of this run has shown {id}: that may be it");
            Err(CliError::message(Exit::Guard, message)
                .hint("nothing was sent: the server's lists do not agree; look again later")
                .hint(format!(
                    "`{command} doubts --refresh` shows what may be its; if {id} is: `{command} import {name} --id {id}`"
                )))
        })
    }
}
