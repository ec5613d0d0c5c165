//! What is left of a damaged journal: the intact lines before the damage, then every later line that can be read and follows;
//! and what the index and the lock file know besides.
//!
//! It errs on the safe side. An attempt that may have been sent is in doubt, whatever the unreadable lines said of it; a name that
//! only the lock file knows is held or adopted without a token. What nobody recorded anywhere else cannot be known: the caller is
//! told how many entries are gone.

mod astray;
mod elsewhere;
mod implied;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use astray::token_ids;
use implied::{concluded, implied, proven};
use jiff::Timestamp;
use serde::Deserialize;

use super::checkpoint::{Snapshot, referred};
use super::file::{JOURNAL, check_lineage};
use super::journal::LINE_MAX;
use super::{FileStore, Hold, LockFile, StoreError, history, journal, sled};
use crate::instance::{InstanceId, InstanceName, InstanceType};
use crate::state::{AttemptId, Entry, Event, FORMAT, Hash, Head, History, KeptAnswer, Lineage, Outline, Phase, Serial, State};

/// A state put together from pieces.
#[derive(Debug)]
pub struct Salvage {
    /// The state, to begin a new journal with.
    pub snapshot: Snapshot,
    /// Entries that are gone.
    pub lost: u64,
    /// Names that only the index or the lock file knew.
    pub from_elsewhere: usize,
    /// What instances are called whose own names are gone.
    pub renamed: Vec<InstanceName>,
    /// Nothing says what was protected: everything is.
    pub is_all_protected: bool,
    /// What could be read, without secrets: the history of the new journal.
    past: Vec<(Entry, Hash)>,
}

impl Salvage {
    /// Begins a state with it, in the place of the damaged one in `dir`; what could be read of that stays as its history.
    pub fn restore(self, dir: &Path, hold: Hold, at: Timestamp) -> Result<FileStore, StoreError> {
        let Self { mut snapshot, past, .. } = self;
        let mut past = past.into_iter();
        let history =
            history::write(dir, snapshot.after().serial, &mut |put| past.try_for_each(|(entry, hash)| put(entry, hash)))?;
        snapshot.checkpoint.history = Some(history);
        FileStore::restore(dir, hold, None, snapshot, at)
    }
}

/// A line as far as it can be read, its hash unverified.
#[derive(Deserialize)]
struct Loose {
    serial: Serial,
    at: Timestamp,
    event: Event,
}

/// What an answer proves; none: it cannot be read.
pub type Reads<'a> = dyn Fn(&KeptAnswer) -> Option<Outline> + 'a;

/// More lines than that are never missing before one: each makes way for one of these.
const IMPLIED_MAX: usize = 4;

/// Reads what is left of the journal in `dir`. [`StoreError::Absent`] if not even its beginning can be read,
/// [`StoreError::Behind`] if `lock` is another state's.
pub fn salvage(dir: &Path, lock: Option<&LockFile>, at: Timestamp, reads: &Reads<'_>) -> Result<Salvage, StoreError> {
    let index = sled::load(dir).map(|(state, _)| state);
    let mut pieces = Pieces {
        state: None,
        kept: BTreeMap::new(),
        renumbered: BTreeMap::new(),
        touched: BTreeMap::new(),
        last: Serial(0),
        lines: 0,
        read: 0,
        before: 0,
        keys_at: Serial(0),
        rebuilt_at: Serial(0),
        history: None,
        past: Vec::new(),
        unsure: BTreeMap::new(),
        astray: Vec::new(),
        token_ids: index.as_ref().map(token_ids).unwrap_or_default(),
        newer: None,
        reads,
        lineage: index.as_ref().map(|index| &index.lineage).or(lock.map(|lock| &lock.lineage)).cloned(),
        at,
    };
    pieces.read_journal(dir)?;
    let mut state = pieces.state.take().ok_or_else(|| StoreError::Absent(dir.to_owned()))?;
    // Lines that do not follow, and numbers that no line has.
    let lost = (pieces.lines - pieces.read).max(pieces.last.0.saturating_sub(pieces.before.saturating_add(pieces.read)));
    pieces.conclude_what_was_begun(&mut state);
    let index = index.filter(|index| index.lineage == state.lineage);
    // Another state's lock file is not overwritten: what it names would be created again.
    check_lineage(&state, lock)?;
    let lock = lock.filter(|lock| lock.lineage == state.lineage);
    pieces.name_answers(&mut state, index.as_ref(), lock);
    let from_elsewhere = pieces.add_from(&mut state, index.as_ref(), lock);
    pieces.hold_past(&mut state, dir);
    pieces.set_tokens(&mut state, index.is_some());
    pieces.hold_unsure(&mut state);
    let is_all_protected = lost > 0 && index.is_none() && lock.is_none();
    if is_all_protected {
        let exists = state.records().values().filter(|record| record.instance().is_some());
        let protected = exists.map(|record| record.name.clone()).collect();
        pieces.add(&mut state, Event::Protection { protected, unprotected: Vec::new() });
    }
    let nameless = state.records().values().filter(|record| record.is_nameless());
    let renamed = nameless.map(|record| record.name.clone()).collect();
    pieces.add_settings(&mut state, index.as_ref(), lock);
    let seen = [Some(pieces.last), index.map(|index| index.serial), lock.map(|lock| lock.serial), Some(state.serial)];
    // No entry of the old chain has this position, so nothing that names one contradicts it.
    let after = Head { serial: seen.into_iter().flatten().max().unwrap_or_default().next(), hash: Hash::ZERO };
    let missing = referred(&state).into_iter().find(|serial| !pieces.kept.contains_key(serial));
    if let Some(missing) = missing {
        return Err(StoreError::NoEntry(missing));
    }
    let mut snapshot = Snapshot::of(&state, after, &pieces.kept, None);
    snapshot.checkpoint.lost = Some(lost);
    Ok(Salvage { snapshot, lost, from_elsewhere, renamed, is_all_protected, past: pieces.past })
}

