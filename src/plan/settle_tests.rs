//! What a manifest settles, as a table, and what no manifest may bring about.

use std::collections::BTreeMap;

use super::{Action, Plan, Settled, settle};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::manifest::{Manifest, Source};
use crate::state::{Answer, AttemptId, Entry, Event, Lineage, Serial, State};

fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

/// A state from words: `name=phase`, and for what exists the id behind a colon.
fn state(words: &str) -> State {
    let mut state = State::new(Lineage::from_bytes([1; 16]), Serial(1), crate::state::FORMAT);
    let mut add = |event| {
        let entry = Entry { serial: state.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event };
        state.apply(&entry).unwrap();
    };
    for word in words.split_whitespace() {
        let (of, phase) = word.split_once('=').unwrap();
        let (phase, of_id) = phase.split_once(':').unwrap_or((phase, "0"));
        let (of, kind, api_url, attempt) = (name(of), InstanceType::WhatsApp, None, AttemptId::typed(&format!("a-{of}")));
        if let "created" | "released" | "retiring" | "retired" | "replaced" = phase {
            add(Event::Adopted { name: of.clone(), kind, id: id(of_id), api_url, source: "test".into(), is_foreign: false });
        } else {
            add(Event::Intent { attempt: attempt.clone(), name: of.clone(), kind, fence: None });
        }
        let answer = Answer { status: 200, complete: true, retry_after: None, body: vec![] };
        let steps: &[Event] = match phase {
            "released" => &[Event::Released { name: of }],
            "replaced" => &[Event::Replacing { to: name(&format!("{of}.{of_id}")), name: of }],
            "retiring" => &[Event::Retiring { attempt, name: of, id: id(of_id), unprotected: false }],
            "retired" => &[
                Event::Retiring { attempt: attempt.clone(), name: of, id: id(of_id), unprotected: false },
                Event::RetireSent { attempt: attempt.clone() },
                Event::Retired { attempt, grounds: "test".into() },
            ],
            "absent" => &[Event::Unsent { attempt, reason: "test".into() }],
            "doubt" => &[Event::Sent { attempt }],
            "received" => &[Event::Sent { attempt: attempt.clone() }, Event::Received { attempt, answer: answer.into() }],
            _ => &[],
        };
        steps.iter().cloned().for_each(&mut add);
    }
    state
}

/// Declares `names`, and says `sections` besides.
fn manifest(names: &[&str], sections: &str) -> Manifest {
    let instances: Vec<String> = names.iter().map(|name| format!("{{name: {name}, type: whatsapp}}")).collect();
    let text = format!("instances: [{}]\n{sections}\n", instances.join(", "));
    Manifest::parse(&[Source::new("m.yaml", text.clone())]).unwrap_or_else(|problems| panic!("{text}{problems:?}"))
}

fn declared(manifest: &Manifest) -> BTreeMap<InstanceName, InstanceType> {
    manifest.declarations().iter().map(|declaration| (declaration.name.clone(), declaration.kind)).collect()
}

/// What is done, what is spent, what is wrong; and the plan afterwards.
fn told(outcome: Result<Settled, Diagnostics>, declared: &BTreeMap<InstanceName, InstanceType>) -> String {
    match outcome {
        Ok(settled) => {
            let spent = settled.spent.iter().map(|(place, why)| format!("spent at {place}: {why}"));
            let Plan { settlements, changes } = settled.plan(declared);
            let all = settlements.iter().chain(&changes);
            let all = all.map(|change| format!("{} {}: {}", change.name, change.action.as_str(), change.reason));
            spent.chain(all).collect::<Vec<_>>().join("; ")
        }
        Err(problems) => {
            let place = |problem: &Diagnostic| problem.span().map_or(String::new(), |span| format!("{}", span.start.column));
            let told = problems.iter().map(|problem| format!("wrong at {}: {}", place(problem), problem.summary()));
            told.collect::<Vec<_>>().join("; ")
        }
    }
}

/// Declared, said, recorded, what comes of it, why.
type Row = (&'static [&'static str], &'static str, &'static str, &'static str, &'static str);

