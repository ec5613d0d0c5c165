//! Declared × recorded × open attempts → changes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Change, Plan, Reason};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::state::{Instance, Phase, Record, State};

/// More newly orphaned or new names than this are compared by type only, not by likeness.
const COMPARED_MAX: usize = 200;

/// Plans `declared` against `state`. Reads nothing else: the same arguments always give the same plan.
pub fn plan(declared: &BTreeMap<InstanceName, InstanceType>, state: &State) -> Plan {
    let mut changes = Vec::with_capacity(declared.len());
    let (mut left, mut unsettled) = (Vec::new(), Vec::new());
    for (declared, record) in both(declared, state) {
        if let Some((name, kind)) = declared {
            changes.push(change(name, kind, record, state));
        } else {
            left.extend(record);
        }
        unsettled.extend(record.filter(|record| is_unsettled(record, declared.is_some())));
    }
    let mut orphans: Vec<(&Record, Change)> = left.iter().filter_map(|record| Some((*record, orphan(record, state)?))).collect();
    let suspects = left_by(&orphans, &half_replaced(&left, state)).chain(unsettled);
    suspect_renames(&mut changes, suspects);
    changes.extend(orphans.drain(..).map(|(_, change)| change));
    Plan { settlements: Vec::new(), changes }
}

/// Every name that is declared or on record, as it is there: two sorted lists are read beside each other, and nothing is looked up.
fn both<'a>(
    declared: &'a BTreeMap<InstanceName, InstanceType>,
    state: &'a State,
) -> impl Iterator<Item = (Option<(&'a InstanceName, InstanceType)>, Option<&'a Record>)> {
    let mut declared = declared.iter().map(|(name, kind)| (name, *kind)).peekable();
    let mut records = state.records().values().peekable();
    std::iter::from_fn(move || {
        let order = match (declared.peek(), records.peek()) {
            (Some((name, _)), Some(record)) => (*name).cmp(&record.name),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        let one = declared.next_if(|_| order.is_le());
        let other = records.next_if(|_| order.is_ge());
        (one.is_some() || other.is_some()).then_some((one, other))
    })
}

fn change(name: &InstanceName, kind: InstanceType, record: Option<&Record>, state: &State) -> Change {
    let (action, reason) = match record {
        None => (Action::Create, Reason::New),
        Some(Record { replaces: Some(_), .. }) if let Some((old, instance)) = state.half_replaced(name) => {
            let (id, aside) = (instance.id.clone(), old.name.clone());
            (Action::Create, Reason::Replacing { id, aside, was_asked: false })
        }
        Some(Record { phase: Phase::Absent { .. }, taken: Some(former), orphan_noted, .. }) => {
            let (id, since, was_declared) = (former.id.clone(), former.since, !orphan_noted);
            (Action::Create, Reason::Retired { id, since, was_declared })
        }
        Some(Record { phase: Phase::Absent { closed }, attempts, .. }) => {
            (Action::Create, Reason::TriedBefore { attempts: *attempts, closed: closed.clone() })
        }
        // What is begun and not sent can still be created with another type.
        Some(Record { phase: Phase::Intent(attempt), .. }) => (Action::Create, Reason::Begun { attempt: attempt.id.clone() }),
        // So is a doubt of another type: resolving it comes first, and says what exists.
        Some(Record { phase: Phase::Released(instance), .. }) => (Action::Conflict, Reason::Released { id: instance.id.clone() }),
        Some(record) if record.kind != kind && record.instance().is_some() => {
            (Action::Conflict, Reason::OtherType { recorded: record.kind, id: record.id().cloned() })
        }
        Some(record) => recorded(record),
    };
    let exists = record.filter(|_| action != Action::Create).map(|record| record.kind);
    Change { name: name.clone(), kind, action, reason, exists_as: exists.filter(|exists| *exists != kind), renamed_from: None }
}

fn recorded(record: &Record) -> (Action, Reason) {
    match &record.phase {
        Phase::Absent { closed } => (Action::Create, Reason::TriedBefore { attempts: record.attempts, closed: closed.clone() }),
        Phase::Intent(attempt) => (Action::Create, Reason::Begun { attempt: attempt.id.clone() }),
        Phase::InDoubt(attempt, doubt) => {
            let reason = Reason::InDoubt { attempt: attempt.id.clone(), since: doubt.since, seen: doubt.reason.clone() };
            (Action::Hold, reason)
        }
        Phase::Received(attempt, _) => (Action::Finish, Reason::Received { attempt: attempt.id.clone() }),
        Phase::Created(Instance { id, token: None, .. }) => (Action::NoOp, Reason::TokenMissing { id: id.clone() }),
        Phase::Created(Instance { id, .. }) => (Action::NoOp, Reason::Exists { id: id.clone() }),
        Phase::Released(Instance { id, .. }) => (Action::NoOp, Reason::Released { id: id.clone() }),
        Phase::Retiring(Instance { id, .. }, open) => (Action::Hold, Reason::Retiring { id: id.clone(), since: open.since }),
        Phase::Retired { id, since, .. } => {
            let was_declared = !record.orphan_noted;
            (Action::Create, Reason::Retired { id: id.clone(), since: *since, was_declared })
        }
    }
}

/// What is recorded and not declared; nothing for a name of which nothing can exist.
fn orphan(record: &Record, state: &State) -> Option<Change> {
    let (action, reason) = match recorded(record) {
        (Action::Create, _) | (_, Reason::Released { .. }) => return None,
        (Action::Hold, reason) => (Action::Orphan, reason),
        (Action::Finish, reason) => (Action::Finish, reason),
        (_, Reason::Exists { id }) => (Action::Orphan, left_over(record, id, state)),
        (_, reason) => (Action::Orphan, reason),
    };
    Some(Change { name: record.name.clone(), kind: record.kind, action, reason, exists_as: None, renamed_from: None })
}

/// Why an instance is there that is not declared: it was replaced, and nobody has given it a place of its own; or it has left.
fn left_over(record: &Record, id: InstanceId, state: &State) -> Reason {
    let new = state.replacement_of(record).filter(|new| new.instance().is_some());
    match new.filter(|new| state.remainder(&new.name).is_some_and(|old| old.name == record.name)) {
        Some(new) => Reason::Replaced { id, by: new.name.clone() },
        None => Reason::NotDeclared { id: Some(id) },
    }
}

/// What is set aside for names that have `left` before they had another instance: it stands for them.
fn half_replaced<'s>(left: &[&Record], state: &'s State) -> BTreeSet<&'s InstanceName> {
    let left = left.iter().filter(|record| record.replaces.is_some());
    left.filter_map(|record| state.half_replaced(&record.name)).map(|(old, _)| &old.name).collect()
}

