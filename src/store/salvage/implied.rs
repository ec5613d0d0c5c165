//! What must have been recorded in lines that are gone, for a line behind them to be there.
//!
//! An answer that proves an instance is worth more than the line that concludes from it: it has the token. And nothing is tried under a
//! name before what it had is closed, gone or set aside. What a name had, and nobody says what became of it, stays under a name of
//! its own and is protected: it may be anything but nothing.

use crate::instance::{InstanceId, InstanceName};
use crate::state::{AttemptId, Event, Grounds, Outline, Phase, Record, Serial, State, Verdict};

const LATER: &str = "a later attempt in the journal, which was damaged before it";

/// Reads the answer in an entry.
pub(super) type Answers<'a> = dyn Fn(Serial) -> Option<Outline> + 'a;

/// What goes before `event`, in the order of its happening; nothing: `event` follows, or nobody can tell.
pub(super) fn implied(state: &State, event: &Event, answers: &Answers<'_>) -> Vec<Event> {
    let records: Vec<_> = state.touched(event).iter().filter_map(|name| state.record(name)).collect();
    let is_other = |attempt: &AttemptId| event.attempt() != Some(attempt);
    let unread = records.iter().find_map(|record| match &record.phase {
        Phase::Received(attempt, answer) if is_other(&attempt.id) => Some((&attempt.id, *answer)),
        _ => None,
    });
    if let Some((attempt, answer)) = unread {
        return vec![concluded(attempt, answer, answers)];
    }
    match (event, records.first().map(|record| &record.phase)) {
        (
            Event::Received { attempt, .. } | Event::Doubted { attempt, .. } | Event::Created { attempt, .. },
            Some(Phase::Intent(_)),
        ) => vec![Event::Sent { attempt: attempt.clone() }],
        (Event::Intent { name, attempt, .. }, _) => {
            let before = state.record(name).filter(|record| record.open_id() != Some(attempt));
            before.map_or_else(Vec::new, |record| vacated(record, state))
        }
        _ => Vec::new(),
    }
}

/// What the answer to `attempt` leads to.
pub(super) fn concluded(attempt: &AttemptId, answer: Serial, answers: &Answers<'_>) -> Event {
    let attempt = attempt.clone();
    match answers(answer) {
        Some(Outline::Created { id, api_url, has_token }) => {
            Event::Created { attempt, id, api_url, token_in: has_token.then_some(answer), token: None }
        }
        _ => Event::Doubted { attempt, reason: "its entries in the journal are damaged".to_owned() },
    }
}

/// What `event` still proves where the answer that it rests on is gone: the instance, without its token.
pub(super) fn proven(state: &State, event: &Event) -> Option<Event> {
    let Event::Created { attempt, id, .. } = event else { return None };
    let lost = "the journal's own conclusion, whose answer was damaged";
    let record = state.record(state.name_of_attempt(event)?)?;
    matches!(record.phase, Phase::InDoubt(..)).then(|| resolved(attempt.clone(), id.clone(), lost))
}

pub(super) fn resolved(attempt: AttemptId, id: InstanceId, by: &str) -> Event {
    let grounds = Grounds { by: by.to_owned(), reason: None, candidates: None };
    Event::Resolved { attempt, verdict: Verdict::Created { id, api_url: None }, grounds }
}

/// What makes the name of `record` free for another attempt.
fn vacated(record: &Record, state: &State) -> Vec<Event> {
    match &record.phase {
        Phase::Absent { .. } | Phase::Retired { .. } | Phase::Received(..) => Vec::new(),
        Phase::Intent(open) => vec![Event::Unsent { attempt: open.id.clone(), reason: LATER.to_owned() }],
        Phase::InDoubt(open, _) => {
            let grounds = Grounds { by: LATER.to_owned(), reason: None, candidates: None };
            vec![Event::Resolved { attempt: open.id.clone(), verdict: Verdict::NotCreated, grounds }]
        }
        Phase::Created(_) => aside(record, state).map_or_else(Vec::new, |(_, events)| events),
        Phase::Released(_) => aside(record, state).map_or_else(Vec::new, |(to, events)| {
            let again = Event::Reclaimed { name: record.name.clone() };
            [again].into_iter().chain(events).chain([Event::Released { name: to }]).collect()
        }),
        Phase::Retiring(_, open) => aside(record, state).map_or_else(Vec::new, |(_, events)| {
            let kept = Event::Kept { attempt: open.attempt.clone(), reason: LATER.to_owned() };
            [kept].into_iter().chain(events).collect()
        }),
    }
}

/// What it has gets a name of its own, and is protected under that. None: that name is taken.
fn aside(record: &Record, state: &State) -> Option<(InstanceName, Vec<Event>)> {
    let to = state.name_aside(record)?;
    let marked = |protected: Vec<InstanceName>, unprotected| Event::Protection { protected, unprotected };
    let unmarked = record.is_protected.then(|| marked(Vec::new(), vec![record.name.clone()]));
    let replacing = Event::Replacing { name: record.name.clone(), to: to.clone() };
    let events = unmarked.into_iter().chain([replacing, marked(vec![to.clone()], Vec::new())]).collect();
    Some((to, events))
}
