//! Asks the server about doubts. Concludes nothing by itself: see [`crate::plan::propose`].

use std::collections::BTreeMap;

use super::{Clock, RunInfo};
use crate::instance::InstanceName;
use crate::plan::{Candidates, Proposal, Settling, propose};
use crate::provider::{ListError, Provider};
use crate::state::{AttemptId, State};

/// What the server's list says about the doubts of a state.
#[derive(Debug, Clone)]
pub struct Examination {
    /// What is new in the list.
    pub candidates: Candidates,
    /// What that proposes for each doubt.
    pub proposals: BTreeMap<InstanceName, (AttemptId, Proposal)>,
}

/// Lists once; and a second time, [`Settling::between`] later, where only that is missing to call a create absent.
pub async fn examine(
    provider: &dyn Provider,
    state: &State,
    settling: Settling,
    (run, clock): (&RunInfo, Clock),
) -> Result<Examination, ListError> {
    let candidates = Candidates::from_listing(state, &provider.list().await?);
    let proposals = propose(state, &candidates, false, run.moment(clock()), settling);
    let is_due = |proposal: &Proposal| matches!(proposal, Proposal::NotYetSettled { at } if *at <= clock());
    if !proposals.values().any(|(_, proposal)| is_due(proposal)) {
        return Ok(Examination { candidates, proposals });
    }
    tokio::time::sleep(settling.between).await;
    let again = Candidates::from_listing(state, &provider.list().await?);
    let is_agreeing = again == candidates;
    let proposals = propose(state, &again, is_agreeing, run.moment(clock()), settling);
    Ok(Examination { candidates: again, proposals })
}