/// The names that have just left, and what is in the place of one that has left: that is `aside`.
fn left_by<'s>(orphans: &[(&'s Record, Change)], aside: &BTreeSet<&InstanceName>) -> impl Iterator<Item = &'s Record> + use<'s> {
    let is_left = |(record, change): &&(&Record, Change)| {
        let has_just_left = !record.orphan_noted || aside.contains(&record.name) || record.is_nameless();
        change.action == Action::Orphan && has_just_left && !matches!(record.phase, Phase::Retiring(..))
    };
    orphans.iter().filter(is_left).map(|(record, _)| *record).collect::<Vec<_>>().into_iter()
}

/// Whether it has not left, and may be what is to be created all the same: an instance that was taken in under a new name, for a lost run
/// may have created it; or one that only lists called gone, whose name is declared no longer.
fn is_unsettled(record: &Record, is_declared: bool) -> bool {
    if is_declared { record.is_foreign && record.instance().is_some() } else { record.presumed_gone().is_some() }
}

/// Pairs each of `suspects` with a new name of its type.
fn suspect_renames<'s>(changes: &mut [Change], suspects: impl Iterator<Item = &'s Record>) {
    let mut new: BTreeMap<InstanceType, Vec<&mut Change>> = BTreeMap::new();
    // What was tried before was declared beside the one that left.
    let is_new = |change: &&mut Change| change.action == Action::Create && change.reason == Reason::New;
    for change in changes.iter_mut().filter(is_new) {
        new.entry(change.kind).or_default().push(change);
    }
    let mut left: BTreeMap<InstanceType, Vec<&InstanceName>> = BTreeMap::new();
    let (nameless, suspects): (Vec<_>, Vec<_>) = suspects.partition(|record| record.is_nameless());
    for record in suspects {
        left.entry(record.kind).or_default().push(&record.name);
    }
    for (kind, left) in left {
        pair(left, new.remove(&kind).unwrap_or_default());
    }
    // What has lost its name has lost its type too, and may be what was tried.
    let is_left = |change: &&mut Change| {
        let is_open = matches!(change.reason, Reason::New | Reason::TriedBefore { .. });
        change.action == Action::Create && is_open && change.renamed_from.is_none()
    };
    pair(nameless.into_iter().map(|record| &record.name).collect(), changes.iter_mut().filter(is_left).collect());
}

