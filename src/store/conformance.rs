//! One suite for every store, and the tests that only a store on disk can pass.

use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::fault::{DiskControl, FaultMedium};
use super::file::JOURNAL;
use super::*;
use crate::instance::{ApiUrl, InstanceId, InstanceName, InstanceType};
use crate::secret::Secret;
use crate::state::{Answer, AttemptId, Binding, FORMAT, KeptSecret, Lineage, Origin, Phase, Who};

pub(super) const AT: Timestamp = Timestamp::UNIX_EPOCH;

pub(super) fn lineage() -> Lineage {
    Lineage::from_bytes([7; 16])
}

pub(super) fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

fn holder() -> Holder {
    Holder { pid: 1, verb: "test".into(), since: AT, who: Who::default() }
}

pub(super) fn hold(dir: &Path) -> Hold {
    Hold::acquire(dir, &holder(), Duration::ZERO, &mut |_| {}).unwrap()
}

/// The whole life of one create.
pub(super) fn life(of: &str, id: &str) -> Vec<Event> {
    let attempt = AttemptId::typed(&format!("a-{of}"));
    let answer = Answer { status: 200, complete: true, retry_after: None, body: b"{\"raw\":\"\xff\"}".to_vec() };
    vec![
        Event::Intent { attempt: attempt.clone(), name: name(of), kind: InstanceType::WhatsApp, fence: None },
        Event::Sent { attempt: attempt.clone() },
        Event::Received { attempt: attempt.clone(), answer: answer.into() },
        Event::Created {
            attempt,
            id: InstanceId::parse(id).unwrap(),
            api_url: ApiUrl::parse("https://eu1.example/instance1/").ok(),
            token_in: None,
            token: Some(KeptSecret::Clear(Secret::new("token0123456789a".into()))),
        },
    ]
}

pub(super) fn fill(store: &mut dyn StateStore) {
    store
        .append(Event::Bound(Binding { origin: Origin("https://a.example:443".into()), key: None, environment: None }), AT)
        .unwrap();
    for event in life("one", "1").into_iter().chain(life("two", "2")).chain(life("three", "3").into_iter().take(2)) {
        store.append(event, AT).unwrap();
    }
    store.sync().unwrap();
}

fn conforms(store: &mut dyn StateStore) {
    assert_eq!((store.state().serial, store.head().serial), (Serial(1), Serial(1)));
    let before = store.head();
    fill(store);
    assert_ne!(store.head().hash, before.hash);
    assert_eq!(store.state().serial, store.head().serial);
    assert_eq!(store.state().doubts().count(), 1);
    // Every entry is read back as it was written, secrets included.
    let Event::Created { token: Some(token), .. } = store.entry(Serial(6)).unwrap().event else { panic!("not created") };
    assert!(matches!(token, KeptSecret::Clear(token) if token.expose() == "token0123456789a"));
    let Event::Received { answer, .. } = store.entry(Serial(5)).unwrap().event else { panic!("not received") };
    assert_eq!(answer.clear().unwrap().body, b"{\"raw\":\"\xff\"}");
    assert!(matches!(store.entry(Serial(99)), Err(StoreError::NoEntry(Serial(99)))));
    // P1: an illegal step changes nothing.
    let (state, head) = (store.state().clone(), store.head());
    let again = life("three", "3").remove(0);
    assert!(matches!(store.append(again, AT), Err(StoreError::Refused(_))));
    assert_eq!((store.state(), store.head()), (&state, head));
    store.append(life("four", "4").remove(0), AT).unwrap();
}

#[test]
fn the_memory_store_conforms() {
    conforms(&mut MemoryStore::begin(lineage(), AT).unwrap());
}

#[test]
fn the_file_store_conforms_and_survives_its_process() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FileStore::begin(dir.path(), hold(dir.path()), lineage(), AT).unwrap();
    conforms(&mut store);
    let (state, head) = (store.state().clone(), store.head());
    drop(store);
    let store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
    assert_eq!((store.state(), store.head()), (&state, head));
}

/// A filled and closed state directory.
pub(super) fn closed() -> (tempfile::TempDir, State, Head) {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FileStore::begin(dir.path(), hold(dir.path()), lineage(), AT).unwrap();
    fill(&mut store);
    let (state, head) = (store.state().clone(), store.head());
    Box::new(store).close().unwrap();
    (dir, state, head)
}

