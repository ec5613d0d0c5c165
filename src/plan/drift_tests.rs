use super::*;
use crate::state::{AttemptId, Entry, Event, FORMAT, Lineage, Serial};

const WA: InstanceType = InstanceType::WhatsApp;
const DAY: i64 = 24 * 60 * 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

/// Words: `+1` manages 1 as `n1`, `-2` has deleted 2 as `n2`, `~3` has released 3, `seen:4` a list that shows 4, `?x` a doubt.
fn state(words: &str) -> State {
    let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), FORMAT);
    let mut fence = None;
    let mut add = |event| {
        let entry = Entry { serial: state.serial.next(), at: at(100), event };
        state.apply(&entry).unwrap();
        state.serial
    };
    for word in words.split_whitespace() {
        let (mark, text) = word.split_at(if word.starts_with("seen:") { 5 } else { 1 });
        let of = name(&format!("n{}", text.replace(',', "-")));
        let adopted = || Event::adopted(of.as_str(), text);
        let attempt = AttemptId::typed(&format!("a-{text}"));
        match mark {
            "+" => drop(add(adopted())),
            "~" => {
                add(adopted());
                add(Event::Released { name: of.clone() });
            }
            "-" => {
                add(adopted());
                add(Event::Retiring { attempt: attempt.clone(), name: of.clone(), id: id(text), unprotected: false });
                add(Event::RetireSent { attempt: attempt.clone() });
                add(Event::Retired { attempt, grounds: "test".into() });
            }
            "?" => {
                add(Event::Intent { attempt: attempt.clone(), name: of.clone(), kind: WA, fence });
                add(Event::Sent { attempt });
            }
            _ => fence = Some(add(Event::Listed { ids: text.split(',').map(id).collect() })),
        }
    }
    state
}

/// Words: `1`, `1=TYPE`, `1/stopped`, `1@DAYS` paid for so many days more.
fn listing(words: &str) -> Listing {
    let item = |word: &str| {
        let number: String = word.chars().take_while(char::is_ascii_digit).collect();
        let mut shown = ListedInstance::bare(id(&number), WA);
        match word[number.len()..].split_at_checked(1) {
            Some(("=", text)) => {
                shown.kind = InstanceType::from_wire(text);
                text.clone_into(&mut shown.type_text);
            }
            Some(("/", _)) => shown.stopped = Some(true),
            Some(("@", days)) => shown.paid_till = Some(at(1_000 * DAY + days.parse::<i64>().unwrap() * DAY)),
            _ => {}
        }
        shown
    };
    let odd_items = words.matches('#').count();
    Listing { instances: words.split_whitespace().filter(|word| *word != "#").map(item).collect(), odd_items }
}

/// Another environment has 90.
fn found(state: &State, listing: &Listing, declared: Option<&BTreeMap<InstanceName, InstanceType>>) -> String {
    let theirs = Elsewhere { environment: "prod".to_owned(), name: InstanceName::parse("theirs").unwrap() };
    let elsewhere = BTreeMap::from([(id("90"), theirs)]);
    let watch = Watch { now: at(1_000 * DAY), expiring_within: Duration::from_hours(7 * 24), declared, elsewhere: &elsewhere };
    match drift(state, listing, watch) {
        Err(why) => format!("! {why}"),
        Ok(drift) => {
            let shown = drift.findings.iter().map(|finding| {
                let of = finding.name.as_ref().map(|name| format!("{name} ")).unwrap_or_default();
                format!("{of}{} {}", finding.id, finding.deviation.as_str())
            });
            let theirs = drift.elsewhere.iter().map(|(id, at)| format!("{id} is {} of {}", at.name, at.environment));
            let shown = shown.chain(theirs);
            let seen = (drift.seen_before > 0).then(|| format!("{} seen before", drift.seen_before));
            shown.chain(seen).collect::<Vec<_>>().join(", ")
        }
    }
}