/// What stands for an attempt that nobody knows any more.
fn lost_attempt(name: &InstanceName) -> AttemptId {
    AttemptId::typed(&format!("a-lost-{name}"))
}

struct Pieces<'a> {
    state: Option<State>,
    /// Entries with tokens and answers, under the serials that the state knows.
    kept: BTreeMap<Serial, Entry>,
    /// Old serials to those under which the state has taken them in.
    renumbered: BTreeMap<Serial, Serial>,
    /// The old serial of the last entry about each name that was taken in.
    touched: BTreeMap<InstanceName, Serial>,
    /// The highest serial that a line claims.
    last: Serial,
    /// Lines, and of those the ones taken in.
    lines: u64,
    read: u64,
    /// Entries before the first line.
    before: u64,
    /// The old serial of the last line that said whom secrets are sealed to.
    keys_at: Serial,
    /// Where the journal begins, if that was put together from pieces.
    rebuilt_at: Serial,
    /// Where the entries before the first line are.
    history: Option<History>,
    /// What was read, without secrets, each with the hash that its line has.
    past: Vec<(Entry, Hash)>,
    /// Names of lines that nothing vouches for, with their types and attempts.
    unsure: BTreeMap<InstanceName, (Option<InstanceType>, AttemptId)>,
    /// What lines tell of ids and tokens that do not follow, each with its old serial.
    astray: Vec<(Serial, Entry)>,
    /// Whose token stands in an entry, by the index.
    token_ids: BTreeMap<Serial, InstanceId>,
    /// The state's lineage as the index or the lock file has it: should the line that says it be gone.
    lineage: Option<Lineage>,
    /// A format that this version does not know, of an intact line.
    newer: Option<u32>,
    reads: &'a Reads<'a>,
    at: Timestamp,
}

