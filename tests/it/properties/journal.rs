//! F4 and F6: any bytes as a journal, and what is stored comes back as it was.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use chatapi::instance::InstanceName;
use chatapi::seal::{Identity, Recipients};
use chatapi::secret::Secret;
use chatapi::state::{Entry, Event, KeptSecret, Lineage, Serial, State, about_token};
use chatapi::store::{Export, Snapshot, StoreError, history, read, read_entries, referred, salvage};
use jiff::Timestamp;
use tempfile::TempDir;

use super::reference::{Lines, rechained};

thread_local! {
    /// Where the journal of the moment is put.
    static PLACE: TempDir = scratch();
}

/// In memory, where there is such a place.
fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// The key of the fixtures.
pub(super) static IDENTITY: LazyLock<Vec<Identity>> =
    LazyLock::new(|| Identity::read_all(include_str!("../../fixtures/identity-1.txt")).unwrap());

pub(super) fn recipients() -> Recipients {
    Recipients::new(IDENTITY.iter().map(|identity| identity.recipient().unwrap())).unwrap()
}

/// The bytes as they are, and once more with the hashes that belong to them: damage is seen by its hash first, and behind that
/// stands everything else. A state that is read has every attempt open that its lines show; a salvaged one has every attempt open
/// that the intact lines show, but for those that a later line closes, and every id that they name.
pub(super) fn f4_journal(data: &[u8]) {
    PLACE.with(|place| {
        recover(place.path(), data);
        let whole = rechained(data);
        if whole != data {
            recover(place.path(), &whole);
        }
    });
    // No bytes of a journal are an export; that reading never panics is the point.
    let _ = Export::read(data);
}

fn put(dir: &Path, bytes: &[u8]) {
    fs::write(dir.join("journal.jsonl"), bytes).unwrap();
}

fn recover(dir: &Path, bytes: &[u8]) {
    put(dir, bytes);
    let lines = Lines::of(bytes);
    let reading = read(dir, None);
    let intact = match &reading {
        Ok(reading) => {
            if let Some(shown) = lines.shown(lines.verified) {
                assert_eq!(open_of(&reading.state), shown.open, "attempts that the lines show as open");
                assert_eq!(ids_of(&reading.state), shown.ids, "ids that the lines show");
            }
            let found = read_entries(dir, &referred(&reading.state));
            assert!(found.is_ok(), "a kept secret is gone: {found:?}");
            lines.verified
        }
        Err(StoreError::Damaged { line, .. } | StoreError::Inconsistent { line, .. }) => {
            let before = usize::try_from(*line).unwrap().saturating_sub(1);
            assert!(before <= lines.verified, "line {line} is called the first damaged one");
            before
        }
        Err(_) => 0,
    };
    if let Ok(salvaged) = salvage(dir, None, Timestamp::UNIX_EPOCH, &|_| None) {
        if let Some(shown) = lines.shown(intact) {
            let records = || salvaged.snapshot.records.iter().map(|restored| &restored.record);
            let open: BTreeSet<&str> = records().filter_map(|record| Some(record.open_attempt()?.id.as_str())).collect();
            let is_kept = |attempt: &&String| open.contains(attempt.as_str()) || lines.may_close(intact, attempt);
            assert_eq!(shown.open.iter().find(|attempt| !is_kept(attempt)), None, "an open attempt is gone after line {intact}");
            let ids: BTreeSet<&str> = records().filter_map(|record| Some(record.id()?.as_str())).collect();
            let lost = shown.ids.iter().find(|id| !ids.contains(id.as_str()));
            assert_eq!(lost, None, "an instance is gone after line {intact}");
        }
        comes_back(&salvaged.snapshot);
    } else {
        assert!(reading.is_err(), "what can be read can be salvaged");
    }
    let _ = history(dir);
}

fn open_of(state: &State) -> BTreeSet<String> {
    state.records().values().filter_map(|record| Some(record.open_attempt()?.id.as_str().to_owned())).collect()
}

fn ids_of(state: &State) -> BTreeSet<String> {
    state.known_ids().keys().map(|id| id.as_str().to_owned()).collect()
}

/// An export is read as what it was made of.
fn comes_back(snapshot: &Snapshot) -> Vec<u8> {
    let text = serde_json::to_vec_pretty(&Export::new(snapshot.clone()).unwrap()).unwrap();
    assert_eq!(Export::read(&text).unwrap(), *snapshot);
    text
}

/// The state of a journal, exported and read, is the same; so is one of whose export a byte was changed, or it is refused. A
/// token, in the clear and sealed, is read from its line as it was written.
pub(super) fn f6_round_trip(data: &[u8]) {
    PLACE.with(|place| {
        put(place.path(), &rechained(data));
        let Ok(reading) = read(place.path(), None) else { return };
        let kept = read_entries(place.path(), &referred(&reading.state)).unwrap();
        let snapshot = Snapshot::of(&reading.state, reading.head, &kept, None);
        let text = comes_back(&snapshot);
        let step = 1 + text.len() / 16;
        for at in (data.len() % step..text.len()).step_by(step) {
            let mut changed = text.clone();
            changed[at] ^= 1 << (data.len() % 7);
            assert!(Export::read(&changed).map_or(true, |read| read == snapshot), "byte {at} makes another state");
        }
    });
    token_comes_back(data);
}

/// Tokens are visible ASCII: what else there is in `data` is left out.
fn token_comes_back(data: &[u8]) {
    let token: String = data.iter().filter(|byte| byte.is_ascii_graphic()).take(4_096).map(|byte| char::from(*byte)).collect();
    let (lineage, name) = (Lineage::from_bytes([7; 16]), InstanceName::parse("one").unwrap());
    let about = about_token(&lineage, &name);
    for recipients in [Recipients::none(), recipients()] {
        let kept = KeptSecret::keep(Secret::new(token.clone()), &recipients, &about).unwrap();
        let event = Event::TokenSet { name: name.clone(), token: kept, api_url: None };
        let line = serde_json::to_string(&Entry { serial: Serial(1), at: Timestamp::UNIX_EPOCH, event }).unwrap();
        let Event::TokenSet { token: read, .. } = serde_json::from_str::<Entry>(&line).unwrap().event else {
            panic!("another event: {line}")
        };
        assert_eq!(read.open(&IDENTITY, &about).unwrap().expose(), token);
    }
}