const IMPORT: &str = "import: [{name: a, id: \"7\", type: whatsapp}]";
const MOVED: &str = "moved: [{from: old, to: a}]";
const CREATED: &str = "resolutions: [{name: a, attempt: a-a, created: \"7\"}]";
const NOTHING: &str = "resolutions: [{name: a, attempt: a-a, not-created: true}]";

const ROWS: &[Row] = &[
    (&["a"], IMPORT, "", "a import: taken in as 7; a no-op: exists as 7, token missing", "taken in, not created"),
    (&["a"], IMPORT, "a=created:7", "spent at m.yaml:2:17: `a` is 7 already; a no-op: exists as 7, token missing", "once"),
    (&["a"], IMPORT, "a=absent", "a import: taken in as 7; a no-op: exists as 7, token missing", "nothing exists"),
    (
        &["a"],
        IMPORT,
        "a=retired:7",
        "spent at m.yaml:2:17: `a` was 7, which is recorded as deleted; a create: deleted as 7 at 1970-01-01T00:00:00Z",
        "carried out once",
    ),
    (&["a"], IMPORT, "a=retired:6", "a import: taken in as 7; a no-op: exists as 7, token missing", "another one"),
    (&["a"], IMPORT, "a=created:6", "wrong at 17: `a` is 6 already, another one than 7", "a name has one instance"),
    (&["a"], IMPORT, "b=created:7", "wrong at 17: the id 7 belongs to `b`", "an instance has one name"),
    (
        &["a"],
        IMPORT,
        "a=released:7",
        "wrong at 17: 7 was released as `a`: its record is kept, and its token",
        "its token is known",
    ),
    (&["a"], IMPORT, "b=released:7", "wrong at 17: 7 was released as `b`: its record is kept, and its token", "under any name"),
    (&["a"], IMPORT, "b=retired:7", "wrong at 17: 7 was `b`, and is recorded as deleted", "under any name"),
    (
        &["a"],
        IMPORT,
        "a=replaced:7 a=created:8",
        "spent at m.yaml:2:17: `a` was 7, which was replaced and is `a.7`; a no-op: exists as 8, token missing; \
         a.7 orphan: exists as 7, token missing",
        "carried out once, and replaced since",
    ),
    (
        &["a"],
        IMPORT,
        "a=replaced:7",
        "spent at m.yaml:2:17: `a` was 7, which was replaced and is `a.7`; \
         a create: replaces 7, which is a.7 already: begun and not finished; a.7 orphan: exists as 7, token missing",
        "a run that died in between",
    ),
    (&["a"], IMPORT, "a=retiring:7", "wrong at 17: `a` is 7, and is being deleted", "it may be gone"),
    (
        &["a"],
        IMPORT,
        "a=doubt",
        "wrong at 17: `a` is in doubt: attempt a-a may have created an instance",
        "P1: the doubt would be lost",
    ),
    (&["a"], IMPORT, "a=intent", "wrong at 17: `a` has an open attempt, a-a", "it is concluded first"),
    (&["a"], IMPORT, "a=received", "wrong at 17: `a` has an open attempt, a-a", "its token must not be lost"),
    (
        &["a"],
        MOVED,
        "old=created:7",
        "a move: called old until now; exists as 7; a no-op: exists as 7, token missing",
        "no create",
    ),
    (&["a"], MOVED, "a=created:7", "spent at m.yaml:2:16: `old` is `a` already; a no-op: exists as 7, token missing", "once"),
    (&["a"], MOVED, "olds=created:7", "wrong at 16: no instance is recorded under `old`", "a mistyped name would pay twice"),
    (&["a"], MOVED, "", "spent at m.yaml:2:16: no instance is recorded under `old`; a create: not created yet", "a fresh state"),
    (
        &["a"],
        MOVED,
        "old=absent",
        "spent at m.yaml:2:16: no instance is recorded under `old`; a create: not created yet",
        "it never was",
    ),
    (
        &["a"],
        MOVED,
        "old=created:7 a=absent",
        "a move: called old until now; exists as 7; a no-op: exists as 7, token missing",
        "a is free",
    ),
    (
        &["a"],
        MOVED,
        "old=created:7 a=created:8",
        "wrong at 16: `old` is recorded, and `a` too: that is token_missing",
        "two instances",
    ),
    (
        &["a"],
        MOVED,
        "old=created:7 a=doubt",
        "wrong at 16: `a` has an open attempt: whether it has an instance is not known",
        "P1: the doubt would be lost",
    ),
    (
        &["a"],
        MOVED,
        "old=doubt",
        "wrong at 16: `old` has an open attempt: whether it has an instance is not known",
        "no id to move",
    ),
    (&["a"], MOVED, "old=released:7", "wrong at 16: `old` was released and is not managed", "it is nobody's"),
    (&["a"], MOVED, "old=retiring:7", "wrong at 16: `old` is being deleted", "it may be gone"),
    (&["a"], CREATED, "a=doubt", "a settle: attempt a-a created 7; a no-op: exists as 7, token missing", "settled"),
    (
        &["a"],
        NOTHING,
        "a=doubt",
        "a settle: attempt a-a created nothing; a create: tried once: resolved as not created",
        "tried again",
    ),
    (
        &["a"],
        CREATED,
        "b=retired:7 a=doubt",
        "wrong at 22: attempt a-a of `a` cannot have created 7, which was `b` and is recorded as deleted",
        "an id is given once",
    ),
    (&[], CREATED, "a=doubt", "a settle: attempt a-a created 7; a orphan: exists as 7, token missing", "declared or not"),
    (
        &["a"],
        CREATED,
        "a=created:7",
        "spent at m.yaml:2:22: attempt a-a of `a` was settled before; a no-op: exists as 7, token missing",
        "once",
    ),
    (
        &["a"],
        NOTHING,
        "a=created:7",
        "spent at m.yaml:2:22: attempt a-a of `a` was settled before; a no-op: exists as 7, token missing",
        "P1: what exists stays",
    ),
    (&["a"], NOTHING, "", "spent at m.yaml:2:22: nothing is recorded under `a`; a create: not created yet", "another state"),
    (
        &["a"],
        "resolutions: [{name: a, attempt: a-other, not-created: true}]",
        "a=doubt",
        "wrong at 22: the open attempt of `a` is a-a, another one than a-other",
        "P1: it says nothing of this attempt",
    ),
    (
        &["a"],
        CREATED,
        "a=doubt b=created:7",
        "wrong at 22: attempt a-a of `a` cannot have created 7, which belongs to `b`",
        "one name",
    ),
    (
        &["a"],
        NOTHING,
        "a=received",
        "spent at m.yaml:2:22: attempt a-a of `a` is not in doubt: an apply concludes it; a finish: the answer to attempt a-a is recorded",
        "P3: its token is recorded",
    ),
    (
        &["a"],
        "resolutions: [{name: old, attempt: a-old, created: \"7\"}]\nmoved: [{from: old, to: a}]",
        "old=doubt",
        "old settle: attempt a-old created 7; a move: called old until now; exists as 7; a no-op: exists as 7, token missing",
        "a doubt is settled, and its name moves",
    ),
    (
        &["a"],
        "moved: [{from: old, to: a}, {from: older, to: a}]",
        "old=created:7",
        "spent at m.yaml:2:36: `older` is `a` already; a move: called old until now; exists as 7; a no-op: exists as 7, token missing",
        "states at two names",
    ),
];

