//! What is in doubt and what lacks its token, with the commands that settle each.

use crate::apply::{Outcome, Report};
use crate::cli::deletes::finishing;
use crate::instance::InstanceName;
use crate::report::account::Notice;
use crate::state::State;

/// So many missing tokens are told one by one.
const SINGLY: usize = 5;

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
    let open = state.records().values().filter_map(|record| Some((record, record.id()?, record.retirement()?)));
    open.map(move |(record, id, open)| {
        let (name, finishing) = (&record.name, finishing(command, record));
        let since = open.since.round(jiff::Unit::Second).unwrap_or(open.since);
        Notice::warning(&format!("{name} is being deleted as {id} since {since}, and not known to be gone"))
            .about(name)
            .hint(&format!("`{finishing}` finishes it; deleting again does no harm"))
    })
}

/// The instances of `state` whose tokens are missing: each, or if they are many all of them in one.
pub(in crate::cli) fn tokens<'a>(state: &'a State, command: &'a str) -> impl Iterator<Item = Notice> + use<'a> {
    let missing = state.records().values().filter(|record| record.status() == "token_missing").map(|record| &record.name);
    let missing: Vec<&InstanceName> = missing.collect();
    let many = (missing.len() > SINGLY).then(|| of_many(&missing, command));
    let each = move |name: &InstanceName| {
        Notice::warning(&format!("{name} exists and its token is missing"))
            .about(name)
            .hint(&format!("{command} token set {name} < FILE"))
    };
    let singly = if many.is_some() { Vec::new() } else { missing };
    many.into_iter().chain(singly.into_iter().map(each))
}

fn of_many(missing: &[&InstanceName], command: &str) -> Notice {
    let some: Vec<&str> = missing.iter().take(SINGLY).map(|name| name.as_str()).collect();
    let (count, some) = (missing.len(), some.join(", "));
    Notice::warning(&format!("{count} instances exist and their tokens are missing: {some}, …"))
        .hint(&format!("`{command} token set --from FILE` sets many at once: `name,token` in each line"))
        .hint(&format!("`{command} state list` shows which"))
}