fn bytes_of(dir: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap().flatten() {
        if entry.path().is_dir() {
            files.extend(bytes_of(&entry.path()));
        } else {
            files.push((entry.path(), fs::read(entry.path()).unwrap()));
        }
    }
    files.sort();
    files
}

#[test]
fn p12_index_and_journal_give_the_same_state_and_looking_writes_nothing() {
    let (dir, state, head) = closed();
    let before = bytes_of(dir.path());
    for _ in 0..3 {
        let reading = read(dir.path(), None).unwrap();
        assert_eq!((&reading.state, reading.head, reading.source), (&state, head, Source::Index));
    }
    assert_eq!(bytes_of(dir.path()), before, "reading changed a file");
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let reading = read(dir.path(), None).unwrap();
    assert_eq!((&reading.state, reading.head, reading.source), (&state, head, Source::Journal));
    assert!(!dir.path().join("index").exists(), "reading made an index");
}

#[test]
fn p12_a_writer_does_not_keep_a_reader_out() {
    let (dir, ..) = closed();
    let mut store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
    store.append(life("four", "4").remove(0), AT).unwrap();
    let reading = read(dir.path(), None).unwrap();
    assert_eq!((&reading.state, reading.source), (store.state(), Source::Journal));
}

#[test]
fn the_index_follows_change_by_change() {
    let (dir, ..) = closed();
    let mut store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
    for event in life("four", "4") {
        store.append(event, AT).unwrap();
    }
    store.append(Event::Moved { from: name("one"), to: name("uno") }, AT).unwrap();
    store.append(Event::Noted { orphaned: vec![name("two")], returned: vec![] }, AT).unwrap();
    store
        .append(Event::TokenSet { name: name("two"), token: KeptSecret::Clear(Secret::new("t".into())), api_url: None }, AT)
        .unwrap();
    store.append(Event::Unsent { attempt: AttemptId::typed("a-three"), reason: "why".into() }, AT).unwrap();
    let state = store.state().clone();
    Box::new(store).close().unwrap();
    let reading = read(dir.path(), None).unwrap();
    assert_eq!((&reading.state, reading.source), (&state, Source::Index));
}

