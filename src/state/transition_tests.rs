//! The table of an attempt's steps, row by row, and what else an entry may and may not do to a state.

use jiff::Timestamp;

use super::{AttemptId, Entry, Event, FORMAT, Grounds, Hash, Head, Illegal, Lineage, Serial, State, Verdict};
use crate::instance::{InstanceId, InstanceName, InstanceType};

const AT: Timestamp = Timestamp::UNIX_EPOCH;

fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

fn attempt() -> AttemptId {
    AttemptId::typed("a-1")
}

/// Applies `events` in order to a fresh state.
fn replay(events: &[Event]) -> Result<State, Illegal> {
    let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), FORMAT);
    for event in events {
        let entry = Entry { serial: state.serial.next(), at: AT, event: event.clone() };
        state.apply(&entry)?;
    }
    Ok(state)
}

fn kept() -> crate::state::KeptSecret {
    crate::state::KeptSecret::Clear(crate::secret::Secret::new("t".into()))
}

fn event(word: &str) -> Event {
    let attempt = attempt();
    let reason = "why".to_owned();
    let id = InstanceId::parse("100").unwrap();
    let grounds = Grounds { by: "operator".to_owned(), reason: None, candidates: None };
    match word {
        "intent" => Event::Intent { attempt, name: name("a"), kind: InstanceType::WhatsApp, fence: None },
        "unsent" => Event::Unsent { attempt, reason },
        "sent" => Event::Sent { attempt },
        "received" => Event::Received {
            attempt,
            answer: super::Answer { status: 200, complete: true, retry_after: None, body: vec![] }.into(),
        },
        "created" => Event::Created { attempt, id, api_url: None, token_in: None, token: Some(kept()) },
        "refused" => Event::Refused { attempt, reason },
        "doubted" => Event::Doubted { attempt, reason },
        "exists" => Event::Resolved { attempt, verdict: Verdict::Created { id, api_url: None }, grounds },
        "never" => Event::Resolved { attempt, verdict: Verdict::NotCreated, grounds },
        "retiring" => Event::Retiring { attempt: AttemptId::typed("a-2"), name: name("a"), id, unprotected: false },
        "retire_sent" => Event::RetireSent { attempt: AttemptId::typed("a-2") },
        "retired" => Event::Retired { attempt: AttemptId::typed("a-2"), grounds: reason },
        "kept" => Event::Kept { attempt: AttemptId::typed("a-2"), reason },
        "gone" => Event::Gone { name: name("a"), id, grounds: reason },
        "protect" => Event::Protection { protected: vec![name("a")], unprotected: vec![] },
        "unprotect" => Event::Protection { protected: vec![], unprotected: vec![name("a")] },
        "release" => Event::Released { name: name("a") },
        "token" => Event::TokenSet { name: name("a"), token: kept(), api_url: None },
        _ => unreachable!("{word}"),
    }
}

/// The way to a phase, and what may follow: word and status afterwards.
type Row = (&'static [&'static str], &'static [(&'static str, &'static str)]);