#[test]
fn the_table_of_what_is_settled() {
    for (names, sections, records, expected, why) in ROWS {
        let manifest = manifest(names, sections);
        assert_eq!(told(settle(&manifest, &state(records)), &declared(&manifest)), *expected, "{why}");
    }
}

#[test]
fn what_was_settled_is_spent() {
    for (names, sections, records, _, why) in ROWS {
        let manifest = manifest(names, sections);
        let Ok(settled) = settle(&manifest, &state(records)) else { continue };
        let again = settle(&manifest, &settled.state).unwrap_or_else(|problems| panic!("{why}: {problems:?}"));
        assert!(again.steps.is_empty(), "{why}");
        assert_eq!(again.state.records(), settled.state.records(), "{why}");
        let all = again.spent.len();
        assert_eq!(all, settled.steps.len() + settled.spent.len(), "{why}: each is remarked");
    }
}

/// A run may die after any of its steps: what is left to do is the rest, and it ends in the same state.
#[test]
fn any_beginning_of_what_is_settled_can_be_gone_on_from() {
    let sections = "import: [{name: c, id: \"9\", type: whatsapp}]\nmoved: [{from: old, to: a}, {from: d, to: b}]\n\
                    resolutions: [{name: d, attempt: a-d, created: \"8\"}, {name: e, attempt: a-e, not-created: true}]";
    let (manifest, before) = (manifest(&["a", "b", "c", "e"], sections), state("old=created:7 d=doubt e=doubt"));
    let whole = settle(&manifest, &before).unwrap();
    assert_eq!(whole.steps.len(), 5);
    for done in 0..=whole.steps.len() {
        let mut reached = before.clone();
        for (settlement, _) in &whole.steps[..done] {
            let event = settlement.event(super::Evidence::default());
            reached.apply(&Entry { serial: reached.serial.next(), at: jiff::Timestamp::UNIX_EPOCH, event }).unwrap();
        }
        let rest = settle(&manifest, &reached).unwrap_or_else(|problems| panic!("{done}: {problems:?}"));
        assert_eq!(rest.steps, whole.steps[done..], "{done}");
        assert_eq!((rest.spent.len(), rest.state.records()), (done, whole.state.records()), "{done}");
    }
}