/// What is done to an index.
type Damage = (&'static str, fn(&Path));

#[test]
fn the_index_is_rebuilt_whatever_was_done_to_it() {
    let damages: [Damage; 5] = [
        ("missing", |index| fs::remove_dir_all(index).unwrap()),
        ("a stray half-written snapshot", |index| fs::write(index.join("snap.FFFFFFFFFFFFFFFF.generating"), b"").unwrap()),
        ("zeroed database", |index| {
            let length = usize::try_from(fs::metadata(index.join("db")).unwrap().len()).unwrap();
            fs::write(index.join("db"), vec![0; length]).unwrap();
        }),
        ("garbage configuration", |index| fs::write(index.join("conf"), b"garbage").unwrap()),
        ("another state's", |index| {
            let (other, ..) = {
                let dir = tempfile::tempdir().unwrap();
                let store = FileStore::begin(dir.path(), hold(dir.path()), Lineage::from_bytes([9; 16]), AT).unwrap();
                Box::new(store).close().unwrap();
                (dir,)
            };
            fs::remove_dir_all(index).unwrap();
            fs::rename(other.path().join("index"), index).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let (dir, state, head) = closed();
        damage(&dir.path().join("index"));
        if what == "another state's" {
            assert!(matches!(read(dir.path(), None), Err(StoreError::Behind { .. })), "{what}");
            continue;
        }
        let reading = read(dir.path(), None).unwrap();
        assert_eq!((&reading.state, reading.head), (&state, head), "{what}");
        let store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
        Box::new(store).close().unwrap();
        assert_eq!(read(dir.path(), None).unwrap().source, Source::Index, "{what}: not rebuilt");
    }
}

/// The largest answer that is taken from a server fits into a line.
#[test]
fn p3_an_answer_of_a_mebibyte_is_recorded_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FileStore::begin(dir.path(), hold(dir.path()), Lineage::from_bytes([9; 16]), AT).unwrap();
    let mut one = life("one", "1");
    one.truncate(3);
    let Event::Received { answer, .. } = &mut one[2] else { panic!("not received") };
    let body = vec![b'"'; 1 << 20];
    *answer = Answer { status: 200, complete: true, retry_after: None, body: body.clone() }.into();
    let serials: Vec<Serial> = one.into_iter().map(|event| store.append(event, AT).unwrap()).collect();
    drop(store);
    let mut store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
    let Event::Received { answer, .. } = store.entry(serials[2]).unwrap().event else { panic!("not received") };
    assert!(answer.clear().unwrap().body == body);
}

#[test]
fn a_cut_short_entry_is_dropped_and_nothing_else() {
    let (dir, ..) = closed();
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let journal = dir.path().join(JOURNAL);
    let whole = fs::read(&journal).unwrap();
    let last_start = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for cut in last_start..=whole.len() {
        fs::write(&journal, &whole[..cut]).unwrap();
        let serial = if cut + 1 >= whole.len() { Serial(12) } else { Serial(11) };
        assert_eq!(read(dir.path(), None).unwrap().head.serial, serial, "cut at {cut}");
        let mut store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
        assert_eq!(store.head().serial, serial, "cut at {cut}");
        // What follows is readable again.
        store.append(life("four", "4").remove(0), AT).unwrap();
        drop(store);
        assert_eq!(read(dir.path(), None).unwrap().head.serial, serial.next(), "cut at {cut}");
    }
}

#[test]
fn p5_no_flipped_bit_and_no_truncation_goes_unseen_or_makes_an_attempt_vanish() {
    let (dir, state, _) = closed();
    let journal = dir.path().join(JOURNAL);
    let whole = fs::read(&journal).unwrap();
    let open = |why: &str| match read(dir.path(), None) {
        Ok(reading) => assert_eq!(reading.state, state, "{why}: taken for good"),
        Err(error) => assert!(error.is_untrustworthy(), "{why}: {error}"),
    };
    // Every fifth byte, another bit each: opening twice for each of them is what takes the time.
    for at in (0..whole.len()).step_by(5) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&journal, &bytes).unwrap();
        // The index may answer for a journal whose past is damaged; a writer never does.
        open(&format!("bit of byte {at}"));
        let opened = FileStore::open(dir.path(), hold(dir.path()), None).map(|store| store.state().clone());
        assert!(opened.as_ref().is_err_and(StoreError::is_untrustworthy), "byte {at}: {opened:?}");
    }
    for length in (0..whole.len() - 1).step_by(5) {
        fs::write(&journal, &whole[..length]).unwrap();
        let opened = read(dir.path(), None).map(|reading| reading.head);
        assert!(opened.as_ref().is_err_and(StoreError::is_untrustworthy), "cut to {length}: {opened:?}");
    }
}

#[test]
fn p5_an_older_copy_of_the_journal_is_refused() {
    let (dir, ..) = closed();
    let old = fs::read(dir.path().join(JOURNAL)).unwrap();
    let mut store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
    store.append(life("four", "4").remove(0), AT).unwrap();
    let lock = LockFile::of(store.state(), store.head(), []);
    Box::new(store).close().unwrap();
    fs::write(dir.path().join(JOURNAL), &old).unwrap();
    let index = || FileStore::open(dir.path(), hold(dir.path()), None).unwrap_err();
    assert!(matches!(index(), StoreError::Behind(Behind::Older { witness: "its own index", .. })));
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    let error = FileStore::open(dir.path(), hold(dir.path()), Some(&lock)).unwrap_err();
    assert!(matches!(error, StoreError::Behind(Behind::Older { witness: "the lock file", .. })), "{error}");
    assert!(matches!(read(dir.path(), Some(&lock)), Err(StoreError::Behind { .. })));
}

#[test]
fn p5_a_missing_state_is_told_from_a_fresh_start() {
    let (dir, state, head) = closed();
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(read(empty.path(), None), Err(StoreError::Absent(_))));
    let nothing = LockFile::of(&State::new(lineage(), Serial(1), FORMAT), Head::START, []);
    assert!(matches!(read(empty.path(), Some(&nothing)), Err(StoreError::Absent(_))), "records nothing: a fresh start");
    let lock = LockFile::of(&state, head, []);
    let missing = read(empty.path(), Some(&lock));
    assert!(matches!(missing, Err(StoreError::Behind(Behind::Missing { witness: "the lock file", .. }))));
    fs::remove_file(dir.path().join(JOURNAL)).unwrap();
    let missing = read(dir.path(), None);
    assert!(matches!(missing, Err(StoreError::Behind(Behind::Missing { witness: "its own index", .. }))));
    let other = FileStore::begin(empty.path(), hold(empty.path()), Lineage::from_bytes([8; 16]), AT);
    drop(other.unwrap());
    let other = read(empty.path(), Some(&lock));
    assert!(matches!(other, Err(StoreError::Behind(Behind::Other { .. }))), "older by its serial, and a foreign state");
}

