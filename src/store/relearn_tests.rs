use super::super::conformance::{AT, lineage, name};
use super::*;
use crate::state::{Hash, Head, Serial};

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

fn empty() -> State {
    State::new(lineage(), Serial(1), FORMAT)
}

fn with(state: &State, events: impl IntoIterator<Item = Event>) -> State {
    let mut state = state.clone();
    for event in events {
        state.apply(&Entry { serial: state.serial.next(), at: AT, event }).unwrap();
    }
    state
}

fn head(state: &State) -> Head {
    Head { serial: state.serial, hash: Hash([0; 32]) }
}

fn lock(state: &State) -> LockFile {
    LockFile::of(state, head(state), [])
}

/// What a lock file of `lost` makes of `left`.
fn rebuilt(lost: &State, left: &State) -> State {
    with(left, lock(lost).lessons(left, AT))
}

fn gone(of: &str, number: &str) -> Event {
    Event::Gone { name: name(of), id: id(number), grounds: "a test".to_owned() }
}

fn protected(of: &str) -> Event {
    Event::Protection { protected: vec![name(of)], unprotected: Vec::new() }
}

/// A delete that the server confirmed.
fn deleted(of: &str, number: &str) -> [Event; 3] {
    let attempt = AttemptId::typed(&format!("a-delete-{number}"));
    [
        Event::Retiring { attempt: attempt.clone(), name: name(of), id: id(number), unprotected: true },
        Event::RetireSent { attempt: attempt.clone() },
        Event::Retired { attempt, grounds: "a test".to_owned() },
    ]
}

/// An attempt for `of` that is in doubt.
fn doubt(of: &str) -> [Event; 2] {
    let attempt = AttemptId::typed(&format!("a-{of}"));
    let (name, kind) = (name(of), InstanceType::WhatsApp);
    [Event::Intent { attempt: attempt.clone(), name, kind, fence: None }, Event::Sent { attempt }]
}

/// What a rebuild and a rebuild that goes on with it make: the same.
fn assert_same_twice(lost: &State) -> State {
    let once = rebuilt(lost, &empty());
    assert_eq!(rebuilt(lost, &once).records(), once.records());
    once
}

#[test]
fn p9_what_is_gone_is_as_protected_as_it_was_should_it_exist_after_all() {
    let ways: [&[Event]; 2] = [&[gone("a", "1")], &deleted("a", "1")];
    for way in ways {
        let lost = with(&empty(), [Event::adopted("a", "1"), protected("a")].into_iter().chain(way.iter().cloned()));
        let state = assert_same_twice(&lost);
        assert!(state.record(&name("a")).is_some_and(|record| record.is_retired() && record.is_protected));
        let back = with(&state, [Event::adopted("a", "1")]);
        assert!(back.record(&name("a")).unwrap().is_protected);
        // The state that is left was older, and knew of neither.
        let older = rebuilt(&lost, &with(&empty(), [Event::adopted("a", "1")]));
        assert!(older.record(&name("a")).is_some_and(|record| record.is_retired() && record.is_protected));
    }
}

/// `a` was deleted, and what it had is `b`: whoever has lost that state is asked again before `a` gets another one.
#[test]
fn p1_a_name_whose_former_id_another_one_has_is_asked_about_after_a_rebuild() {
    let before = with(&empty(), [Event::adopted("a", "1"), gone("a", "1")]);
    let lost = with(&before, [Event::adopted("b", "1"), protected("b")]);
    let locked = lock(&lost);
    assert_eq!((&locked.deleted[&name("a")].id, &locked.instances[&name("b")].id), (&id("1"), &id("1")));
    let from_older = [empty(), with(&empty(), [Event::adopted("a", "1")]), before];
    for left in from_older {
        let state = rebuilt(&lost, &left);
        let (a, b) = (state.record(&name("a")).unwrap(), state.record(&name("b")).unwrap());
        assert_eq!(a.taken.as_ref().map(|former| &former.id), Some(&id("1")), "{a:?}");
        assert!(b.instance().is_some_and(|instance| instance.id == id("1")) && b.is_protected && !a.is_protected, "{b:?}");
    }
    assert_same_twice(&lost);
}

