//! The store against a map: random entries, legal and illegal, between syncs, kills, power cuts, closings and lost indexes. After
//! each step the store says what the map says, and after each opening it is exactly what it was at that entry.
//!
//! `CHATAPI_STORE_CASES` chooses how many cases (the ordinary run: 2,000, some seconds), `CHATAPI_STORE_CASE` one of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::fault::{Disk, DiskControl, FaultMedium};
use super::file::JOURNAL;
use super::*;
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::secret::Secret;
use crate::state::{Answer, AttemptId, Grounds, KeptSecret, Lineage, Phase, Verdict, Who};

const CASES: u64 = 2_000;
const STEPS: usize = 60;

/// Where a name stands, in the map's words. The letter is the open attempt's number.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stand {
    Absent,
    Intent(u8),
    Doubt(u8, bool),
    Received(u8),
    Created(u8, bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Map {
    names: BTreeMap<u8, (Stand, u32, bool)>,
}

fn name(index: u8) -> InstanceName {
    InstanceName::parse(&format!("n{index}")).unwrap()
}

fn id(index: u8) -> InstanceId {
    InstanceId::parse(&format!("{index}")).unwrap()
}

fn attempt(index: u8) -> AttemptId {
    AttemptId::typed(&format!("a-{index}"))
}

/// What is tried: an entry by its word, with a name, another name, an attempt and an id.
#[derive(Debug, Clone, Copy)]
struct Try {
    word: &'static str,
    name: u8,
    to: u8,
    attempt: u8,
    id: u8,
}

const WORDS: [&str; 15] = [
    "intent", "intent", "intent", "sent", "sent", "received", "received", "created", "refused", "unsent", "doubted", "exists",
    "never", "adopted", "moved",
];
const RARE: [&str; 5] = ["token_set", "adopted_doubt", "noted", "listed", "genesis"];

impl Try {
    fn draw(dice: &mut fastrand::Rng, map: &Map) -> Self {
        let word = if dice.u8(0..6) == 0 { dice.choice(RARE) } else { dice.choice(WORDS) }.unwrap();
        // Mostly an attempt that is open, so that the deep states are reached.
        let open: Vec<u8> = map.names.values().filter_map(|(stand, ..)| stand.open()).collect();
        let attempt = open.get(dice.usize(0..=open.len())).copied().unwrap_or_else(|| dice.u8(0..40));
        Self { word, name: dice.u8(0..5), to: dice.u8(0..5), attempt, id: dice.u8(0..12) }
    }

    fn event(self) -> Event {
        let attempt = attempt(self.attempt);
        let (reason, kind) = ("why".to_owned(), InstanceType::WhatsApp);
        let grounds = Grounds { by: "operator".to_owned(), reason: None, candidates: None };
        match self.word {
            "intent" => Event::Intent { attempt, name: name(self.name), kind, fence: None },
            "sent" => Event::Sent { attempt },
            "received" => {
                let answer =
                    Answer { status: 200, complete: true, retry_after: None, body: vec![self.id; usize::from(self.id) * 99] };
                Event::Received { attempt, answer: answer.into() }
            }
            "created" => Event::Created { attempt, id: id(self.id), api_url: None, token_in: None, token: Some(kept()) },
            "refused" => Event::Refused { attempt, reason },
            "unsent" => Event::Unsent { attempt, reason },
            "doubted" => Event::Doubted { attempt, reason },
            "exists" => Event::Resolved { attempt, verdict: Verdict::Created { id: id(self.id), api_url: None }, grounds },
            "never" => Event::Resolved { attempt, verdict: Verdict::NotCreated, grounds },
            "adopted" => Event::Adopted {
                name: name(self.name),
                kind,
                id: id(self.id),
                api_url: None,
                source: "test".into(),
                is_foreign: false,
            },
            "adopted_doubt" => Event::AdoptedDoubt { attempt, name: name(self.name), kind },
            "moved" => Event::Moved { from: name(self.name), to: name(self.to) },
            "token_set" => Event::TokenSet { name: name(self.name), token: kept(), api_url: None },
            "noted" => Event::Noted { orphaned: vec![name(self.name)], returned: vec![] },
            "listed" => Event::Listed { ids: vec![id(self.id)] },
            _ => Event::Genesis { format: 1, lineage: Lineage::from_bytes([7; 16]) },
        }
    }
}

impl Stand {
    fn open(&self) -> Option<u8> {
        match self {
            Self::Intent(attempt) | Self::Doubt(attempt, _) | Self::Received(attempt) => Some(*attempt),
            Self::Absent | Self::Created(..) => None,
        }
    }
}

impl Map {
    fn is_taken(&self, id: u8) -> bool {
        self.names.values().any(|(stand, ..)| matches!(stand, Stand::Created(taken, _) if *taken == id))
    }

    /// What `tried` leads to; none: it is refused.
    fn after(&self, tried: Try) -> Option<Self> {
        let mut next = self.clone();
        let is_open = |attempt| self.names.values().any(|(stand, ..)| stand.open() == Some(attempt));
        let is_vacant = |name| matches!(self.names.get(&name), None | Some((Stand::Absent, ..)));
        let Try { word, name, to, attempt, id } = tried;
        match word {
            "intent" if is_vacant(name) && !is_open(attempt) => {
                let before = self.names.get(&name).map_or(0, |(_, before, _)| *before);
                next.names.insert(name, (Stand::Intent(attempt), before + 1, false));
            }
            "adopted" if is_vacant(name) && !self.is_taken(id) => {
                next.names.insert(name, (Stand::Created(id, false), 0, false));
            }
            "adopted_doubt" if is_vacant(name) && !is_open(attempt) => {
                next.names.insert(name, (Stand::Doubt(attempt, false), 1, false));
            }
            "moved" if is_vacant(to) && matches!(self.names.get(&name), Some((Stand::Created(..), ..))) => {
                let (stand, attempts, _) = next.names.remove(&name)?;
                next.names.insert(to, (stand, attempts, false));
            }
            "token_set" => match &mut next.names.get_mut(&name)?.0 {
                Stand::Created(_, has_token) => *has_token = true,
                _ => return None,
            },
            "noted" => next.names.get_mut(&name)?.2 = true,
            "listed" => {}
            _ => {
                let (stand, ..) = next.names.values_mut().find(|(stand, ..)| stand.open() == Some(attempt))?;
                *stand = self.step(stand, word, attempt, id)?;
            }
        }
        Some(next)
    }

    /// One attempt's step.
    fn step(&self, from: &Stand, word: &str, attempt: u8, id: u8) -> Option<Stand> {
        Some(match (from, word) {
            (Stand::Intent(_), "sent" | "doubted") => Stand::Doubt(attempt, false),
            (Stand::Intent(_) | Stand::Doubt(_, false), "unsent")
            | (Stand::Received(_), "refused")
            | (Stand::Doubt(..), "never") => Stand::Absent,
            (Stand::Doubt(_, false), "received") => Stand::Received(attempt),
            (Stand::Doubt(_, answered), "doubted") => Stand::Doubt(attempt, *answered),
            (Stand::Received(_), "doubted") => Stand::Doubt(attempt, true),
            (Stand::Received(_), "created") if !self.is_taken(id) => Stand::Created(id, true),
            (Stand::Doubt(..), "exists") if !self.is_taken(id) => Stand::Created(id, false),
            _ => return None,
        })
    }

    fn check(&self, state: &State) {
        let names: BTreeSet<_> = self.names.keys().map(|index| name(*index)).collect();
        assert_eq!(state.records().keys().cloned().collect::<BTreeSet<_>>(), names);
        for (index, (stand, tries, noted)) in &self.names {
            let record = &state.records()[&name(*index)];
            assert_eq!((record.attempts, record.orphan_noted), (*tries, *noted), "{index}");
            assert_eq!(record.open_attempt().map(|open| open.id.clone()), stand.open().map(attempt), "{index}");
            let is_so = match (stand, &record.phase) {
                (Stand::Absent, Phase::Absent { .. })
                | (Stand::Intent(_), Phase::Intent(_))
                | (Stand::Received(_), Phase::Received(..)) => true,
                (Stand::Doubt(_, answered), Phase::InDoubt(_, doubt)) => *answered == doubt.answer.is_some(),
                (Stand::Created(owned, has_token), Phase::Created(instance)) => {
                    instance.id == id(*owned)
                        && instance.token.is_some() == *has_token
                        && state.known_ids()[&instance.id] == record.name
                }
                _ => false,
            };
            assert!(is_so, "{index}: {stand:?} is {:?}", record.phase);
        }
    }
}

/// What is known at an entry: where its line ends, the map, and what the store said.
type Point = (u64, Map, State, Head);

struct Case<'a> {
    dir: &'a Path,
    dice: fastrand::Rng,
    disk: DiskControl,
    store: FileStore,
    /// From the beginning to the newest.
    points: Vec<Point>,
}