#[test]
fn p15_a_newer_format_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let genesis = Entry { serial: Serial(1), at: AT, event: Event::Genesis { format: 99, lineage: lineage() } };
    let (line, _) = super::journal::encode(&genesis, crate::state::Hash::ZERO).unwrap();
    fs::write(dir.path().join(JOURNAL), &line).unwrap();
    let error = FileStore::open(dir.path(), hold(dir.path()), None).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 99, known: FORMAT }));
    assert_eq!(fs::read(dir.path().join(JOURNAL)).unwrap(), line);
}

#[test]
fn p15_a_state_of_format_1_opens_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = FileStore::begin(dir.path(), hold(dir.path()), lineage(), AT).unwrap();
    fill(&mut store);
    let state = store.state().clone();
    drop(store);
    let old = tempfile::tempdir().unwrap();
    let fixture = include_str!("../../tests/fixtures/journal-1.jsonl");
    fs::write(old.path().join(JOURNAL), fixture).unwrap();
    let mut store = FileStore::open(old.path(), hold(old.path()), None).unwrap();
    assert_eq!(store.state().records(), state.records());
    let kept = store.state().record(&name("one")).and_then(|record| record.instance()?.token.clone()).unwrap();
    let Event::Created { token: Some(token), .. } = store.entry(kept.entry).unwrap().event else { panic!("no token") };
    assert!(matches!(token, KeptSecret::Clear(token) if token.expose() == "token0123456789a"));
    // It goes on in this version's format, and says so first.
    store.append(life("four", "4").remove(0), AT).unwrap();
    assert_eq!(store.state().format, FORMAT);
    let bytes = fs::read_to_string(old.path().join(JOURNAL)).unwrap();
    let next = bytes.strip_prefix(fixture).unwrap().lines().next().unwrap();
    assert!(next.contains(r#""event":{"format":{"format":3}}"#), "{next}");
}

/// A store on a disk under control.
fn on_faulty_disk(dir: &Path) -> (FileStore, DiskControl) {
    let control = DiskControl::default();
    let medium = FaultMedium::open(&dir.join(JOURNAL), true, control.clone()).unwrap().unwrap();
    let store = FileStore::begin_on(dir, hold(dir), Box::new(medium), lineage(), AT).unwrap();
    (store, control)
}

#[test]
fn p2_no_intent_is_taken_without_room_for_its_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, control) = on_faulty_disk(dir.path());
    control.with(|disk| disk.room = Some(ANSWER_SPACE - 1));
    let intent = || life("one", "1").remove(0);
    assert!(store.append(intent(), AT).unwrap_err().is_full());
    assert!(store.state().records().is_empty());
    control.with(|disk| disk.room = Some(2 * ANSWER_SPACE));
    store.append(intent(), AT).unwrap();
    assert!(store.append(life("two", "2").remove(0), AT).unwrap_err().is_full(), "room for one answer is no room for two");
}

#[test]
fn a_write_that_does_not_fit_leaves_the_store_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, control) = on_faulty_disk(dir.path());
    store.append(life("one", "1").remove(0), AT).unwrap();
    let (state, head) = (store.state().clone(), store.head());
    for room in 0..100 {
        control.with(|disk| disk.room = Some(room));
        let full = store.append(Event::Sent { attempt: AttemptId::typed("a-one") }, AT).unwrap_err();
        assert!(full.is_full());
        assert_eq!((store.state(), store.head()), (&state, head));
    }
    control.with(|disk| disk.room = None);
    store.append(Event::Sent { attempt: AttemptId::typed("a-one") }, AT).unwrap();
    store.sync().unwrap();
    drop(store);
    assert!(matches!(read(dir.path(), None).unwrap().state.records()[&name("one")].phase, Phase::InDoubt(..)));
}

#[test]
fn a_failed_sync_is_final() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, control) = on_faulty_disk(dir.path());
    store.append(life("one", "1").remove(0), AT).unwrap();
    control.with(|disk| disk.fails_sync = true);
    assert!(matches!(store.sync(), Err(StoreError::Io { action: "sync", .. })));
    control.with(|disk| disk.fails_sync = false);
    assert!(matches!(store.sync(), Err(StoreError::Broken)));
    assert!(matches!(store.append(life("two", "2").remove(0), AT), Err(StoreError::Broken)));
}