#[test]
fn p1_the_table_lists_every_step_and_refuses_the_rest() {
    // What a row does not list is illegal.
    let words = [
        "intent",
        "unsent",
        "sent",
        "received",
        "created",
        "refused",
        "doubted",
        "exists",
        "never",
        "token",
        "retiring",
        "retire_sent",
        "retired",
        "kept",
        "gone",
    ];
    let table: &[Row] = &[
        (&[], &[("intent", "intent")]),
        (&["intent"], &[("unsent", "absent"), ("sent", "in_doubt"), ("doubted", "in_doubt")]),
        (
            &["intent", "sent"],
            &[
                ("unsent", "absent"),
                ("received", "received"),
                ("doubted", "in_doubt"),
                ("exists", "token_missing"),
                ("never", "absent"),
            ],
        ),
        (&["intent", "sent", "received"], &[("created", "created"), ("refused", "absent"), ("doubted", "in_doubt")]),
        (
            &["intent", "sent", "received", "doubted"],
            &[("doubted", "in_doubt"), ("exists", "token_missing"), ("never", "absent")],
        ),
        (&["intent", "sent", "received", "created"], &[("token", "created"), ("retiring", "retiring"), ("gone", "retired")]),
        (&["intent", "sent", "exists"], &[("token", "created"), ("retiring", "retiring"), ("gone", "retired")]),
        (&["intent", "sent", "exists", "gone"], &[("intent", "intent")]),
        (&["intent", "sent", "exists", "protect"], &[("token", "created"), ("gone", "retired")]),
        (
            &["intent", "sent", "exists", "protect", "unprotect"],
            &[("token", "created"), ("retiring", "retiring"), ("gone", "retired")],
        ),
        (&["intent", "sent", "exists", "retiring"], &[("retire_sent", "retiring"), ("kept", "token_missing")]),
        (&["intent", "sent", "exists", "retiring", "retire_sent"], &[("retired", "retired"), ("kept", "token_missing")]),
        (
            &["intent", "sent", "exists", "retiring", "kept"],
            &[("token", "created"), ("retiring", "retiring"), ("gone", "retired")],
        ),
        (&["intent", "sent", "exists", "retiring", "retire_sent", "retired"], &[("intent", "intent")]),
        (&["intent", "sent", "exists", "release"], &[]),
        (&["intent", "unsent"], &[("intent", "intent")]),
        (&["intent", "sent", "received", "refused"], &[("intent", "intent")]),
    ];
    for (way, allowed) in table {
        for word in words {
            let events: Vec<Event> = way.iter().chain([&word]).map(|word| event(word)).collect();
            let expected = allowed.iter().find(|(next, _)| *next == word).map(|(_, status)| *status);
            let found = replay(&events).ok().map(|state| state.records()[&name("a")].status());
            assert_eq!(found, expected, "{way:?} then {word}");
        }
    }
}

#[test]
fn p1_a_refused_entry_leaves_the_state_as_it_was() {
    let mut state = replay(&[event("intent"), event("sent")]).unwrap();
    let before = state.clone();
    let entry = Entry { serial: state.serial.next(), at: AT, event: event("intent") };
    assert!(matches!(state.apply(&entry), Err(Illegal::Step { .. })));
    assert_eq!(state, before);
}

#[test]
fn an_id_belongs_to_one_name_only() {
    let mut events: Vec<Event> = ["intent", "sent", "received", "created"].map(event).to_vec();
    events.push(Event::adopted("b", "100"));
    assert!(matches!(replay(&events), Err(Illegal::IdTaken { .. })));
}

#[test]
fn a_renamed_instance_keeps_its_id_and_frees_its_name() {
    let mut events: Vec<Event> = ["intent", "sent", "received", "created"].map(event).to_vec();
    events.push(Event::Moved { from: name("a"), to: name("b") });
    let state = replay(&events).unwrap();
    assert_eq!(state.known_ids().values().collect::<Vec<_>>(), [&name("b")]);
    assert!(state.record(&name("a")).is_none());
    events.push(Event::Moved { from: name("a"), to: name("c") });
    assert_eq!(replay(&events), Err(Illegal::Unknown(name("a"))));
}

#[test]
fn a_fence_lives_as_long_as_an_attempt_refers_to_it() {
    let listed = |ids: &str| Event::Listed { ids: ids.split(' ').map(|id| InstanceId::parse(id).unwrap()).collect() };
    let intent = Event::Intent { attempt: attempt(), name: name("a"), kind: InstanceType::WhatsApp, fence: Some(Serial(2)) };
    let begun = [listed("1"), intent, event("sent")];
    let fences = |lists: &[&str]| {
        let state = replay(&[begun.to_vec(), lists.iter().map(|ids| listed(ids)).collect()].concat()).unwrap();
        state.fences().keys().map(|serial| serial.0).collect::<Vec<_>>()
    };
    assert_eq!(fences(&["1 2", "1 2 3"]), [2, 6], "the newer one shows all of it");
    assert_eq!(fences(&["1", "3"]), [2, 6], "it shows nothing that the attempt may have created");
    assert_eq!(fences(&["2", "3"]), [2, 5, 6], "2 may be what the attempt created, and no other list shows it");
    assert_eq!(fences(&["2", "3", "2 3"]), [2, 7]);
    let state = replay(&begun).unwrap();
    let (_, attempt, _) = state.doubts().next().unwrap();
    assert!(state.fence_of(attempt).unwrap().contains(&InstanceId::parse("1").unwrap()));
}

