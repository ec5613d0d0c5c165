//! What the manifest settles is recorded before the first intent, and durable before it: doubts that are closed, names that change,
//! instances that are taken in. Each entry stands for itself. A run that dies between two of them has settled the first for good, and
//! the next one finds the rest still to do.

use super::Progress;
use super::applier::Applier;
use super::doubts::{Examination, examine};
use super::recorder::RecordError;
use crate::failpoint;
use crate::plan::Change;
use crate::provider::ListError;
use crate::state::{Binding, Event, State};

impl Applier {
    /// Records `steps`, each with the change that a plan shows of it; all are durable afterwards. The state belongs to `binding` then:
    /// an id means nothing without the account that it is of.
    pub async fn settle_declared(&self, steps: Vec<(Event, Change)>, binding: Binding) -> Result<(), RecordError> {
        if steps.is_empty() {
            return Ok(());
        }
        self.shared.begin().await?;
        self.bind(binding).await?;
        failpoint::pass("settle-begun");
        let mut done = Vec::with_capacity(steps.len());
        for (event, change) in steps {
            self.shared.pen.note(event).await?;
            failpoint::pass("settle-noted");
            done.push(change);
        }
        self.sync().await?;
        failpoint::pass("settled");
        for change in done {
            self.shared.observer.tell(Progress::Settled { change });
        }
        Ok(())
    }

    /// What the server's list says about the doubts of `state`. None: the run was asked to stop.
    pub async fn examine(&self, state: &State) -> Option<Result<Examination, ListError>> {
        let clocks = (&self.shared.options.run, self.shared.options.clock);
        let mut stop = self.shared.stop.clone();
        tokio::select! {
            biased;
            _ = stop.wait() => None,
            examined = examine(&*self.shared.provider, state, self.shared.options.settling, clocks) => {
                if let Ok(examination) = &examined {
                    self.shared.saw(&examination.listed);
                }
                Some(examined)
            }
        }
    }
}