#[test]
fn p6_the_lock_has_one_holder_and_says_who() {
    let dir = tempfile::tempdir().unwrap();
    let first = hold(dir.path());
    let second = Hold::acquire(dir.path(), &holder(), Duration::ZERO, &mut |_| {}).unwrap_err();
    assert!(matches!(&second, StoreError::Locked { holder, .. } if holder.verb == "test"), "{second}");
    let path = dir.path().to_owned();
    let waiter = std::thread::spawn(move || Hold::acquire(&path, &holder(), Duration::from_secs(60), &mut |_| {}).is_ok());
    drop(first);
    assert!(waiter.join().unwrap(), "the waiting one gets it");
}

#[test]
fn directories_and_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/state");
    let mut store = FileStore::begin(&dir, hold(&dir), lineage(), AT).unwrap();
    fill(&mut store);
    Box::new(store).close().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    for (path, _) in bytes_of(&dir) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn p3_a_link_in_the_place_of_a_temporary_file_is_not_followed() {
    let (dir, state, head) = closed();
    let journal = dir.path().join(JOURNAL);
    let before = fs::read(&journal).unwrap();
    let lock = dir.path().join("chatapi.lock");
    std::os::unix::fs::symlink(&journal, dir.path().join("chatapi.lock.new")).unwrap();
    LockFile::of(&state, head, []).write(&lock).unwrap();
    assert_eq!(fs::read(&journal).unwrap(), before);
    assert!(LockFile::read(&lock).unwrap().is_some());
}

#[test]
fn p7_doubts_of_earlier_runs_need_no_space_for_their_answers() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = on_faulty_disk(dir.path());
    for index in 0..20 {
        for event in life(&format!("n{index}"), "1").into_iter().take(2) {
            store.append(event, AT).unwrap();
        }
    }
    drop(store);
    let control = DiskControl::default();
    let medium = FaultMedium::open(&dir.path().join(JOURNAL), false, control.clone()).unwrap().unwrap();
    let mut store = FileStore::open_on(dir.path(), hold(dir.path()), None, Some(Box::new(medium))).unwrap();
    control.with(|disk| disk.room = Some(2 * ANSWER_SPACE));
    store.append(life("new", "1").remove(0), AT).unwrap();
}

#[test]
fn p11_the_index_holds_no_token() {
    let (dir, ..) = closed();
    for (path, bytes) in bytes_of(&dir.path().join("index")) {
        assert!(!bytes.windows(16).any(|window| window == b"token0123456789a"), "{}", path.display());
    }
}

#[test]
fn p5_a_sync_covers_what_an_earlier_process_wrote_and_did_not_sync() {
    let dir = tempfile::tempdir().unwrap();
    let disk = DiskControl::default();
    let medium = |make| {
        let medium = FaultMedium::open(&dir.path().join(JOURNAL), make, disk.clone()).unwrap().unwrap();
        Box::new(medium) as Box<dyn Medium>
    };
    let mut store = FileStore::begin_on(dir.path(), hold(dir.path()), medium(true), lineage(), AT).unwrap();
    store.append(life("one", "1").remove(0), AT).unwrap();
    drop(store);
    assert!(disk.with(|disk| disk.durable() < disk.written));
    drop(FileStore::open_on(dir.path(), hold(dir.path()), None, Some(medium(false))).unwrap());
    assert!(disk.with(|disk| disk.durable() == disk.written && disk.written > 0));
}

#[test]
fn p5_a_last_line_whose_line_feed_a_power_cut_left_as_zero_is_kept() {
    let (dir, state, head) = closed();
    let path = dir.path().join(JOURNAL);
    let whole = fs::read(&path).unwrap();
    let mut torn = whole.clone();
    *torn.last_mut().unwrap() = 0;
    fs::write(&path, &torn).unwrap();
    assert_eq!(read(dir.path(), None).unwrap().state, state);
    let mut store = FileStore::open(dir.path(), hold(dir.path()), None).unwrap();
    assert_eq!((store.state(), store.head()), (&state, head));
    store.sync().unwrap();
    assert_eq!(fs::read(&path).unwrap(), whole);
    torn.pop();
    torn.push(b' ');
    fs::write(&path, &torn).unwrap();
    drop(store);
    assert!(matches!(FileStore::open(dir.path(), hold(dir.path()), None), Err(StoreError::Damaged { .. })));
}