impl Pieces<'_> {
    fn read_journal(&mut self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(JOURNAL);
        let open = |path: &Path| File::open(path).map(BufReader::new).map_err(StoreError::io("open", path));
        let mut intact = 0;
        // The damage itself is what this is about.
        let _ = journal::entries(&mut open(&path)?, &mut |entry, hash| {
            intact += 1;
            self.newer = self.newer.max(entry.event.format().filter(|format| *format > FORMAT));
            self.take(&entry);
            self.past.push((entry.without_secrets(), hash));
            Ok(())
        });
        if let Some(found) = self.newer {
            return Err(StoreError::Newer { found, known: FORMAT });
        }
        let mut rest = open(&path)?;
        let mut line = Vec::new();
        // The hash that the line before claims for itself, whether it has it or not.
        let mut claimed = Some(Hash::ZERO);
        for number in 0_u64.. {
            line.clear();
            if Read::take(&mut rest, LINE_MAX).read_until(b'\n', &mut line).map_err(StoreError::io("read", &path))? == 0 {
                break;
            }
            self.lines += 1;
            let text = line.trim_ascii_end();
            let is_chained = claimed.is_some_and(|before| journal::follows(text, before));
            claimed = journal::claimed_hash(text);
            if number < intact {
                continue;
            }
            let Ok(Loose { serial, at, event }) = serde_json::from_slice(text) else { continue };
            if let Some(found) = event.format().filter(|format| *format > FORMAT) {
                return Err(StoreError::Newer { found, known: FORMAT });
            }
            self.last = self.last.max(serial);
            self.begin_without_beginning(serial);
            let entry = Entry { serial, at, event };
            if is_chained {
                self.take(&entry);
            } else {
                self.hold(&entry);
            }
            self.past.push((entry.without_secrets(), claimed.unwrap_or(Hash::ZERO)));
        }
        Ok(())
    }

    /// Where the first line is gone, the state begins with what else tells its lineage.
    fn begin_without_beginning(&mut self, serial: Serial) {
        if let (None, Some(lineage)) = (&self.state, &self.lineage) {
            self.state = Some(State::new(lineage.clone(), serial, FORMAT));
        }
    }

    /// An entry that nothing vouches for: nothing is concluded from it but that its name is not free.
    fn hold(&mut self, entry: &Entry) {
        if entry.event.attempt().is_none() || matches!(entry.event, Event::AdoptedDoubt { .. }) {
            self.note_unsure(&entry.event);
            return;
        }
        let Some(mut state) = self.state.take() else { return };
        state.expect_restored(false);
        let event = match (&entry.event, entry.event.attempt()) {
            (Event::Intent { .. }, _) => {
                self.lead_to(&mut state, entry);
                Some(entry.event.clone())
            }
            (event, Some(attempt)) => {
                let record = state.name_of_attempt(event).and_then(|name| state.record(name));
                Some(match record.map(|record| &record.phase) {
                    Some(Phase::Received(_, answer)) => concluded(attempt, *answer, &|at| self.answer(at)),
                    _ => Event::Doubted { attempt: attempt.clone(), reason: "its entries in the journal are damaged".to_owned() },
                })
            }
            _ => None,
        };
        if let Some(event) = event {
            // Of an attempt that is closed, or that nothing else tells of, there is nothing to hold.
            let _ = state.apply(&Entry { serial: state.serial.next(), at: entry.at, event });
        }
        self.state = Some(state);
    }

    /// Takes in what must have stood before `entry`, as far as that can be told.
    fn lead_to(&self, state: &mut State, entry: &Entry) {
        for _ in 0..IMPLIED_MAX {
            let events = implied(state, &entry.event, &|at| self.answer(at));
            let mut follows = |event| state.apply(&Entry { serial: state.serial.next(), at: entry.at, event }).is_ok();
            // Where it does not follow, what implies it does not either.
            if events.is_empty() || !events.into_iter().all(&mut follows) {
                return;
            }
        }
    }

    /// What the answer in an entry that the state knows as `at` proves.
    fn answer(&self, at: Serial) -> Option<Outline> {
        match &self.kept.get(&at)?.event {
            Event::Received { answer, .. } => (self.reads)(answer),
            _ => None,
        }
    }

    fn note_unsure(&mut self, event: &Event) {
        let (name, kind, attempt) = match event {
            Event::Restored { record, .. } if matches!(record.phase, Phase::Absent { .. }) => return,
            Event::Restored { record, .. } => {
                (&record.name, Some(record.kind), record.open_attempt().map(|attempt| attempt.id.clone()))
            }
            Event::Adopted { name, kind, .. } => (name, Some(*kind), None),
            Event::AdoptedDoubt { name, kind, attempt } => (name, Some(*kind), Some(attempt.clone())),
            Event::Moved { from, to } | Event::Replacing { name: from, to } => {
                let known = self.state.as_ref().and_then(|state| state.record(from)).map(|record| record.kind);
                (to, known.or_else(|| self.unsure.get(from)?.0), None)
            }
            Event::TokenSet { name, .. }
            | Event::Retiring { name, .. }
            | Event::Released { name }
            | Event::Reclaimed { name } => (name, None, None),
            _ => return,
        };
        let attempt = attempt.unwrap_or_else(|| lost_attempt(name));
        let unsure = self.unsure.entry(name.clone()).or_insert((None, attempt));
        unsure.0 = unsure.0.or(kind);
    }

    /// Names that are known of such lines only: held, for there may be a paid instance.
    fn hold_unsure(&self, state: &mut State) {
        for (name, (kind, attempt)) in &self.unsure {
            if state.record(name).is_none_or(|record| matches!(record.phase, Phase::Absent { .. })) {
                // Of a type that nobody knows any more either would do: what is held is not created.
                let kind = kind.unwrap_or(InstanceType::WhatsApp);
                self.add(state, Event::AdoptedDoubt { attempt: attempt.clone(), name: name.clone(), kind });
            }
        }
    }

    /// Takes in an entry if it follows, under the next serial.
    fn take(&mut self, entry: &Entry) {
        let old = entry.serial;
        match (&mut self.state, &entry.event) {
            (None, Event::Genesis { lineage, format }) => {
                self.state = Some(State::new(lineage.clone(), old, *format));
            }
            (None, Event::Checkpoint(checkpoint)) => {
                // Its records come one by one, as far as they are left.
                let whole = crate::state::Checkpoint { entries: u64::MAX, ..checkpoint.clone() };
                self.state = Some(State::from_checkpoint(&whole, old));
                self.before = checkpoint.after.serial.0;
                self.keys_at = old;
                self.rebuilt_at = checkpoint.lost.map_or(Serial(0), |_| old);
                self.history.clone_from(&checkpoint.history);
            }
            (None, _) => return,
            (known @ Some(_), event) => {
                let Some(mut state) = known.take() else { return };
                let is_restored = matches!(event, Event::Restored { .. } | Event::RestoredFence { .. });
                state.expect_restored(is_restored);
                self.lead_to(&mut state, entry);
                let event = proven(&state, &entry.event).unwrap_or_else(|| self.renumbered_event(entry.event.clone()));
                let entry = Entry { serial: state.serial.next(), at: entry.at, event };
                let touched = state.touched(&entry.event);
                let has_followed = !self.is_anothers(&state, old, &entry)
                    && (state.apply(&entry).is_ok() || self.protect_each(&mut state, &entry));
                self.state = Some(state);
                if !has_followed {
                    self.note_unsure(&entry.event);
                    self.astray.push((old, entry));
                    return;
                }
                self.renumbered.insert(old, entry.serial);
                self.touched.extend(touched.into_iter().map(|name| (name, old)));
                if matches!(entry.event, Event::Recipients { .. }) {
                    self.keys_at = old;
                }
                match entry.event {
                    Event::Restored { kept, .. } => {
                        self.kept.extend(kept.into_iter().map(|entry| (entry.serial, entry)));
                    }
                    Event::Received { .. } | Event::TokenSet { .. } | Event::Created { .. } => {
                        self.kept.insert(entry.serial, entry);
                    }
                    _ => {}
                }
            }
        }
        self.read += 1;
        self.last = self.last.max(old);
    }

    /// `event` with the serials that it names as the state knows them.
    fn renumbered_event(&self, mut event: Event) -> Event {
        let now = |old: Option<Serial>| old.map(|old| self.renumbered.get(&old).copied().unwrap_or(old));
        match &mut event {
            Event::Intent { fence, .. } => *fence = now(*fence),
            Event::Created { token_in, .. } => *token_in = now(*token_in),
            _ => {}
        }
        event
    }

    /// Lines may be gone that said that these were sent. An answer that proves the instance leads to nothing else; after any other one
    /// nobody knows what came.
    fn conclude_what_was_begun(&self, state: &mut State) {
        state.expect_restored(false);
        let reason = || "it was begun, and the journal was damaged afterwards".to_owned();
        let doubted = |attempt: &AttemptId| Event::Doubted { attempt: attempt.clone(), reason: reason() };
        let begun = state.records().values().filter_map(|record| match &record.phase {
            Phase::Intent(attempt) => Some((attempt.id.clone(), doubted(&attempt.id))),
            Phase::Received(attempt, answer) => {
                let proven = concluded(&attempt.id, *answer, &|at| self.answer(at));
                let is_proof = matches!(proven, Event::Created { .. });
                Some((attempt.id.clone(), if is_proof { proven } else { doubted(&attempt.id) }))
            }
            _ => None,
        });
        for (attempt, event) in begun.collect::<Vec<_>>() {
            if !self.add(state, event) {
                // Another name has its id.
                self.add(state, doubted(&attempt));
            }
        }
    }

    /// Whether `event` followed.
    fn add(&self, state: &mut State, event: Event) -> bool {
        let entry = Entry { serial: state.serial.next(), at: self.at, event };
        state.format = state.format.max(FORMAT);
        state.apply(&entry).is_ok()
    }
}

#[cfg(test)]
mod tests;
