//! What is told of things that are settled before anything is created.

use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::error::CliError;
use super::exit::Exit;
use super::gone;
use crate::instance::{InstanceId, InstanceType};
use crate::listing::Listing;
use crate::manifest::Import;
use crate::plan::{Admission, Change, Evidence, Settled, Settlement, Unfit};
use crate::report::account::Notice;
use crate::saved::SavedPlan;
use crate::state::State;
use crate::text::escape;

/// Points out the entries that have nothing to do any more.
pub(super) fn remark(context: &Context, settled: &Settled) {
    for (place, why) in &settled.spent {
        context.remark(Notice::warning(&format!("{place}: {why}; the entry can be taken out")));
    }
}

/// Refuses what a saved plan does not settle: a state that was in another position would have been refused before.
pub(super) fn check_reviewed(saved: &SavedPlan, settled: &Settled) -> Result<(), CliError> {
    let reviewed: BTreeMap<_, _> =
        saved.plan.settlements.iter().map(|change| ((&change.name, change.action), &change.reason)).collect();
    let is_new = |change: &Change| reviewed.get(&(&change.name, change.action)) != Some(&&change.reason);
    match settled.steps.iter().find(|(_, change)| is_new(change)) {
        None => Ok(()),
        Some((_, change)) => {
            let message = format!("`{}` can be settled now, and that is not in the saved plan", change.name);
            Err(CliError::message(Exit::Stale, message).hint("nothing was sent: plan again"))
        }
    }
}

/// What is held against `listing` before something is taken in: the state with the rest settled. What is taken in shows itself, and
/// doubts are those that are left.
pub(super) fn remaining(settled: &Settled, state: &State) -> State {
    settled.part(state.clone(), |it| !matches!(it, Settlement::Import(_)))
}

/// Whether the list lets an instance be taken in.
pub(super) fn admitted(command: &str, said: &Import, state: &State, admission: &Admission<'_>) -> Result<Evidence, CliError> {
    let Import { name, id, kind, place } = said;
    match admission.of(id, Some(*kind)) {
        Ok((found, _)) => Ok(Evidence { candidates: None, api_url: found.api_url.clone() }),
        Err(why) => {
            let refused = refusal(command, (id, Some(*kind)), &why, state);
            Err(refused.context(format!("{place}: `{name}` is not taken in")))
        }
    }
}

/// What the list would let in of what is to be taken in, and what would stop an apply of the rest.
pub(super) fn weighed(
    command: &str,
    (settled, state): (&Settled, &State),
    listing: &Listing,
) -> (BTreeSet<InstanceId>, Vec<CliError>) {
    let imports = settled.steps.iter().filter_map(|(settlement, _)| match settlement {
        Settlement::Import(import) => Some(import),
        _ => None,
    });
    let mut imports = imports.peekable();
    let (mut fit, mut unfit) = (BTreeSet::new(), Vec::new());
    if imports.peek().is_none() {
        return (fit, unfit);
    }
    let left = remaining(settled, state);
    match Admission::new(&left, listing) {
        Err(why) => unfit.push(unlistable(command, &why, state)),
        Ok(admission) => {
            for import in imports {
                match admitted(command, import, state, &admission) {
                    Ok(_) => drop(fit.insert(import.id.clone())),
                    Err(error) => unfit.push(error),
                }
            }
        }
    }
    (fit, unfit)
}

/// An instance is not taken in: why, and what to do.
pub(super) fn refusal(command: &str, (id, kind): (&InstanceId, Option<InstanceType>), why: &Unfit, state: &State) -> CliError {
    let guarded = |message: String| CliError::message(Exit::Guard, message).hint("nothing was sent");
    match why {
        Unfit::Incredible { .. } => unlistable(command, why, state),
        Unfit::Unlisted => guarded(format!("the server does not list {id}"))
            .hint(format!("`{command} import --discover` shows what it lists and the state does not know")),
        Unfit::OtherType { listed } => {
            let wanted = kind.map_or_else(String::new, |kind| format!(", not {kind}"));
            guarded(format!("the server lists {id} as {}{wanted}", escape(listed)))
                .hint("say the type that exists: it cannot be changed")
        }
        Unfit::Doubtful { name, attempt } => {
            let message = format!("attempt {attempt} of `{name}` is in doubt, and {id} is new since: it may have created that");
            guarded(message)
                .hint(format!("if it has: `{command} resolve {name} --attempt {attempt} --created {id}`"))
                .hint(format!("if not, settle it first: `{command} doubts --refresh`"))
        }
    }
}

/// A list that lacks what exists proves nothing of what it shows.
pub(super) fn unlistable(command: &str, why: &Unfit, state: &State) -> CliError {
    let lacking = match why {
        Unfit::Incredible { gone } => gone.as_slice(),
        _ => &[],
    };
    let message = match lacking.first() {
        Some(id) => {
            let name = state.known_ids().get(id).map(|name| format!(" (`{name}`)")).unwrap_or_default();
            format!("the server's list lacks {id}{name}, recorded as existing: nothing is taken in by such a list")
        }
        None => "the server's list has items that cannot be read: nothing is taken in by such a list".to_owned(),
    };
    let refused = CliError::message(Exit::Guard, message).hint("nothing was sent; a list may lag behind: try again later");
    if lacking.is_empty() {
        return refused;
    }
    let names = lacking.iter().filter_map(|id| state.known_ids().get(id)).collect();
    refused
        .hint(format!("what was deleted for good on the server is recorded as deleted by {}", gone::destroy(command, &names, "")))
}
