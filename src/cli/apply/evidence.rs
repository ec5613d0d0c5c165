//! What a manifest settles, held against the server's list before anything is written: what is taken in is listed, and no list speaks
//! against what is said of a doubt.

use std::collections::BTreeSet;

use super::Run;
use super::strangers::{Strictness, unlisted};
use crate::apply::{Applier, Examination};
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::resolve::{address, objection};
use crate::cli::settled::{admitted, check_reviewed, remaining, remark, unlistable};
use crate::cli::{neighbours, planning};
use crate::instance::InstanceId;
use crate::listing::Listing;
use crate::manifest::Resolution;
use crate::plan::{Admission, Change, Evidence, Proposal, Settled, Settlement};
use crate::provider::Provider as _;
use crate::state::{Event, State};

/// What is recorded before the creates: each entry with the change that a plan shows of it.
pub(super) type Steps = Vec<(Event, Change)>;

/// The steps, and what was listed for those that call a create absent.
#[derive(Debug, Default)]
pub(super) struct Settling {
    pub(super) steps: Steps,
    pub(super) listed: BTreeSet<InstanceId>,
}

/// What was asked of the server, each once and only where it is needed.
struct Seen {
    listing: Option<Listing>,
    /// With the doubts as they are.
    open: Option<Examination>,
    /// With those closed of which it is said what they created: that explains an id, and leaves the others alone with the rest.
    rest: Option<Examination>,
}

impl Run<'_> {
    /// What the manifest settles in `state`; what is spent is told.
    pub(super) fn settled(&self, state: &State) -> Result<Settled, CliError> {
        let settled = planning::settled(self.manifest, state, &self.consent.targets)?;
        if let Some(saved) = self.saved {
            check_reviewed(saved, &settled)?;
        }
        remark(self.context, &settled);
        Ok(settled)
    }

    /// The entries of what is settled, with their evidence. None: the run was asked to stop.
    pub(super) async fn evidence(
        &self,
        applier: &Applier,
        (state, settled): (&State, &Settled),
    ) -> Result<Option<Settling>, CliError> {
        let Some(seen) = self.seen(applier, (state, settled)).await? else { return Ok(None) };
        // After the list: what another environment creates meanwhile is on record there before it is listed.
        neighbours::check_settled(settled, || neighbours::at(self.context, Some(self.server.provider.origin())))?;
        let left = remaining(settled, state);
        let admission = seen.listing.as_ref().map(|listing| Admission::new(&left, listing)).transpose();
        let admission = admission.map_err(|why| unlistable(&self.context.command(), &why, state))?;
        let mut events = Vec::with_capacity(settled.steps.len());
        for (settlement, change) in &settled.steps {
            let evidence = match settlement {
                Settlement::Move(_) => Evidence::default(),
                Settlement::Resolve(resolution) => self.weighed(resolution, state, &seen)?,
                Settlement::Import(import) => match &admission {
                    None => Evidence::default(),
                    Some(admission) => admitted(&self.context.command(), import, state, admission)?,
                },
            };
            events.push((settlement.event(evidence), change.clone()));
        }
        let listed = seen.rest.map(|examination| examination.listed).unwrap_or_default();
        Ok(Some(Settling { steps: events, listed }))
    }

    async fn seen(&self, applier: &Applier, (state, settled): (&State, &Settled)) -> Result<Option<Seen>, CliError> {
        let is = |wanted: fn(&Settlement) -> bool| settled.steps.iter().any(|(settlement, _)| wanted(settlement));
        let mut seen = Seen { listing: None, open: None, rest: None };
        if is(|it| matches!(it, Settlement::Resolve(Resolution { created: Some(_), .. }))) {
            let Some(examined) = applier.examine(state).await else { return Ok(None) };
            seen.open = Some(examined.map_err(|error| unasked(unlisted(&error)))?);
        }
        if is(|it| matches!(it, Settlement::Resolve(Resolution { created: None, .. }))) {
            let explained =
                settled.part(state.clone(), |it| matches!(it, Settlement::Resolve(Resolution { created: Some(_), .. })));
            let Some(examined) = applier.examine(&explained).await else { return Ok(None) };
            seen.rest = Some(examined.map_err(|error| unasked(unlisted(&error)))?);
        }
        if is(|it| matches!(it, Settlement::Import(_))) {
            let Some(listed) = self.list(applier, Strictness::Stop).await else { return Ok(None) };
            seen.listing = Some(listed.map_err(|error| unasked(unlisted(&error)))?);
        }
        Ok(Some(seen))
    }

    /// As `chatapi resolve` would have it.
    fn weighed(&self, said: &Resolution, state: &State, seen: &Seen) -> Result<Evidence, CliError> {
        let Resolution { name, attempt, created, place } = said;
        let examination = if created.is_some() { &seen.open } else { &seen.rest };
        let Some(examination) = examination else { return Ok(Evidence::default()) };
        let Some(why) = objection(created.as_ref(), name, examination, state) else {
            let api_url = created.as_ref().and_then(|id| address(Some(examination), id));
            return Ok(Evidence { candidates: Some(examination.candidates.ids()), api_url });
        };
        let verdict = created.as_ref().map_or_else(|| "--not-created".to_owned(), |id| format!("--created {id}"));
        let command = self.context.command();
        let refused = CliError::message(Exit::Guard, format!("{place}: `{name}` is not settled that way: {why}"));
        let listed = match examination.proposals.get(name) {
            Some((_, Proposal::Exists(found))) => Some(&found.id).filter(|id| created.as_ref() != Some(id)),
            _ => None,
        };
        let refused = listed.into_iter().fold(refused.hint("nothing was sent"), |refused, id| {
            refused.hint(format!("if it is {id}, say so there: `created: \"{id}\"`"))
        });
        Err(refused.hint(format!(
                "if you know better than the list: `{command} resolve {name} --attempt {attempt} {verdict} --despite-list --reason TEXT`"
            )))
    }
}

fn unasked(error: CliError) -> CliError {
    error.context("what the manifest settles cannot be held against the server's list")
}