#[test]
fn a_binding_names_its_account_once_and_never_another() {
    let bound = |origin: &str, key: Option<&str>| {
        let key = key.map(|key| super::KeyFingerprint(key.into()));
        Event::Bound(super::Binding { origin: super::Origin(origin.into()), key, environment: None })
    };
    assert!(replay(&[bound("a", None), bound("a", Some("k")), bound("a", Some("k"))]).is_ok());
    for other in [bound("b", Some("k")), bound("a", Some("l")), bound("a", None), bound("b", Some("2:k"))] {
        assert_eq!(replay(&[bound("a", Some("k")), other]), Err(Illegal::Bound));
    }
    // A fingerprint of the key alone is followed by one of the address too, once.
    assert!(replay(&[bound("a", Some("k")), bound("a", Some("2:k")), bound("a", Some("2:k"))]).is_ok());
    for other in [bound("a", Some("k")), bound("a", Some("2:l")), bound("b", Some("2:k")), bound("a", None)] {
        assert_eq!(replay(&[bound("a", Some("2:k")), other]), Err(Illegal::Bound));
    }
}

#[test]
fn entries_come_in_order() {
    let mut state = replay(&[]).unwrap();
    let entry = Entry { serial: Serial(5), at: AT, event: event("intent") };
    assert_eq!(state.apply(&entry), Err(Illegal::Serial { expected: Serial(2), found: Serial(5) }));
    assert_eq!(Head::START.hash, Hash::ZERO);
}

#[test]
fn the_id_of_a_deleted_instance_stays_known_until_somebody_else_has_it() {
    let id = InstanceId::parse("100").unwrap();
    let gone: Vec<Event> = ["intent", "sent", "exists", "retiring", "retire_sent", "retired"].map(event).to_vec();
    let state = replay(&gone).unwrap();
    assert_eq!(state.known_ids()[&id], name("a"));
    assert_eq!(state.managed_ids().count(), 0, "a list that does not show it can be believed");
    let adopted = Event::adopted("b", id.as_str());
    let state = replay(&[&gone[..], &[adopted]].concat()).unwrap();
    assert_eq!(state.known_ids()[&id], name("b"));
    assert_eq!(state.records()[&name("a")].status(), "absent");
    // Created anew, the old id is nobody's.
    let state = replay(&[&gone[..], &[event("intent")]].concat()).unwrap();
    assert!(state.known_ids().is_empty());
}

#[test]
fn only_the_named_id_is_deleted() {
    let exists = ["intent", "sent", "exists"].map(event);
    let other = Event::Retiring {
        attempt: AttemptId::typed("a-2"),
        name: name("a"),
        id: InstanceId::parse("7").unwrap(),
        unprotected: false,
    };
    assert!(matches!(replay(&[&exists[..], &[other]].concat()), Err(Illegal::Step { .. })));
    let other = Event::Gone { name: name("a"), id: InstanceId::parse("7").unwrap(), grounds: "test".into() };
    assert!(matches!(replay(&[&exists[..], &[other]].concat()), Err(Illegal::Step { .. })));
}

/// As an index does it.
fn put_together(state: &State) -> State {
    State::from_parts(super::Parts {
        lineage: state.lineage.clone(),
        serial: state.serial,
        format: state.format,
        binding: state.binding.clone(),
        run: state.run.clone(),
        recipients: state.recipients.clone(),
        records: state.records().clone(),
        fences: state.fences().clone(),
    })
}

#[test]
fn a_state_put_together_from_its_parts_is_the_same_in_every_phase_of_a_delete() {
    let words = ["intent", "sent", "exists", "retiring", "retire_sent", "retired", "intent"];
    for count in 0..=words.len() {
        let state = replay(&words[..count].iter().map(|word| event(word)).collect::<Vec<_>>()).unwrap();
        assert_eq!(put_together(&state), state, "after {count}");
    }
}

