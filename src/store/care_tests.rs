//! Rotation, export, salvage and verification, with the real files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::conformance::{AT, closed, fill, hold, life, lineage, name};
use super::file::JOURNAL;
use super::*;
use crate::instance::{InstanceId, InstanceType};
use crate::seal::{Identity, Recipients};
use crate::secret::Secret;
use crate::state::{Answer, AttemptId, Hash, KeptAnswer, KeptSecret, Phase, Record, about_answer, about_token};

const TOKEN: &str = "token0123456789a";

fn open(dir: &Path) -> FileStore {
    FileStore::open(dir, hold(dir), None).unwrap()
}

fn bytes(dir: &Path) -> Vec<u8> {
    fs::read(dir.join(JOURNAL)).unwrap()
}

/// Everything that is written below `dir`.
fn everything(dir: &Path) -> String {
    let mut text = String::new();
    for file in fs::read_dir(dir).unwrap().flatten() {
        if file.file_type().unwrap().is_dir() {
            text.push_str(&everything(&file.path()));
        } else {
            text.push_str(&String::from_utf8_lossy(&fs::read(file.path()).unwrap()));
        }
    }
    text
}

#[expect(clippy::unnecessary_wraps, reason = "what a rotation calls")]
fn same(_: &Record, entry: Entry) -> Result<Entry, StoreError> {
    Ok(entry)
}

#[test]
fn p3_a_rotation_keeps_the_state_and_every_secret_that_is_referred_to() {
    let (dir, before, _) = closed();
    let mut store = open(dir.path());
    let kept = store.entries(&referred(&before)).unwrap();
    let old = store.head();
    store.rotate(AT, None, &mut same).unwrap();
    assert_eq!(store.state().records(), before.records());
    assert_eq!(store.state().binding, before.binding);
    assert!(store.head().serial > old.serial);
    assert_eq!(store.entries(&referred(&before)).unwrap(), kept);
    // It goes on, is indexed, and is the same for whoever reads it.
    store.append(life("four", "4").remove(0), AT).unwrap();
    let (state, head) = (store.state().clone(), store.head());
    Box::new(store).close().unwrap();
    for source in [Source::Index, Source::Journal] {
        let reading = read(dir.path(), None).unwrap();
        assert_eq!((&reading.state, reading.head, reading.source), (&state, head, source));
        fs::remove_dir_all(dir.path().join("index")).ok();
    }
    let again = open(dir.path());
    assert_eq!((again.state(), again.head()), (&state, head));
}

#[test]
fn a_rotated_state_rotates_again_and_its_history_has_no_gap() {
    let (dir, ..) = closed();
    let mut store = open(dir.path());
    let mut words: Vec<&str> = Vec::new();
    for round in 0..3 {
        for event in life(&format!("n{round}"), &format!("10{round}")) {
            words.push(event.word());
            store.append(event, AT).unwrap();
        }
        words.push("checkpoint");
        store.rotate(AT, None, &mut same).unwrap();
    }
    let past = history(dir.path()).unwrap();
    assert!(past.gaps.is_empty(), "{:?}", past.gaps);
    let told: Vec<_> = past.entries.iter().map(|entry| entry.event.word()).collect();
    assert!(told.ends_with(&words), "{told:?}");
    assert_eq!(told.first(), Some(&"genesis"));
    assert!(past.entries.is_sorted_by_key(|entry| entry.serial));
    // A changed or missing piece is told, and the rest is shown.
    let newest = fs::read_dir(dir.path().join("history")).unwrap().flatten().map(|file| file.path()).max().unwrap();
    fs::write(&newest, "x").unwrap();
    let past = history(dir.path()).unwrap();
    assert!(past.gaps.first().is_some_and(|gap| gap.contains("was changed")), "{:?}", past.gaps);
    assert_eq!(past.entries.first().map(|entry| entry.event.word()), Some("checkpoint"));
}