fn kept() -> KeptSecret {
    KeptSecret::Clear(Secret::new("token".into()))
}

fn hold(dir: &Path) -> Hold {
    let holder = Holder { pid: 1, verb: "test".into(), since: Timestamp::UNIX_EPOCH, who: Who::default() };
    Hold::acquire(dir, &holder, Duration::ZERO, &mut |_| {}).unwrap()
}

fn medium(dir: &Path, disk: &DiskControl, make: bool) -> Box<dyn Medium> {
    Box::new(FaultMedium::open(&dir.join(JOURNAL), make, disk.clone()).unwrap().unwrap())
}

impl<'a> Case<'a> {
    fn begin(dir: &'a Path, seed: u64) -> Self {
        for path in [dir.join(JOURNAL), dir.join("index")] {
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
        }
        let disk = DiskControl::default();
        let lineage = Lineage::from_bytes([7; 16]);
        let store = FileStore::begin_on(dir, hold(dir), medium(dir, &disk, true), lineage, Timestamp::UNIX_EPOCH).unwrap();
        let points = vec![(disk.with(|disk| disk.written), Map::default(), store.state().clone(), store.head())];
        Self { dir, dice: fastrand::Rng::with_seed(seed), disk, store, points }
    }

    fn live(mut self) {
        for _ in 0..STEPS {
            self = match self.dice.u8(0..100) {
                0..75 => self.append(),
                75..85 => {
                    self.store.sync().unwrap();
                    self
                }
                85..90 => {
                    let reading = read(self.dir, None).unwrap();
                    assert_eq!((&reading.state, reading.head), (self.store.state(), self.store.head()));
                    self
                }
                90..94 => self.reopen(u64::MAX),
                94..98 => self.cut_power(),
                98 => {
                    let _ = fs::remove_dir_all(self.dir.join("index"));
                    self
                }
                _ => self.close(),
            };
        }
    }