/// What a plan shows of a name is one row; where more than the settlement is to be said, two.
#[test]
fn rows_are_what_is_settled_and_what_is_left_to_do() {
    let rows = |names: &[&str], sections: &str, records: &str| {
        let manifest = manifest(names, sections);
        let plan = settle(&manifest, &state(records)).unwrap().plan(&declared(&manifest));
        let summary = plan.summary();
        let rows: Vec<_> = plan.rows().map(|change| format!("{} {}", change.name, change.action.as_str())).collect();
        (rows.join(", "), (summary.import, summary.moves, summary.settle, summary.token_missing, summary.unchanged))
    };
    assert_eq!(rows(&["a"], IMPORT, ""), ("a import".to_owned(), (1, 0, 0, 0, 0)));
    assert_eq!(rows(&["a"], CREATED, "a=doubt"), ("a settle".to_owned(), (0, 0, 1, 0, 0)));
    assert_eq!(rows(&["a"], NOTHING, "a=doubt"), ("a settle, a create".to_owned(), (0, 0, 1, 0, 0)));
    assert_eq!(rows(&["a"], MOVED, "old=created:7"), ("a move, a no-op".to_owned(), (0, 1, 0, 1, 1)));
}

#[test]
fn the_checksum_is_of_what_is_settled_too() {
    let sum = |sections: &str| {
        let manifest = manifest(&["a", "b"], sections);
        settle(&manifest, &state("old=created:6")).unwrap().plan(&declared(&manifest)).checksum(None, "chatapi").unwrap()
    };
    let one = sum("moved: [{from: old, to: a}]");
    assert_eq!(one, sum("moved: [{from: old, to: a}]"));
    for other in ["moved: [{from: old, to: b}]", "", "import: [{name: a, id: \"7\", type: whatsapp}]"] {
        assert_ne!(one, sum(other), "{other}");
    }
}