#[test]
fn t23_a_rotation_leaves_no_secret_in_the_past_and_every_file_private() {
    let (dir, ..) = closed();
    let mut store = open(dir.path());
    let replaced = KeptSecret::Clear(Secret::new("another-token".into()));
    store.append(Event::TokenSet { name: name("one"), token: replaced, api_url: None }, AT).unwrap();
    store.append(Event::Released { name: name("two") }, AT).unwrap();
    store.rotate(AT, None, &mut same).unwrap();
    Box::new(store).close().unwrap();
    let written = everything(dir.path());
    assert_eq!(written.matches("another-token").count(), 1, "the journal has it once, nothing else does");
    assert_eq!(written.matches(TOKEN).count(), 1, "of `two`; that of `one` was replaced");
    for file in verify(dir.path(), Ok(None)) {
        assert_ne!(file.severity, Severity::Error, "{file:?}");
    }
    let past = dir.path().join("history");
    assert_eq!(fs::metadata(&past).unwrap().permissions().mode() & 0o777, 0o700);
    for file in fs::read_dir(past).unwrap().flatten() {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn p5_a_checkpoint_that_is_not_whole_is_damage() {
    let (dir, ..) = closed();
    let mut store = open(dir.path());
    store.rotate(AT, None, &mut same).unwrap();
    drop(store);
    let whole = bytes(dir.path());
    let lines: Vec<usize> = whole.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
    for end in lines.iter().rev().skip(1) {
        fs::write(dir.path().join(JOURNAL), &whole[..*end]).unwrap();
        fs::remove_dir_all(dir.path().join("index")).ok();
        let error = read(dir.path(), None).unwrap_err();
        assert!(error.is_untrustworthy(), "cut at {end}: {error}");
    }
}

#[test]
fn p5_a_rotated_state_knows_an_older_copy_and_a_foreign_one() {
    let (dir, state, head) = closed();
    let older = bytes(dir.path());
    let lock_before = LockFile::of(&state, head, []);
    let mut store = open(dir.path());
    store.rotate(AT, None, &mut same).unwrap();
    let lock_after = LockFile::of(store.state(), store.head(), []);
    drop(store);
    assert!(read(dir.path(), Some(&lock_before)).is_ok(), "a lock file from before a rotation");
    assert!(read(dir.path(), Some(&lock_after)).is_ok());
    let other = LockFile::of(&state, Head { hash: Hash([9; 32]), ..head }, []);
    assert!(matches!(read(dir.path(), Some(&other)), Err(StoreError::Behind { .. })), "another history at that serial");
    fs::write(dir.path().join(JOURNAL), older).unwrap();
    assert!(matches!(read(dir.path(), Some(&lock_after)), Err(StoreError::Behind { .. })), "the journal from before");
}

#[test]
fn an_export_is_the_state_and_a_changed_one_is_refused() {
    let (dir, before, head) = closed();
    let mut store = open(dir.path());
    let text = serde_json::to_vec_pretty(&Export::new(store.snapshot().unwrap()).unwrap()).unwrap();
    drop(store);
    let snapshot = Export::read(&text).unwrap();
    assert_eq!(snapshot.after(), head);
    let elsewhere = tempfile::tempdir().unwrap();
    let lock = LockFile::of(&before, head, []);
    let mut imported = FileStore::restore(elsewhere.path(), hold(elsewhere.path()), Some(&lock), snapshot, AT).unwrap();
    assert_eq!(imported.state().records(), before.records());
    assert_eq!(imported.state().lineage, before.lineage);
    let one = imported.state().record(&name("one")).and_then(|record| record.instance()?.token.clone()).unwrap();
    assert!(imported.entry(one.entry).is_ok());
    let changed = String::from_utf8(text).unwrap().replace("\"id\": \"1\"", "\"id\": \"7\"");
    assert!(matches!(Export::read(changed.as_bytes()), Err(ExportError::Changed)));
    assert!(matches!(Export::read(b"{\"chatapi_export\":99}"), Err(ExportError::Newer(99))));
    assert!(matches!(Export::read(b"[]"), Err(ExportError::Content(_))));
}

#[test]
fn a_grown_journal_rotates_by_itself_and_stays_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FileStore::begin(dir.path(), hold(dir.path()), lineage(), AT).unwrap();
    let listed: Vec<_> = (0..40_000).map(|id| InstanceId::parse(&id.to_string()).unwrap()).collect();
    let mut longest = 0;
    for _ in 0..40 {
        store.append(Event::Listed { ids: listed.clone() }, AT).unwrap();
        store.tidy(AT);
        longest = longest.max(bytes(dir.path()).len());
    }
    assert!(longest < 9 << 20, "{longest} bytes");
    assert!(dir.path().join("history").exists());
    drop(store);
    assert!(read(dir.path(), None).is_ok());
}

/// The open attempts, by name.
fn open_attempts(state: &State) -> BTreeSet<String> {
    let open = state.records().values().filter(|record| record.open_attempt().is_some());
    open.map(|record| record.name.to_string()).collect()
}

#[test]
fn p5_what_is_left_of_a_damaged_journal_never_has_fewer_open_attempts_than_can_be_read() {
    let (dir, whole_state, head) = closed();
    let lock = LockFile::of(&whole_state, head, []);
    let whole = bytes(dir.path());
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    for (at, line) in lines.iter().enumerate().skip(1) {
        let mut broken: Vec<u8> = lines[..at].concat();
        broken.extend(line.iter().map(|byte| if *byte == b'\n' { b'\n' } else { b'#' }));
        broken.extend(lines[at + 1..].concat());
        fs::write(dir.path().join(JOURNAL), &broken).unwrap();
        assert!(FileStore::open(dir.path(), hold(dir.path()), None).unwrap_err().is_untrustworthy(), "line {at}");
        for (lock, index) in [(None, false), (Some(&lock), false), (None, true)] {
            if !index {
                fs::rename(dir.path().join("index"), dir.path().join("aside")).unwrap();
            }
            let Salvage { snapshot, lost, .. } = salvage(dir.path(), lock, AT, &|_| None).unwrap();
            if !index {
                fs::rename(dir.path().join("aside"), dir.path().join("index")).unwrap();
            }
            // What follows from the broken line does not follow any more.
            assert!(lost >= 1, "line {at}");
            let elsewhere = tempfile::tempdir().unwrap();
            let rebuilt = FileStore::restore(elsewhere.path(), hold(elsewhere.path()), lock, snapshot, AT).unwrap();
            let state = rebuilt.state();
            if lock.is_some() || index {
                for record in whole_state.records().values() {
                    let now = state.record(&record.name).unwrap_or_else(|| panic!("line {at}: {} is gone", record.name));
                    let id = record.id().is_some_and(|id| now.id() == Some(id));
                    assert!(id || now.open_attempt().is_some(), "line {at}: {} could be created again", record.name);
                }
            }
            // Whoever was begun in a line that is still there is not free.
            for name in open_attempts(&whole_state) {
                let intent = format!("\"name\":\"{name}\"");
                if String::from_utf8_lossy(&broken).contains(&intent) {
                    assert!(open_attempts(state).contains(&name), "line {at}: {name} is free");
                }
            }
        }
    }
}

#[test]
fn what_is_left_of_a_damaged_checkpoint_is_read_record_by_record() {
    let (dir, ..) = closed();
    let mut store = open(dir.path());
    store.rotate(AT, None, &mut same).unwrap();
    store.append(life("four", "4").remove(0), AT).unwrap();
    drop(store);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let whole = String::from_utf8(bytes(dir.path())).unwrap();
    let broken = whole.replacen("\"restored\":{\"record\":{\"name\":\"one\"", "\"restored\":{\"record\":{\"name\":\"o\"", 1);
    assert_ne!(whole, broken);
    fs::write(dir.path().join(JOURNAL), broken.replacen("\"name\":\"o\",\"kind\"", "###", 1)).unwrap();
    let Salvage { snapshot, lost, .. } = salvage(dir.path(), None, AT, &|_| None).unwrap();
    let names: Vec<_> = snapshot.records.iter().map(|restored| restored.record.name.to_string()).collect();
    // "one" comes from the history.
    assert_eq!((names, lost), (["four", "one", "three", "two"].map(str::to_owned).to_vec(), 1));
    assert_eq!(snapshot.records[1].record.id(), InstanceId::parse("1").ok().as_ref());
    assert!(matches!(snapshot.records[0].record.phase, Phase::InDoubt(..)), "begun, and damaged afterwards");
}

#[test]
fn p15_the_bytes_of_format_2_are_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(JOURNAL), include_str!("../../tests/fixtures/journal-2.jsonl")).unwrap();
    let mut store = open(dir.path());
    let keys = Identity::read_all(include_str!("../../tests/fixtures/identity-1.txt")).unwrap();
    let state = store.state().clone();
    assert_eq!(state.recipients, Recipients::new([keys[0].recipient().unwrap()]).unwrap());
    let at = |of: &str| state.record(&name(of)).and_then(|record| record.instance()?.token.clone()).unwrap();
    let received = store.entry(at("sealed").entry).unwrap().event;
    let Event::Received { attempt, answer } = received else { panic!("{received:?}") };
    let opened = answer.open(&keys, &about_answer(&state.lineage, &at("sealed").name, &attempt)).unwrap();
    assert_eq!(opened.body, b"{\"raw\":\"\xff\"}");
    let set = store.entry(at("moved").entry).unwrap().event;
    let Event::TokenSet { token, .. } = set else { panic!("{set:?}") };
    assert_eq!(token.open(&keys, &about_token(&state.lineage, &at("moved").name)).unwrap().expose(), TOKEN);
    let phases: Vec<_> = state.records().values().map(|record| (record.name.as_str(), record.status())).collect();
    assert_eq!(
        phases,
        [("one", "created"), ("moved", "created"), ("released", "released"), ("sealed", "created"), ("three", "in_doubt")]
            .into_iter()
            .collect::<std::collections::BTreeMap<_, _>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
    // Writing it again gives the same bytes, as far as nothing is drawn.
    let text = String::from_utf8(bytes(dir.path())).unwrap();
    for line in text.lines() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        let again = serde_json::to_string(&entry).unwrap();
        assert!(line.starts_with(again.strip_suffix('}').unwrap()), "{line}\n{again}");
    }
}