#[test]
fn what_has_nothing_to_lose_is_forgotten_and_nothing_else() {
    let forgotten = |words: &[&str]| {
        let forget = Event::Forgotten { name: name("a") };
        replay(&words.iter().map(|word| event(word)).chain([forget]).collect::<Vec<_>>())
    };
    let exists = ["intent", "sent", "exists"];
    for words in [
        &["intent", "unsent"][..],
        &[&exists[..], &["release"]].concat(),
        &[&exists[..], &["retiring", "retire_sent", "retired"]].concat(),
    ] {
        let state = forgotten(words).unwrap();
        assert!(state.records().is_empty() && state.known_ids().is_empty(), "{words:?}");
    }
    for words in [&["intent"][..], &["intent", "sent"], &exists, &[&exists[..], &["retiring"]].concat()] {
        assert!(matches!(forgotten(words), Err(Illegal::Step { .. })), "{words:?}");
    }
    assert_eq!(forgotten(&[]), Err(Illegal::Unknown(name("a"))));
}

#[test]
fn what_is_replaced_keeps_its_id_under_another_name_and_frees_its_own() {
    let replacing = || Event::Replacing { name: name("a"), to: name("a.100") };
    let exists: Vec<Event> = ["intent", "sent", "exists"].map(event).to_vec();
    let state = replay(&[&exists[..], &[replacing()]].concat()).unwrap();
    let old = state.replaced(&name("a")).unwrap();
    assert_eq!((old.name.as_str(), old.status(), old.orphan_noted), ("a.100", "token_missing", true));
    assert_eq!(state.known_ids().values().collect::<Vec<_>>(), [&name("a.100")]);
    let back = Event::Moved { from: name("a.100"), to: name("a") };
    let state = replay(&[&exists[..], &[replacing(), back]].concat()).unwrap();
    assert!(state.replaced(&name("a")).is_none() && state.record(&name("a")).is_some());
    let back = state.record(&name("a")).unwrap();
    assert!(!back.is_replaced && back.replaces.is_none());
    // Not while there is anything to lose by it.
    let protected = [&exists[..], &[event("protect"), replacing()]].concat();
    assert!(matches!(replay(&protected), Err(Illegal::Step { .. })));
    assert!(matches!(replay(&[event("intent"), event("sent"), replacing()]), Err(Illegal::Step { .. })));
}

/// The mark is of ids: either may have another name later, and the name another instance.
#[test]
fn the_mark_of_a_replacement_follows_both_names_and_ends_with_the_old_record() {
    let begun: Vec<Event> = ["intent", "sent", "exists"]
        .map(event)
        .into_iter()
        .chain([Event::Replacing { name: name("a"), to: name("a.100") }])
        .collect();
    let adopted = Event::adopted;
    let moved = |from: &str, to: &str| Event::Moved { from: name(from), to: name(to) };
    let after = |more: &[Event]| replay(&[&begun[..], more].concat()).unwrap();
    let replaced = |state: &State, of: &str| state.replaced(&name(of)).map(|old| old.name.to_string());
    let half = after(&[]);
    assert_eq!(
        half.half_replaced(&name("a")).map(|(old, instance)| (old.name.as_str(), instance.id.as_str())),
        Some(("a.100", "100"))
    );
    let done = after(&[adopted("a", "101"), moved("a", "b"), moved("a.100", "c")]);
    assert_eq!((replaced(&done, "b").as_deref(), replaced(&done, "a")), (Some("c"), None));
    assert!(done.half_replaced(&name("b")).is_none());
    let old = done.record(&name("c")).unwrap();
    assert_eq!(done.replacement_of(old).map(|new| new.name.as_str()), Some("b"));
    // Another one under the freed name is none of it.
    let anew = after(&[adopted("a", "101"), moved("a", "b"), adopted("a", "102")]);
    assert_eq!(replaced(&anew, "a"), None);
    // What takes the name over has replaced what it had, and what was there first has not.
    assert_eq!(replaced(&after(&[adopted("x", "7"), moved("x", "a")]), "a").as_deref(), Some("a.100"));
    assert_eq!(replaced(&after(&[moved("a.100", "x"), moved("x", "a")]), "a"), None);
    // An id that is given again is another instance's.
    let gone = Event::Gone { name: name("a.100"), id: InstanceId::parse("100").unwrap(), grounds: "a test".to_owned() };
    let forgotten = after(&[adopted("a", "101"), gone, Event::Forgotten { name: name("a.100") }, adopted("z", "100")]);
    assert_eq!(replaced(&forgotten, "a"), None);
}

