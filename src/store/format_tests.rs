//! The bytes of format 3: what an instance's later life leaves in a journal.

use std::fs;
use std::path::Path;

use super::conformance::{AT, fill, hold, lineage, name};
use super::file::JOURNAL;
use super::*;
use crate::instance::InstanceId;
use crate::state::AttemptId;

fn id(text: &str) -> InstanceId {
    InstanceId::parse(text).unwrap()
}

/// Every event that format 3 has and format 2 does not, and what leads there.
fn events() -> Vec<Event> {
    let attempt = |of: &str| AttemptId::typed(&format!("a-{of}"));
    let adopted = |of: &str, text: &str| {
        let (kind, source) = (crate::instance::InstanceType::WhatsApp, "a test".to_owned());
        Event::Adopted { name: name(of), kind, id: id(text), api_url: None, source, is_foreign: false }
    };
    let retiring =
        |of: &str, text: &str| Event::Retiring { attempt: attempt(of), name: name(of), id: id(text), unprotected: false };
    let sent = |of: &str| Event::RetireSent { attempt: attempt(of) };
    let retired = |of: &str| Event::Retired { attempt: attempt(of), grounds: "the server says that it is deleted".to_owned() };
    vec![
        adopted("kept", "10"),
        adopted("gone", "11"),
        adopted("open", "12"),
        adopted("begun", "13"),
        adopted("old", "14"),
        adopted("forgotten", "15"),
        Event::Protection { protected: vec![name("one"), name("two")], unprotected: Vec::new() },
        Event::Protection { protected: Vec::new(), unprotected: vec![name("two")] },
        retiring("kept", "10"),
        sent("kept"),
        Event::Kept { attempt: attempt("kept"), reason: "not yours".to_owned() },
        retiring("gone", "11"),
        sent("gone"),
        retired("gone"),
        retiring("open", "12"),
        sent("open"),
        retiring("begun", "13"),
        Event::Replacing { name: name("old"), to: name("old.14") },
        retiring("forgotten", "15"),
        sent("forgotten"),
        retired("forgotten"),
        Event::Forgotten { name: name("forgotten") },
        adopted("lost", "16"),
        Event::Gone { name: name("lost"), id: id("16"), grounds: "not listed".to_owned() },
    ]
}

#[test]
fn p15_the_bytes_of_format_3_are_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let text = include_str!("../../tests/fixtures/journal-3.jsonl");
    fs::write(dir.path().join(JOURNAL), text).unwrap();
    let store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
    let state = store.state();
    let told: Vec<_> = state
        .records()
        .values()
        .map(|record| {
            let marks = (record.is_protected, state.replacement_of(record).map(|new| new.name.to_string()));
            (record.name.as_str(), record.status(), record.id().map(InstanceId::as_str), marks)
        })
        .collect();
    assert_eq!(
        told,
        [
            ("begun", "retiring", Some("13"), (false, None)),
            ("gone", "retired", Some("11"), (false, None)),
            ("kept", "token_missing", Some("10"), (false, None)),
            ("lost", "retired", Some("16"), (false, None)),
            ("old", "absent", None, (false, None)),
            ("old.14", "token_missing", Some("14"), (false, Some("old".to_owned()))),
            ("one", "created", Some("1"), (true, None)),
            ("open", "retiring", Some("12"), (false, None)),
            ("three", "in_doubt", None, (false, None)),
            ("two", "created", Some("2"), (false, None)),
        ]
    );
    let words: Vec<_> = text.lines().map(|line| serde_json::from_str::<Entry>(line).unwrap().event.word()).collect();
    for word in ["retiring", "retire_sent", "retired", "kept", "protection", "replacing", "forgotten", "gone"] {
        assert!(words.contains(&word), "{word}");
    }
    // Writing it again gives the same bytes.
    for line in text.lines() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let again = serde_json::to_string(&entry).unwrap();
        assert!(line.starts_with(again.strip_suffix('}').unwrap()), "{line}\n{again}");
    }
}

/// The index tells the same as the journal, whatever was the last thing that happened to a record.
#[test]
fn what_format_3_brings_is_in_the_index() {
    let adopted = Event::adopted;
    // Entries that change another record than the one that they name.
    let more = [
        adopted("old", "17"),
        Event::Moved { from: name("old"), to: name("new") },
        Event::Moved { from: name("old.14"), to: name("older") },
        adopted("again", "11"),
    ];
    let all: Vec<Event> = events().into_iter().chain(more).collect();
    for count in 1..=all.len() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = FileStore::begin(dir.path(), hold(dir.path()), lineage(), AT).unwrap();
        fill(&mut store);
        for event in &all[..count - 1] {
            store.append(event.clone(), AT).unwrap();
        }
        Box::new(store).close().unwrap();
        let mut store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
        store.append(all[count - 1].clone(), AT).unwrap();
        let state = store.state().clone();
        Box::new(store).close().unwrap();
        for source in [Source::Index, Source::Journal] {
            let reading = read(dir.path(), None).unwrap();
            assert_eq!((&reading.state, reading.source), (&state, source), "after {:?}", all[count - 1]);
            fs::remove_dir_all(dir.path().join("index")).ok();
        }
    }
}

/// Writes the fixture of format 3. Run by hand, once, when the format is decided.
#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture_of_format_3() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FileStore::begin(dir.path(), hold(dir.path()), lineage(), AT).unwrap();
    fill(&mut store);
    for event in events() {
        store.append(event, AT).unwrap();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::write(fixtures.join("journal-3.jsonl"), fs::read(dir.path().join(JOURNAL)).unwrap()).unwrap();
}