/// Writes the fixture of format 2. Run by hand, once, when the format is decided.
#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture_of_format_2() {
    let dir = tempfile::tempdir().unwrap();
    let identity = Identity::generate().unwrap();
    let to = Recipients::new([identity.recipient().unwrap()]).unwrap();
    let mut store = FileStore::begin(dir.path(), hold(dir.path()), lineage(), AT).unwrap();
    fill(&mut store);
    store.append(Event::Moved { from: name("two"), to: name("moved") }, AT).unwrap();
    store.rotate(AT, None, &mut same).unwrap();
    store.append(Event::Recipients { to: to.clone() }, AT).unwrap();
    let attempt = AttemptId::typed("a-sealed");
    let answer = Answer { status: 200, complete: true, retry_after: None, body: b"{\"raw\":\"\xff\"}".to_vec() };
    let outline = crate::state::Outline::Created { id: InstanceId::parse("5").unwrap(), api_url: None, has_token: true };
    let kept = KeptAnswer::keep(&answer, Some(outline), &to, &about_answer(&lineage(), &name("sealed"), &attempt)).unwrap();
    let kind = InstanceType::WhatsApp;
    let token = KeptSecret::keep(Secret::new(TOKEN.into()), &to, &about_token(&lineage(), &name("moved"))).unwrap();
    for event in [
        Event::Intent { attempt: attempt.clone(), name: name("sealed"), kind, fence: None },
        Event::Sent { attempt: attempt.clone() },
        Event::Received { attempt: attempt.clone(), answer: kept },
    ] {
        store.append(event, AT).unwrap();
    }
    let token_in = Some(store.head().serial);
    for event in [
        Event::Created { attempt, id: InstanceId::parse("5").unwrap(), api_url: None, token_in, token: None },
        Event::TokenSet { name: name("moved"), token, api_url: None },
        Event::Adopted {
            name: name("released"),
            kind,
            id: InstanceId::parse("6").unwrap(),
            api_url: None,
            source: "a test".into(),
            is_foreign: false,
        },
        Event::Released { name: name("released") },
    ] {
        store.append(event, AT).unwrap();
    }
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    fs::write(fixtures.join("journal-2.jsonl"), bytes(dir.path())).unwrap();
    fs::write(fixtures.join("identity-1.txt"), format!("# of the fixtures only\n{}\n", identity.to_secret().expose())).unwrap();
}

