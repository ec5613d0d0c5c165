use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;
use crate::instance::InstanceId;
use crate::state::{Answer, Record};
use crate::store::StateStore as _;
use crate::store::conformance::{AT, hold, lineage, name};

/// `id` as an answer of the server; `no`: it refuses.
fn answered(of: &str, id: &str) -> Event {
    let answer = Answer { status: 200, complete: true, retry_after: None, body: id.as_bytes().to_vec() };
    Event::Received { attempt: AttemptId::typed(of), answer: answer.into() }
}

fn outline(answer: &KeptAnswer) -> Option<Outline> {
    let text = String::from_utf8(answer.clear()?.body).ok()?;
    let refused = || Outline::Refused { reason: "no".to_owned(), for_all: false };
    let id = InstanceId::parse(&text).ok().filter(|_| text != "no");
    Some(id.map_or_else(refused, |id| Outline::Created { id, api_url: None, has_token: true }))
}

/// An attempt under `of`, and what comes of it; its answer is in the entry `answer_at`.
fn attempt(of: &str, number: u32, end: &str, answer_at: u64) -> Vec<Event> {
    let id = format!("a-{of}-{number}");
    let attempt = AttemptId::typed(&id);
    let concluded = match InstanceId::parse(end).ok().filter(|_| end != "no") {
        Some(id) => {
            Event::Created { attempt: attempt.clone(), id, api_url: None, token_in: Some(Serial(answer_at)), token: None }
        }
        None => Event::Refused { attempt: attempt.clone(), reason: "no".to_owned() },
    };
    let (kind, fence) = (InstanceType::WhatsApp, None);
    vec![
        Event::Intent { attempt: attempt.clone(), name: name(of), kind, fence },
        Event::Sent { attempt },
        answered(&id, end),
        concluded,
    ]
}

/// What can befall names, each with what it has in the end.
fn story() -> (Vec<Event>, Vec<(&'static str, &'static str)>) {
    let mut events = Vec::new();
    let tried = |events: &mut Vec<Event>, of: &str, number, end: &str| {
        // Behind the genesis, and the two entries before the answer.
        let answer_at = events.len() as u64 + 4;
        events.extend(attempt(of, number, end, answer_at));
    };
    let moved = |from: &str, to: &str| Event::Moved { from: name(from), to: name(to) };
    let replacing = |of: &str, to: &str| Event::Replacing { name: name(of), to: name(to) };
    tried(&mut events, "again", 1, "no");
    tried(&mut events, "again", 2, "1");
    tried(&mut events, "web", 1, "2");
    events.push(replacing("web", "web.2"));
    tried(&mut events, "web", 2, "3");
    events.push(replacing("web", "web.3"));
    tried(&mut events, "web", 3, "4");
    tried(&mut events, "left", 1, "5");
    events.push(moved("left", "moved"));
    tried(&mut events, "left", 2, "6");
    events.push(Event::Protection { protected: vec![name("left")], unprotected: vec![] });
    tried(&mut events, "free", 1, "7");
    events.push(Event::Released { name: name("free") });
    tried(&mut events, "other", 1, "8");
    let all = [
        ("again", "1"),
        ("web.2", "2"),
        ("web.3", "3"),
        ("web", "4"),
        ("moved", "5"),
        ("left", "6"),
        ("free", "7"),
        ("other", "8"),
    ];
    (events, all.to_vec())
}

fn written(dir: &Path) -> Vec<Vec<u8>> {
    let mut store = FileStore::begin(dir, hold(dir), lineage(), AT).unwrap();
    for event in story().0 {
        store.append(event, AT).unwrap();
    }
    store.sync().unwrap();
    for (name, id) in story().1 {
        let record = store.state().record(&crate::instance::InstanceName::parse(name).unwrap());
        assert_eq!(record.and_then(Record::id).map(InstanceId::as_str), Some(id), "{name}");
    }
    drop(store);
    fs::remove_dir_all(dir.join(sled::DIR)).ok();
    let bytes = fs::read(dir.join(JOURNAL)).unwrap();
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

/// Whatever stands in a line that is left, behind one that is left too, is not lost: no token, and no name becomes free.
#[test]
fn p3_a_hole_in_the_journal_costs_no_token_that_stands_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let lines = written(dir.path());
    let received = |line: &[u8]| {
        let loose: Loose = serde_json::from_slice(line).unwrap();
        match &loose.event {
            Event::Received { answer, .. } => answer.clear().and_then(|answer| String::from_utf8(answer.body).ok()),
            _ => None,
        }
    };
    let (mut holes, mut kept_before) = (0, 0);
    for from in 1..lines.len() {
        for upto in from + 1..=(from + 6).min(lines.len()) {
            let rest = |at: usize| !(from..upto).contains(&at);
            let broken: Vec<u8> =
                lines.iter().enumerate().flat_map(|(at, line)| if rest(at) { line.clone() } else { b"#\n".to_vec() }).collect();
            fs::write(dir.path().join(JOURNAL), broken).unwrap();
            let salvaged = salvage(dir.path(), None, AT, &outline).unwrap();
            let kept: BTreeSet<String> = (salvaged.snapshot.records.iter())
                .flat_map(|restored| &restored.kept)
                .filter_map(|entry| match &entry.event {
                    Event::Received { answer, .. } => String::from_utf8(answer.clear()?.body).ok(),
                    _ => None,
                })
                .collect();
            let ids: BTreeSet<_> = (salvaged.snapshot.records.iter()).filter_map(|restored| restored.record.id()).collect();
            for (at, line) in lines.iter().enumerate().filter(|(at, _)| rest(*at) && rest(*at - usize::from(*at > 0))) {
                let Some(id) = received(line).filter(|id| id != "no") else { continue };
                assert!(kept.contains(&id), "{from}..{upto}: the token of {id} is lost");
                assert!(ids.contains(&InstanceId::parse(&id).unwrap()), "{from}..{upto}: {id} is lost");
                kept_before += usize::from(at < from);
            }
            holes += 1;
        }
    }
    assert!(holes > 200 && kept_before > 0);
}
