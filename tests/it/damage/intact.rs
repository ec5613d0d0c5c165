//! The state that is damaged: every phase in it, its older copy, and one of another lineage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use chatapi::instance::{InstanceId, InstanceName, InstanceType};
use chatapi::plan::{Action, plan};
use chatapi::secret::Secret;
use chatapi::state::{Answer, AttemptId, Event, FORMAT, KeptSecret, Lineage, Serial, State, Who};
use chatapi::store::{FileStore, Hold, Holder, LockFile, StateStore};
use jiff::Timestamp;

pub(super) const LOCK: &str = "chatapi.lock";
const AT: Timestamp = Timestamp::UNIX_EPOCH;

/// Relative path → bytes: of a state directory, and of the lock file beside it.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// What is damaged, and what it says when it is whole.
pub(super) struct Intact {
    pub(super) files: Files,
    pub(super) older: Files,
    pub(super) older_end: Serial,
    pub(super) foreign: Files,
    /// The state at each serial; the first one has nothing in it.
    pub(super) at: Vec<State>,
}

/// Takes the lock of `dir`.
pub(crate) fn hold(dir: &Path) -> Hold {
    let me = Holder { pid: std::process::id(), verb: "test".to_owned(), since: AT, who: Who::default() };
    Hold::acquire(dir, &me, Duration::from_secs(5), &mut |_| {}).unwrap()
}

/// Opens `dir` as an apply does.
pub(crate) fn open(dir: &Path, lock: Option<&LockFile>, lineage: u8) -> Result<FileStore, chatapi::store::StoreError> {
    FileStore::open_or_begin(dir, hold(dir), lock, Lineage::from_bytes([lineage; 16]), AT)
}

impl Intact {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir_in(shelf()).unwrap();
        let mut at = vec![State::new(Lineage::from_bytes([1; 16]), Serial(0), FORMAT)];
        let (mut events, later) = (first_events(), later_events());
        let (older, _) = write(place.path(), 1, events.clone(), &mut at);
        let older_end = at.last().unwrap().serial;
        let (files, _) = write(place.path(), 1, later, &mut at);
        let other = tempfile::tempdir_in(shelf()).unwrap();
        events.truncate(9);
        let (foreign, _) = write(other.path(), 2, events, &mut Vec::new());
        Self { files, older, older_end, foreign, at }
    }

    pub(super) fn whole(&self) -> &State {
        self.at.last().unwrap()
    }
}

/// Appends `events` to the state below `place`, closes it in order, writes the lock file, and gives all files.
fn write(place: &Path, lineage: u8, events: Vec<Event>, at: &mut Vec<State>) -> (Files, State) {
    let dir = place.join("state");
    let mut store = open(&dir, None, lineage).unwrap();
    if at.len() == 1 {
        at.push(store.state().clone());
    }
    for event in events {
        store.append(event, AT).unwrap();
        at.push(store.state().clone());
    }
    let state = store.state().clone();
    LockFile::of(&state, store.head(), []).write(&place.join(LOCK)).unwrap();
    Box::new(store).close().unwrap();
    let mut files = Files::new();
    collect(place, place, &mut files);
    files.retain(|path, _| path != "state/lock" && path != "state/.gitignore");
    (files, state)
}

fn collect(root: &Path, dir: &Path, files: &mut Files) {
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// Where there is a file system in memory, there.
pub(super) fn shelf() -> std::path::PathBuf {
    let shelf = Path::new("/dev/shm");
    if shelf.is_dir() { shelf.to_owned() } else { std::env::temp_dir() }
}

pub(super) fn name(text: &str) -> InstanceName {
    InstanceName::parse(text).unwrap()
}

fn intent(text: &str) -> Vec<Event> {
    let attempt = AttemptId::typed(&format!("a-{text}"));
    vec![Event::Intent { attempt, name: name(text), kind: InstanceType::WhatsApp, fence: Some(Serial(3)) }]
}

fn sent(text: &str) -> Vec<Event> {
    [intent(text), vec![Event::Sent { attempt: AttemptId::typed(&format!("a-{text}")) }]].concat()
}

fn received(text: &str) -> Vec<Event> {
    let answer = Answer { status: 200, complete: true, retry_after: None, body: b"{\"result\":{}}".to_vec() };
    [sent(text), vec![Event::Received { attempt: AttemptId::typed(&format!("a-{text}")), answer: answer.into() }]].concat()
}

fn created(text: &str, id: &str) -> Vec<Event> {
    let (attempt, id) = (AttemptId::typed(&format!("a-{text}")), InstanceId::parse(id).unwrap());
    let token = Some(KeptSecret::Clear(Secret::new(format!("token-of-{text}"))));
    [received(text), vec![Event::Created { attempt, id, api_url: None, token_in: None, token }]].concat()
}

fn refused(text: &str) -> Vec<Event> {
    let attempt = AttemptId::typed(&format!("a-{text}"));
    [received(text), vec![Event::Refused { attempt, reason: "no".to_owned() }]].concat()
}

fn run() -> Event {
    Event::Run {
        verb: "apply".to_owned(),
        version: "0".to_owned(),
        who: Who::default(),
        boot: Some("boot".to_owned()),
        up: Some(7),
        plan: None,
        aim: None,
    }
}

fn first_events() -> Vec<Event> {
    let mut events = vec![run(), Event::Listed { ids: vec![InstanceId::parse("7").unwrap()] }];
    events.extend([created("made-a", "100"), created("made-b", "101"), refused("refused"), sent("doubt-a")].concat());
    events
}

fn later_events() -> Vec<Event> {
    let later = [created("made-c", "102"), sent("doubt-b"), received("answered"), intent("begun")].concat();
    [vec![run()], later].concat()
}

/// What a plan of everything that was ever declared would create.
pub(super) fn creates(state: &State) -> BTreeSet<InstanceName> {
    let names = ["made-a", "made-b", "made-c", "refused", "doubt-a", "doubt-b", "answered", "begun", "new"];
    let declared = names.map(|text| (name(text), InstanceType::WhatsApp)).into_iter().collect();
    plan(&declared, state).with(Action::Create).map(|change| change.name.clone()).collect()
}