/// Those that are most alike first; of the many after the first few just the next one with the next one.
fn pair(left: Vec<&InstanceName>, new: Vec<&mut Change>) {
    let mut likeness = Vec::new();
    for (from, gone) in left.iter().enumerate().take(COMPARED_MAX) {
        for (to, change) in new.iter().enumerate().take(COMPARED_MAX) {
            likeness.push((strsim::levenshtein(gone.as_str(), change.name.as_str()), from, to));
        }
    }
    likeness.sort_unstable();
    let mut left: BTreeMap<usize, &InstanceName> = left.into_iter().enumerate().collect();
    let mut new: BTreeMap<usize, &mut Change> = new.into_iter().enumerate().collect();
    for (_, from, to) in likeness {
        if left.contains_key(&from)
            && let Some(change) = new.remove(&to)
        {
            change.renamed_from = left.remove(&from).cloned();
        }
    }
    for (from, change) in left.into_values().zip(new.into_values()) {
        change.renamed_from = Some(from.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Guard, Left, Limits};
    use crate::state::{AttemptId, Entry, Event, KeptSecret, Lineage, Serial};

    fn name(text: &str) -> InstanceName {
        InstanceName::parse(text).unwrap()
    }

    fn kind(text: &str) -> InstanceType {
        match text {
            "wa" => InstanceType::WhatsApp,
            _ => InstanceType::WhatsAppDev,
        }
    }

    /// A state from words: `created`, `no-token`, `intent`, `doubt`, `received`, `refused`, each for a name and a type; `noted`
    /// marks it as a known orphan.
    fn state(records: &[(&str, &str, &str)]) -> State {
        let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), crate::state::FORMAT);
        let mut add = |event| {
            let entry = Entry { serial: state.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event };
            state.apply(&entry).unwrap();
        };
        for (index, (of, of_kind, words)) in records.iter().enumerate() {
            let attempt = AttemptId::typed(&format!("a-{of}"));
            let id = InstanceId::parse(&format!("{}", 100 + index)).unwrap();
            let answer = crate::state::Answer { status: 200, complete: true, retry_after: None, body: vec![] };
            let steps: &[&str] = match words.split(' ').next().unwrap() {
                "intent" => &["intent"],
                "doubt" => &["intent", "sent"],
                "received" => &["intent", "sent", "received"],
                "refused" => &["intent", "sent", "received", "refused"],
                "no-token" => &["intent", "sent", "received", "bare"],
                _ => &["intent", "sent", "received", "created"],
            };
            for step in steps {
                let attempt = attempt.clone();
                add(match *step {
                    "intent" => Event::Intent { attempt, name: name(of), kind: kind(of_kind), fence: None },
                    "sent" => Event::Sent { attempt },
                    "received" => Event::Received { attempt, answer: answer.clone().into() },
                    "refused" => Event::Refused { attempt, reason: "no".into() },
                    "bare" => Event::Created { attempt, id: id.clone(), api_url: None, token_in: None, token: None },
                    _ => {
                        let token = Some(KeptSecret::Clear(crate::secret::Secret::new("t".into())));
                        Event::Created { attempt, id: id.clone(), api_url: None, token_in: None, token }
                    }
                });
            }
            if words.ends_with("noted") {
                add(Event::Noted { orphaned: vec![name(of)], returned: vec![] });
            }
        }
        state
    }

    fn planned(declared: &[(&str, &str)], records: &[(&str, &str, &str)]) -> Plan {
        let declared = declared.iter().map(|(of, of_kind)| (name(of), kind(of_kind))).collect();
        plan(&declared, &state(records))
    }

    /// Declared, recorded, the plan in words, why.
    type Row = (
        &'static [(&'static str, &'static str)],
        &'static [(&'static str, &'static str, &'static str)],
        &'static str,
        &'static str,
    );

    #[test]
    fn the_planner_table() {
        let rows: &[Row] = &[
            (&[], &[], "", "nothing declared, nothing recorded"),
            (&[("a", "wa")], &[], "a create: not created yet", "a new name"),
            (&[("a", "wa")], &[("a", "wa", "created")], "a no-op: exists as 100", "as declared"),
            (
                &[("a", "wa")],
                &[("a", "wa", "no-token")],
                "a no-op: exists as 100, token missing",
                "never created again for a token",
            ),
            (&[("a", "wa")], &[("a", "wa", "refused")], "a create: tried once: no", "a refusal is no instance"),
            (
                &[("a", "wa")],
                &[("a", "wa", "intent")],
                "a create: attempt a-a was begun, and is settled first",
                "an intent was not sent",
            ),
            (
                &[("a", "dev")],
                &[("a", "wa", "intent")],
                "a create: attempt a-a was begun, and is settled first",
                "and may be of another type now",
            ),
            (&[("a", "dev")], &[("a", "wa", "refused")], "a create: tried once: no", "nothing exists of the old type"),
            (
                &[("a", "wa")],
                &[("a", "wa", "doubt")],
                "a hold: attempt a-a in doubt since 1970-01-01T00:00:00Z: sent, and no answer was recorded",
                "P1: no second create while in doubt",
            ),
            (
                &[("a", "dev")],
                &[("a", "wa", "doubt")],
                "a hold: attempt a-a in doubt since 1970-01-01T00:00:00Z: sent, and no answer was recorded",
                "a changed type does not end a doubt",
            ),
            (&[("a", "wa")], &[("a", "wa", "received")], "a finish: the answer to attempt a-a is recorded", "needs no network"),
            (
                &[("a", "dev")],
                &[("a", "wa", "created")],
                "a conflict: recorded as whatsapp, and a type cannot be changed",
                "P9: never replaced",
            ),
            (&[], &[("a", "wa", "created")], "a orphan: no longer declared; still exists as 100, untouched", "P9: never deleted"),
            (
                &[],
                &[("a", "wa", "doubt")],
                "a orphan: attempt a-a in doubt since 1970-01-01T00:00:00Z: sent, and no answer was recorded",
                "a doubt stays one without a declaration",
            ),
            (&[], &[("a", "wa", "received")], "a finish: the answer to attempt a-a is recorded", "its token must not be lost"),
            (&[], &[("a", "wa", "refused")], "", "nothing exists"),
            (&[], &[("a", "wa", "intent")], "", "nothing was sent"),
            (
                &[("b", "wa")],
                &[("a", "wa", "created")],
                "b create: not created yet (renamed from a?); a orphan: no longer declared; still exists as 100, untouched",
                "a probable rename",
            ),
            (
                &[("b", "dev")],
                &[("a", "wa", "created")],
                "b create: not created yet; a orphan: no longer declared; still exists as 100, untouched",
                "another type is no rename",
            ),
            (
                &[("b", "wa")],
                &[("a", "wa", "created noted")],
                "b create: not created yet; a orphan: no longer declared; still exists as 100, untouched",
                "an orphan of long ago is no rename",
            ),
            (
                &[("shop-eu", "wa"), ("z", "wa")],
                &[("shop", "wa", "created")],
                "shop-eu create: not created yet (renamed from shop?); z create: not created yet; \
                 shop orphan: no longer declared; still exists as 100, untouched",
                "the likest name is suspected, and only one",
            ),
            (
                &[("helpdesk-us", "wa")],
                &[("branch-rome", "wa", "created"), ("support-us", "wa", "created")],
                "helpdesk-us create: not created yet (renamed from support-us?); \
                 branch-rome orphan: no longer declared; still exists as 100, untouched; \
                 support-us orphan: no longer declared; still exists as 101, untouched",
                "of several that have left, the likest is suspected",
            ),
        ];
        for (declared, records, expected, why) in rows {
            let plan = planned(declared, records);
            let shown = plan.changes.iter().map(|change| {
                let renamed = change.renamed_from.as_ref().map(|from| format!(" (renamed from {from}?)")).unwrap_or_default();
                format!("{} {}: {}{renamed}", change.name, change.action.as_str(), change.reason)
            });
            assert_eq!(shown.collect::<Vec<_>>().join("; "), *expected, "{why}");
        }
    }

    #[test]
    fn p1_what_may_exist_is_never_planned_as_a_create() {
        for words in ["doubt", "received", "created", "no-token", "created noted"] {
            for of_kind in ["wa", "dev"] {
                let plan = planned(&[("a", of_kind)], &[("a", "wa", words)]);
                assert_eq!(plan.summary().create, 0, "{words} declared as {of_kind}");
            }
        }
    }

    #[test]
    fn guards_name_what_stops_the_run_and_the_operator_can_answer_a_rename() {
        let plan = planned(&[("a", "dev"), ("c", "wa")], &[("a", "wa", "created"), ("b", "wa", "created")]);
        let id = Some(InstanceId::parse("100").unwrap());
        let type_change = Guard::TypeChange { name: name("a"), recorded: kind("wa"), declared: kind("dev"), id };
        let rename = Guard::ProbableRename { from: name("b"), to: name("c"), kind: kind("wa"), left: Left::Exists };
        assert_eq!(plan.guards(&Limits::default(), None), [type_change.clone(), rename]);
        let plan = plan.answered(&[name("c")], &[]);
        assert_eq!(plan.guards(&Limits::default(), None), [type_change]);
        assert_eq!(plan.summary().probable_rename, 0);
    }

    #[test]
    fn the_summary_counts_doubts_and_missing_tokens_of_orphans_too() {
        let plan = planned(
            &[("a", "wa"), ("b", "wa")],
            &[("b", "wa", "no-token"), ("c", "wa", "doubt"), ("d", "wa", "no-token"), ("e", "wa", "created noted")],
        );
        let summary = plan.summary();
        assert_eq!((summary.create, summary.unchanged, summary.orphaned), (1, 1, 3));
        assert_eq!((summary.in_doubt, summary.token_missing), (1, 2));
    }

    #[test]
    fn the_same_arguments_give_the_same_plan() {
        let records = [("a", "wa", "created"), ("b", "dev", "doubt"), ("c", "wa", "refused")];
        let declared = [("a", "wa"), ("b", "dev"), ("d", "wa")];
        assert_eq!(planned(&declared, &records), planned(&declared, &records));
    }
}