#[test]
fn p5_each_witness_and_each_damage_is_told_by_its_line() {
    let (dir, ..) = closed();
    let whole = bytes(dir.path());
    let scan = |bytes: &[u8], head: Option<Head>| {
        let witnesses: Vec<Witness> = head.into_iter().map(|head| Witness { name: "a witness", head, lineage: None }).collect();
        journal::scan(&mut &bytes[..], &witnesses).map(Option::unwrap)
    };
    let mut length = 0;
    for (number, line) in (1..).zip(whole.split_inclusive(|byte| *byte == b'\n')) {
        length += line.len();
        let part = scan(&whole[..length], None).unwrap();
        assert_eq!((part.vouched, part.length), (0, length as u64), "line {number}");
        assert_eq!(scan(&whole, Some(part.head)).unwrap().vouched, length as u64, "line {number}");
        let other = Head { hash: Hash::ZERO, ..part.head };
        assert!(matches!(scan(&whole, Some(other)), Err(StoreError::Behind { .. })), "line {number}");
        let mut broken = whole.clone();
        broken[length - 10] ^= 1;
        assert!(matches!(scan(&broken, None), Err(StoreError::Damaged { line, .. }) if line == number), "line {number}");
    }
    let mut store = open(dir.path());
    let before = store.head();
    store.rotate(AT, None, &mut same).unwrap();
    drop(store);
    let whole = bytes(dir.path());
    assert!(scan(&whole, Some(before)).unwrap().vouched > 0, "a checkpoint vouches for itself");
    let other = Head { hash: Hash::ZERO, ..before };
    assert!(matches!(scan(&whole, Some(other)), Err(StoreError::Behind { .. })), "the checkpoint goes on from another entry");
}

#[test]
fn p5_a_journal_begins_where_it_says_that_it_begins() {
    let scanned = |entry: &Entry| {
        let (line, _) = journal::encode(entry, Hash::ZERO).unwrap();
        journal::scan(&mut &line[..], &[]).map(|scan| scan.unwrap().head.serial)
    };
    let (dir, ..) = closed();
    let mut store = open(dir.path());
    let genesis = store.entry(Serial(1)).unwrap();
    let mut checkpoint = store.snapshot().unwrap().checkpoint;
    checkpoint.entries = 0;
    let next = checkpoint.after.serial.next();
    let begins = |serial, event: &Event| scanned(&Entry { serial, at: AT, event: event.clone() });
    let checkpoint = Event::Checkpoint(checkpoint);
    assert_eq!(begins(Serial(1), &genesis.event).unwrap(), Serial(1));
    assert_eq!(begins(next, &checkpoint).unwrap(), next);
    for (serial, event) in [(Serial(2), &genesis.event), (next.next(), &checkpoint), (Serial(1), &checkpoint)] {
        assert!(matches!(begins(serial, event), Err(StoreError::Damaged { line: 1, .. })), "{serial}");
    }
}