/// It may exist after all, under a name that is new by then.
#[test]
fn p1_what_only_lists_called_gone_is_asked_about_after_a_rebuild_whatever_was_tried_since() {
    let tried = doubt("a").into_iter().chain([Event::Resolved {
        attempt: AttemptId::typed("a-a"),
        verdict: Verdict::NotCreated,
        grounds: Grounds { by: "a test".to_owned(), reason: None, candidates: None },
    }]);
    let lost = with(&empty(), [Event::adopted("a", "1"), gone("a", "1")].into_iter().chain(tried));
    assert_eq!(lost.record(&name("a")).unwrap().presumed_gone(), Some(&id("1")));
    let state = assert_same_twice(&lost);
    assert_eq!(state.record(&name("a")).unwrap().presumed_gone(), Some(&id("1")));
}

/// What was deleted before an attempt is not what that has created.
#[test]
fn p1_a_lock_file_that_knows_what_was_deleted_closes_no_doubt_with_it() {
    let created = with(&empty(), [Event::adopted("a", "1")]);
    let before = with(&created, deleted("a", "1"));
    let doubtful = with(&before, doubt("a"));
    let is_held = |state: &State| matches!(state.record(&name("a")).unwrap().phase, Phase::InDoubt(..));
    // As the lock file is while the create is under way: it names both.
    let creating = |state: &State| LockFile::of(state, head(state), [(&name("a"), InstanceType::WhatsApp)]);
    let once = with(&empty(), creating(&before).lessons(&empty(), AT));
    assert!(is_held(&once));
    let twice = with(&once, creating(&before).lessons(&once, AT));
    assert!(is_held(&twice), "a rebuild that was cut off goes on");
    for (witness, is_newer) in [(&before, false), (&before, true), (&created, false)] {
        let mut state = doubtful.clone();
        relearn(&mut state, of_lock(&lock(witness)), ("a test", AT), &|_| is_newer);
        assert!(is_held(&state), "{:?}", state.record(&name("a")));
        // The entries of what was deleted are lost.
        let mut state = with(&empty(), doubt("a"));
        relearn(&mut state, of_lock(&lock(&before)), ("a test", AT), &|_| false);
        assert!(is_held(&state));
    }
}

/// `a` was replaced that often, and each time what it had was deleted.
fn replaced(times: u32) -> State {
    let mut state = with(&empty(), [Event::adopted("a", "1")]);
    for number in 1..=times {
        let (old, new) = (number.to_string(), (number + 1).to_string());
        let aside = format!("a.{old}");
        state = with(&state, [Event::Replacing { name: name("a"), to: name(&aside) }, Event::adopted("a", &new)]);
        state = with(&state, deleted(&aside, &old));
    }
    state
}

/// It would be paid for once more.
#[test]
fn p1_what_was_replaced_and_deleted_is_not_replaced_again_after_a_rebuild() {
    let lost = replaced(1);
    assert_eq!(lock(&lost).deleted[&name("a.1")].replaced_by, Some(name("a")));
    let kept = with(&empty(), [Event::adopted("a", "1")]);
    for left in [empty(), kept, with(&replaced(1), [])] {
        let state = rebuilt(&lost, &left);
        let old = state.replaced(&name("a")).unwrap();
        assert!(old.is_retired() && old.id() == Some(&id("1")), "{old:?}");
        assert!(state.record(&name("a")).unwrap().instance().is_some_and(|new| new.id == id("2")));
    }
    assert_same_twice(&lost);
}

#[test]
fn p1_a_chain_of_replacements_is_known_whole_after_a_rebuild() {
    let (lost, older) = (replaced(3), replaced(1));
    for left in [empty(), with(&empty(), [Event::adopted("a", "1")]), older] {
        let state = rebuilt(&lost, &left);
        for (new, old) in [("a", "a.3"), ("a.3", "a.2"), ("a.2", "a.1")] {
            assert_eq!(state.replaced(&name(new)).map(|old| &old.name), Some(&name(old)), "{new}: {state:?}");
        }
    }
    assert_same_twice(&lost);
}