    fn append(mut self) -> Self {
        let (_, map, state, head) = self.points.last().unwrap().clone();
        let tried = Try::draw(&mut self.dice, &map);
        // Now and then the disk is full in the middle of a line.
        let room = (self.dice.u8(0..20) == 0 && tried.word != "intent").then(|| self.dice.u64(0..150));
        self.disk.with(|disk| disk.room = room);
        let appended = self.store.append(tried.event(), Timestamp::UNIX_EPOCH);
        self.disk.with(|disk| disk.room = None);
        match (map.after(tried), appended) {
            (Some(_), Err(StoreError::Io { .. })) if room.is_some() => {
                assert_eq!((self.store.state(), self.store.head()), (&state, head), "{tried:?}");
            }
            (Some(next), Ok(serial)) => {
                assert_eq!((serial, self.store.head().serial), (head.serial.next(), serial));
                next.check(self.store.state());
                let end = self.disk.with(|disk| disk.written);
                self.points.push((end, next, self.store.state().clone(), self.store.head()));
            }
            (None, Err(StoreError::Refused(_))) => {
                assert_eq!((self.store.state(), self.store.head()), (&state, head), "{tried:?}");
            }
            (expected, found) => panic!("{tried:?} after {map:?}: expected {expected:?}, found {found:?}"),
        }
        self
    }

    /// The process is gone, and of the file those lines are left that end at `length` at the latest.
    fn reopen(self, length: u64) -> Self {
        let Self { dir, dice, disk, store, mut points } = self;
        drop(store);
        points.retain(|(end, ..)| *end <= length);
        let (_, map, state, head) = points.last().unwrap();
        let reading = read(dir, None).unwrap();
        assert_eq!((&reading.state, reading.head), (state, *head));
        let store = FileStore::open_on(dir, hold(dir), None, Some(medium(dir, &disk, false))).unwrap();
        assert_eq!((store.state(), store.head()), (state, *head));
        map.check(store.state());
        Self { dir, dice, disk, store, points }
    }

    /// What was synced is there, and some of what was not.
    fn cut_power(mut self) -> Self {
        let (durable, written) = self.disk.with(|disk| (disk.durable(), disk.written));
        let length = self.dice.u64(durable..=written);
        let file = fs::OpenOptions::new().write(true).open(self.dir.join(JOURNAL)).unwrap();
        file.set_len(length).unwrap();
        let keeps_length = self.dice.bool();
        if keeps_length {
            // The bytes that are missing are zero.
            file.set_len(written).unwrap();
        }
        self.disk.with(|disk| *disk = Disk::default());
        // A line feed that is missing, or zero, is no loss, but where more zeros follow.
        let is_forgiven = !keeps_length || length + 1 >= written;
        self.reopen(length + u64::from(is_forgiven))
    }

    fn close(self) -> Self {
        let Self { dir, dice, disk, store, points } = self;
        Box::new(store).close().unwrap();
        let (_, _, state, head) = points.last().unwrap();
        let reading = read(dir, None).unwrap();
        assert_eq!((&reading.state, reading.head), (state, *head), "by {:?}", reading.source);
        let store = FileStore::open_on(dir, hold(dir), None, Some(medium(dir, &disk, false))).unwrap();
        Self { dir, dice, disk, store, points }.reopen(u64::MAX)
    }
}

#[test]
fn p1_p5_p12_the_store_is_a_map_that_survives() {
    let number = |variable: &str| std::env::var(variable).ok().map(|text| text.parse::<u64>().unwrap());
    let cases = match number("CHATAPI_STORE_CASE") {
        Some(one) => one..one + 1,
        None => 0..number("CHATAPI_STORE_CASES").unwrap_or(CASES),
    };
    let memory = Path::new("/dev/shm");
    let next = std::sync::atomic::AtomicU64::new(cases.start);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
                loop {
                    let case = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if case >= cases.end {
                        break;
                    }
                    let lived = std::panic::catch_unwind(|| Case::begin(dir.path(), case).live());
                    assert!(lived.is_ok(), "replay with CHATAPI_STORE_CASE={case}");
                }
            });
        }
    });
}
