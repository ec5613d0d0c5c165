//! Names that are to have another instance because theirs is gone: the server's list has to show that.

use super::Run;
use super::strangers::{Strictness, unlisted};
use crate::apply::Applier;
use crate::cli::drift::losses;
use crate::cli::error::CliError;
use crate::instance::InstanceName;
use crate::plan::{Action, existing};
use crate::provider::ListError;
use crate::saved::SavedPlan;
use crate::state::{Event, State};

impl Run<'_> {
    /// What is to be recorded of the names that `--recreate` gives, where `state` has an instance of theirs that is listed no longer.
    /// Nothing is recorded yet.
    pub(super) async fn lost(&self, applier: &Applier, state: &State) -> Result<Vec<Event>, CliError> {
        let names: Vec<InstanceName> = self.consent.recreate.iter().filter(|name| self.is_to_be(name)).cloned().collect();
        let Some((name, _)) = existing(state, &names).next() else { return Ok(Vec::new()) };
        match self.list(applier, Strictness::Stop).await {
            // A signal came: nothing is created.
            None => Ok(Vec::new()),
            Some(Err(ListError::Unsupported(_))) => {
                self.context.console.warn(format_args!(
                    "`{name}` exists by the record, and this server lists nothing: `--recreate` does nothing for it"
                ));
                Ok(Vec::new())
            }
            Some(Err(error)) => Err(unlisted(&error)),
            Some(Ok(listing)) => losses(self.context, state, &listing, (&names, self.args.server.settle_after)),
        }
    }

    /// Whether one may be created under the name: it is declared, and a saved plan was reviewed with that.
    fn is_to_be(&self, name: &InstanceName) -> bool {
        let is_reviewed = |saved: &SavedPlan| saved.plan.with(Action::Create).any(|change| change.name == *name);
        self.manifest.get(name).is_some() && self.saved.is_none_or(is_reviewed)
    }
}
