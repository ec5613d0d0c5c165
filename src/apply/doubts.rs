//! Asks the server about doubts. Concludes nothing by itself: see [`crate::plan::propose`].

use std::collections::{BTreeMap, BTreeSet};

use super::{Clock, RunInfo};
use crate::instance::{InstanceId, InstanceName};
use crate::listing::Listing;
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
    /// Every id that was listed.
    pub listed: BTreeSet<InstanceId>,
}

/// Lists once; and a second time, [`Settling::between`] later, where only that is missing to call a create absent.
pub async fn examine(
    provider: &dyn Provider,
    state: &State,
    settling: Settling,
    (run, clock): (&RunInfo, Clock),
) -> Result<Examination, ListError> {
    let listing = provider.list().await?;
    let candidates = Candidates::from_listing(state, &listing);
    let proposals = propose(state, &candidates, false, run.moment(clock()), settling);
    let is_due = |proposal: &Proposal| matches!(proposal, Proposal::NotYetSettled { at } if *at <= clock());
    if !proposals.values().any(|(_, proposal)| is_due(proposal)) {
        return Ok(Examination { candidates, proposals, listed: ids(listing).collect() });
    }
    tokio::time::sleep(settling.between).await;
    let second = provider.list().await?;
    let again = Candidates::from_listing(state, &second);
    let is_agreeing = again == candidates;
    let proposals = propose(state, &again, is_agreeing, run.moment(clock()), settling);
    Ok(Examination { candidates: again, proposals, listed: ids(listing).chain(ids(second)).collect() })
}

fn ids(listing: Listing) -> impl Iterator<Item = InstanceId> {
    listing.instances.into_iter().map(|instance| instance.id)
}