/// Some of four names in some phase each, as words for [`state`].
fn drawn_records(rng: &mut fastrand::Rng) -> String {
    const PHASES: [&str; 9] = ["", "", "created", "created", "released", "retired", "absent", "doubt", "intent"];
    let mut word = |(index, name): (usize, &str)| match PHASES[rng.usize(0..PHASES.len())] {
        "" => String::new(),
        phase => format!("{name}={phase}:{}", index + 1),
    };
    NAMES.into_iter().enumerate().map(&mut word).collect::<Vec<_>>().join(" ")
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

/// Declares some of the names, and settles one to three things.
fn drawn_manifest(rng: &mut fastrand::Rng) -> String {
    let declared = NAMES.into_iter().filter(|_| rng.bool()).map(|name| format!("{{name: {name}, type: whatsapp}}"));
    let instances = declared.collect::<Vec<_>>().join(", ");
    let mut sections: [Vec<String>; 3] = Default::default();
    for _ in 0..rng.usize(1..=3) {
        let (one, other, number) = (NAMES[rng.usize(0..4)], NAMES[rng.usize(0..4)], rng.usize(1..=6));
        let which = rng.usize(0..3);
        sections[which].push(match which {
            0 => format!("{{name: {one}, id: \"{number}\", type: whatsapp}}"),
            1 => format!("{{from: {one}, to: {other}}}"),
            _ if rng.bool() => format!("{{name: {one}, attempt: a-{one}, not-created: true}}"),
            _ => format!("{{name: {one}, attempt: a-{one}, created: \"{number}\"}}"),
        });
    }
    let [imports, moves, resolutions] = sections.map(|entries| entries.join(", "));
    format!("instances: [{instances}]\nimport: [{imports}]\nmoved: [{moves}]\nresolutions: [{resolutions}]\n")
}

/// No name with an instance is created, none in doubt but where that is said to have come to nothing, and no id is lost.
fn check(manifest: &Manifest, before: &State, settled: &Settled, told: &str) {
    for change in settled.plan(&declared(manifest)).with(Action::Create) {
        let exists = |state: &State| state.record(&change.name).is_some_and(|record| record.instance().is_some());
        assert!(!exists(before) && !exists(&settled.state), "{told}: {change:?}");
        let is_doubt = before.record(&change.name).is_some_and(|record| record.status() == "in_doubt");
        let mut said = manifest.settlements.resolutions.iter();
        assert!(!is_doubt || said.any(|it| it.name == change.name && it.created.is_none()), "{told}: {change:?}");
    }
    for instance in before.records().values().filter_map(|record| record.instance()) {
        let owner = settled.state.known_ids().get(&instance.id).and_then(|owner| settled.state.record(owner));
        let now = owner.and_then(|record| record.instance());
        assert_eq!(now.map(|now| &now.id), Some(&instance.id), "{told}");
    }
}

/// P1: whatever is recorded and whatever is said.
#[test]
fn p1_settling_never_leads_to_a_create_of_what_exists() {
    let mut rng = fastrand::Rng::with_seed(0x005e_771e);
    let (mut done, mut refused) = (0, 0);
    for _ in 0..8_000 {
        let (records, text) = (drawn_records(&mut rng), drawn_manifest(&mut rng));
        let Ok(manifest) = Manifest::parse(&[Source::new("m.yaml", text.clone())]) else { continue };
        let before = state(&records);
        match settle(&manifest, &before) {
            Ok(settled) => {
                done += usize::from(!settled.steps.is_empty());
                check(&manifest, &before, &settled, &format!("{records}\n{text}"));
            }
            Err(_) => refused += 1,
        }
    }
    assert!(done > 100 && refused > 100, "{done} {refused}");
}

/// What a replacement in doubt has come to, and that its old instance has its name again, are said in one review.
#[test]
fn a_replacement_that_created_nothing_is_settled_and_taken_back_at_once() {
    let aside = Event::Replacing { name: name("a"), to: name("a.7") };
    let attempt = AttemptId::typed("a-a");
    let intent = Event::Intent { attempt: attempt.clone(), name: name("a"), kind: InstanceType::WhatsApp, fence: None };
    let at = jiff::Timestamp::UNIX_EPOCH;
    let doubtful = crate::plan::with_events(&state("a=created:7"), &[aside, intent, Event::Sent { attempt }], at).unwrap();
    for (sections, expected) in [
        (
            NOTHING.to_owned(),
            "a settle: attempt a-a created nothing; \
          a create: replaces 7, which is a.7 already: begun and not finished; a.7 orphan: exists as 7, token missing",
        ),
        (
            format!("{NOTHING}\nmoved: [{{from: a.7, to: a}}]"),
            "a settle: attempt a-a created nothing; \
          a move: called a.7 until now; exists as 7; a no-op: exists as 7, token missing",
        ),
    ] {
        let manifest = manifest(&["a"], &sections);
        assert_eq!(told(settle(&manifest, &doubtful), &declared(&manifest)), expected);
    }
    // Moved on under a new name, it would be created there.
    let manifest = manifest(&["b"], &format!("{NOTHING}\nmoved: [{{from: a, to: b}}]"));
    assert_eq!(told(settle(&manifest, &doubtful), &declared(&manifest)), "wrong at 16: `a` is half replaced and has no instance");
}
