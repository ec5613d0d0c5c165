//! Names that are to have another instance because theirs is gone: the server's list has to show that.

use super::Run;
use super::strangers::{Strictness, unlisted};
use crate::apply::Applier;
use crate::cli::drift::losses;
use crate::cli::error::CliError;
use crate::plan::existing;
use crate::provider::ListError;
use crate::state::{Event, State};

impl Run<'_> {
    /// What is to be recorded of the names that `--recreate` gives, where `state` has an instance of theirs that is listed no longer.
    /// Nothing is recorded yet.
    pub(super) async fn lost(&self, applier: &Applier, state: &State) -> Result<Vec<Event>, CliError> {
        let names = &self.consent.recreate;
        let Some((name, _)) = existing(state, names).next() else { return Ok(Vec::new()) };
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
            Some(Ok(listing)) => losses(self.context, state, &listing, (names, self.args.server.settle_after)),
        }
    }
}