/// P11: whoever writes the list could collect tokens by an address else.
#[test]
fn p11_an_address_that_only_a_list_has_told_is_marked_though_the_instance_was_known_before() {
    let (id, kind) = (InstanceId::parse("100").unwrap(), InstanceType::WhatsApp);
    let address = |text: &str| crate::instance::ApiUrl::parse(text).unwrap();
    let (first, other) = (address("https://one.example/i100/"), address("https://two.example/i100/"));
    let begun = ["intent", "sent", "received"].map(event).to_vec();
    let created =
        Event::Created { attempt: attempt(), id: id.clone(), api_url: Some(first.clone()), token_in: None, token: None };
    let gone = Event::Gone { name: name("a"), id: id.clone(), grounds: "a test".into() };
    for (listed, expected, is_listed) in
        [(None, &first, false), (Some(first.clone()), &first, false), (Some(other.clone()), &other, true)]
    {
        let adopted =
            Event::Adopted { name: name("a"), kind, id: id.clone(), api_url: listed, source: "a test".into(), is_foreign: false };
        let state = replay(&[&begun[..], &[created.clone(), gone.clone(), adopted]].concat()).unwrap();
        let instance = state.record(&name("a")).unwrap().instance().unwrap();
        assert_eq!((instance.api_url.as_ref(), instance.is_address_listed), (Some(expected), is_listed));
    }
}

/// What lists called gone and exists after all is what it was, under whatever name it is taken in, and after the name had another.
#[test]
fn p3_what_was_called_gone_keeps_its_token_and_its_protection() {
    let lost: Vec<Event> = ["intent", "sent", "exists", "token", "protect", "gone"].map(event).to_vec();
    let taken = |of: &str| Event::adopted(of, "100");
    let again = Event::Intent { attempt: AttemptId::typed("a-3"), name: name("a"), kind: InstanceType::WhatsApp, fence: None };
    let refused = Event::Unsent { attempt: AttemptId::typed("a-3"), reason: "no".to_owned() };
    for (why, more, of) in [
        ("its own name", vec![], "a"),
        ("another name", vec![], "b"),
        ("its name is being created anew", vec![again.clone()], "b"),
        ("its name was tried in vain", vec![again.clone(), refused.clone()], "a"),
        ("another name then", vec![again.clone(), refused.clone()], "b"),
    ] {
        let before = replay(&[&lost[..], &more].concat()).unwrap();
        assert_eq!(before.records()[&name("a")].entries().count(), 1, "{why}: its token stays in the journal");
        let state = replay(&[&lost[..], &more, &[taken(of)]].concat()).unwrap();
        let record = state.record(&name(of)).unwrap();
        assert!(record.status() == "created" && record.is_protected, "{why}: {record:?}");
        assert_eq!(put_together(&state), state, "{why}");
    }
}

/// An id is one name's: what had it before gives it up, however the other one gets it.
#[test]
fn an_id_that_another_name_gets_is_no_former_one() {
    let id = InstanceId::parse("100").unwrap();
    let (again, doubted) = (AttemptId::typed("a-3"), AttemptId::typed("a-9"));
    let intent = |attempt: &AttemptId, of: &str| Event::Intent {
        attempt: attempt.clone(),
        name: name(of),
        kind: InstanceType::WhatsApp,
        fence: None,
    };
    let resolved = Event::Resolved {
        attempt: doubted.clone(),
        verdict: crate::state::Verdict::Created { id: id.clone(), api_url: None },
        grounds: crate::state::Grounds { by: "operator".to_owned(), reason: None, candidates: None },
    };
    let events: Vec<Event> = ["intent", "sent", "exists", "token", "gone"].map(event).to_vec();
    let more = [intent(&again, "a"), intent(&doubted, "c"), Event::Sent { attempt: doubted }];
    let before = replay(&[&events[..], &more].concat()).unwrap();
    assert!(before.former().any(|(former, _)| former.id == id));
    assert!(before.touched(&resolved).contains(&name("a")), "the index has to write that record too");
    let state = replay(&[&events[..], &more, &[resolved]].concat()).unwrap();
    assert!(!state.former().any(|(former, _)| former.id == id) && state.known_ids()[&id] == name("c"));
    assert_eq!(put_together(&state), state);
}