#[test]
fn the_drift_table() {
    // The state, the list, what is found, why.
    let rows = [
        ("", "", "", "nothing recorded, nothing listed"),
        ("+1", "1", "", "as it is recorded"),
        ("+1 +2", "1", "n2 2 gone", "one is listed no longer"),
        (
            "+1",
            "",
            "! it shows none of the 1 that are recorded as existing, nor anything else that was there before",
            "an empty list proves nothing",
        ),
        (
            "+1 +2",
            "7",
            "! it shows none of the 2 that are recorded as existing, nor anything else that was there before",
            "nor does another account's",
        ),
        (
            "-2 +1",
            "2",
            "! it shows none of the 1 that are recorded as existing, nor anything else that was there before",
            "what we have deleted shows that the list is old",
        ),
        ("seen:5 +1", "5", "n1 1 gone, 1 seen before", "what was there before shows that it is the same account"),
        ("~3 +1", "3", "n1 1 gone", "so does what was released"),
        (
            "+1 +2",
            "1 #",
            "! 1 of its items cannot be read, and 2 is not among the others",
            "it may be the one that cannot be read",
        ),
        ("+1", "1 #", "", "what is shown is there, whatever else cannot be read"),
        ("~3", "", "", "what was released is watched no longer"),
        ("+1", "1/stopped", "n1 1 stopped", "stopped"),
        ("+1", "1@0", "n1 1 expired", "paid until now"),
        ("+1", "1@-3", "n1 1 expired", "paid until three days ago"),
        ("+1", "1@6", "n1 1 expiring", "less than a week"),
        ("+1", "1@7", "", "a week"),
        ("+1", "1=whatsapp_dev", "n1 1 wrong_type", "another type"),
        ("+1", "1=WhatsApp", "", "the case of a type does not matter"),
        ("+1", "1=Telegram", "n1 1 wrong_type", "a type that we do not know"),
        ("+1", "1=", "", "no type is no other type"),
        ("+1", "1 7", "7 unknown", "a stranger"),
        ("seen:1,7 +1", "1 7", "1 seen before", "one that an apply has seen"),
        ("+1 -2", "1 2", "n2 2 still_listed", "deleted, and listed all the same"),
        ("seen:1 +1 ?x", "1 7", "7 candidate", "a doubt may have made it"),
        ("+1", "1 90", "90 is theirs of prod", "another environment's"),
        ("seen:1,90 +1", "1 90", "90 is theirs of prod", "seen or not"),
        ("seen:1 +1 ?x", "1 90", "90 is theirs of prod", "no doubt of ours has made it"),
        ("+1 -90", "1 90", "n90 90 still_listed", "what was deleted here is told first"),
        ("+1 ?x", "1 7", "7 unknown", "without a list from before nobody knows"),
    ];
    for (words, listed, expected, why) in rows {
        assert_eq!(found(&state(words), &listing(listed), None), expected, "{why}: {words} / {listed}");
    }
}

#[test]
fn a_declared_type_is_what_is_meant() {
    let declared = BTreeMap::from([(name("n1"), InstanceType::WhatsAppDev)]);
    let (state, listed) = (state("+1"), listing("1"));
    assert_eq!(found(&state, &listed, Some(&declared)), "n1 1 wrong_type");
    assert_eq!(found(&state, &listing("1=whatsapp_dev"), Some(&declared)), "");
}

#[test]
fn a_candidate_names_the_doubts_that_it_may_be_of() {
    let state = state("seen:1 +1 ?x seen:1,2 ?y");
    let of = |words: &str| {
        let watch = Watch { now: at(0), expiring_within: Duration::ZERO, declared: None, elsewhere: &BTreeMap::new() };
        let drift = drift(&state, &listing(words), watch).unwrap();
        drift.findings.iter().map(|finding| finding.deviation.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of("1 2"), ["new since an attempt in doubt: may be nx"]);
    assert_eq!(of("1 3"), ["new since an attempt in doubt: may be nx or ny"]);
}

#[test]
fn p1_only_what_is_gone_for_long_enough_is_called_lost_and_only_if_it_is_named() {
    let state = state("+1 +2");
    let absent = BTreeSet::from([id("2")]);
    let lost = |names: &[&str], second| {
        let names: Vec<_> = names.iter().map(|text| name(text)).collect();
        crate::plan::lost(&state, &absent, &names, (at(second), Duration::from_secs(50))).map(|events| events.len())
    };
    assert_eq!(lost(&[], 1_000), Ok(0));
    assert_eq!(lost(&["n1", "unheard-of"], 1_000), Ok(0), "it is listed");
    assert_eq!(lost(&["n2", "n2"], 150), Ok(1));
    assert_eq!(lost(&["n2"], 149).unwrap_err().at, at(150));
}

#[test]
fn what_is_listed_again_is_told_with_who_has_called_it_gone_and_whether_its_name_is_free() {
    let by = |events: Vec<Event>| {
        let mut state = state("+1");
        for event in events {
            state.apply(&Entry { serial: state.serial.next(), at: at(100), event }).unwrap();
        }
        let watch = Watch { now: at(0), expiring_within: Duration::ZERO, declared: None, elsewhere: &BTreeMap::new() };
        let drift = drift(&state, &listing("1 2"), watch).unwrap();
        let again = drift.findings.iter().find(|finding| finding.id == id("2")).unwrap();
        (again.name.as_ref().unwrap().to_string(), again.deviation.clone())
    };
    let gone = || vec![Event::adopted("a", "2"), Event::Gone { name: name("a"), id: id("2"), grounds: String::new() }];
    let listed = |by| ("a".to_owned(), Deviation::StillListed { since: at(100), by });
    assert_eq!(by(gone()), listed(CalledGone::ByLists { is_name_free: true }));
    let replaced = [gone(), vec![Event::adopted("a", "3")]].concat();
    assert_eq!(by(replaced), listed(CalledGone::ByLists { is_name_free: false }));
    let attempt = AttemptId::typed("a-2");
    let retiring = Event::Retiring { attempt: attempt.clone(), name: name("a"), id: id("2"), unprotected: false };
    let begun = vec![Event::adopted("a", "2"), retiring, Event::RetireSent { attempt: attempt.clone() }];
    assert_eq!(by(begun.clone()), ("a".to_owned(), Deviation::Retiring { since: at(100), is_listed: true, is_protected: false }));
    let ended = [begun, vec![Event::Retired { attempt, grounds: String::new() }]].concat();
    assert_eq!(by(ended), listed(CalledGone::ByServer));
}
