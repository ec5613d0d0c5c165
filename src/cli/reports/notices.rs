//! What is in doubt and what lacks its token, with the commands that settle each.

use crate::apply::{Outcome, Report};
use crate::report::account::Notice;
use crate::state::State;

/// Each doubt of `state`. `report`: a run that knows more than it could write down.
pub(in crate::cli) fn doubts<'a>(
    state: &'a State,
    report: &'a Report,
    command: &'a str,
) -> impl Iterator<Item = Notice> + use<'a> {
    state.doubts().map(move |(record, attempt, doubt)| {
        let (name, id) = (&record.name, &attempt.id);
        let since = doubt.since.round(jiff::Unit::Second).unwrap_or(doubt.since);
        let reason = match report.outcomes.get(name) {
            Some(Outcome::InDoubt { reason, .. }) => reason,
            _ => &doubt.reason,
        };
        Notice::warning(&format!("{name} is in doubt since {since}: {reason}"))
            .about(name)
            .hint(&format!("`{command} doubts --refresh` asks the server; then one of"))
            .hint(&format!("  {command} resolve {name} --attempt {id} --created ID"))
            .hint(&format!("  {command} resolve {name} --attempt {id} --not-created"))
    })
}

/// Each delete of `state` that is not concluded.
pub(in crate::cli) fn deletes<'a>(state: &'a State, command: &'a str) -> impl Iterator<Item = Notice> + use<'a> {
    let open = state.records().values().filter_map(|record| Some((&record.name, record.id()?, record.retirement()?)));
    open.map(move |(name, id, open)| {
        let since = open.since.round(jiff::Unit::Second).unwrap_or(open.since);
        Notice::warning(&format!("{name} is being deleted as {id} since {since}, and not known to be gone"))
            .about(name)
            .hint(&format!("`{command} destroy {name}` finishes it; deleting again does no harm"))
    })
}

/// Each instance of `state` whose token is missing.
pub(in crate::cli) fn tokens<'a>(state: &'a State, command: &'a str) -> impl Iterator<Item = Notice> + use<'a> {
    let missing = state.records().values().filter(|record| record.status() == "token_missing");
    missing.map(move |record| {
        let name = &record.name;
        Notice::warning(&format!("{name} exists and its token is missing"))
            .about(name)
            .hint(&format!("{command} token set {name} < FILE"))
    })
}
