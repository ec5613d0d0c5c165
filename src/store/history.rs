//! What happened, from the first entry on: the files of `state/history`, then the journal. Shown to people; nothing is decided
//! by it.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Write};
use std::path::Path;

use ring::digest::{Context, SHA256, digest};
use serde::{Deserialize, Serialize};

use super::file::JOURNAL;
use super::{StoreError, disk, journal, place};
use crate::state::{Checkpoint, Entry, Event, Hash, History, Serial, State};
use crate::text::counted;

pub(super) const DIR: &str = "history";
/// Files longer than this were not written by a rotation.
const FILE_MAX: u64 = 1 << 30;

/// One line of a history file: an entry without secrets, and its hash in the journal that it was in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    #[serde(flatten)]
    pub(super) entry: Entry,
    pub(super) hash: Hash,
}

/// The name of the history file that ends at `last`.
pub(super) fn file_name(last: Serial) -> String {
    format!("until-{:012}.jsonl", last.0)
}

/// Takes in one entry with its hash.
pub(super) type Put<'a> = dyn FnMut(Entry, Hash) -> Result<(), StoreError> + 'a;

/// Keeps the entries that `copy` hands over as the history until `last`, without their secrets.
pub(super) fn write(
    dir: &Path,
    last: Serial,
    copy: &mut dyn FnMut(&mut Put<'_>) -> Result<(), StoreError>,
) -> Result<History, StoreError> {
    let folder = dir.join(DIR);
    disk::make_private_dir(&folder).map_err(StoreError::io("make", &folder))?;
    let file = file_name(last);
    let path = folder.join(&file);
    let mut sum = Context::new(&SHA256);
    let written = disk::replace_with(&path, 0o600, |to| {
        let mut to = BufWriter::new(to);
        let copied = copy(&mut |entry, hash| {
            let line = serde_json::to_vec(&Line { entry: entry.without_secrets(), hash });
            let mut line = line.map_err(|error| StoreError::io("encode for", "the history")(error.into()))?;
            line.push(b'\n');
            sum.update(&line);
            to.write_all(&line).map_err(StoreError::io("write", "the history"))
        });
        copied.map_err(std::io::Error::other)?;
        to.flush()
    });
    written.map_err(StoreError::io("write", &path))?;
    let mut hash = Hash::ZERO;
    hash.0.copy_from_slice(sum.finish().as_ref());
    Ok(History { file, sum: hash })
}

/// Everything that is left of the past.
#[derive(Debug, Default)]
pub struct Past {
    /// The entries, in order; none of them has a secret.
    pub entries: Vec<Entry>,
    /// What is missing or was changed, in words.
    pub gaps: Vec<String>,
}

/// Reads the past of the state in `dir`.
pub fn history(dir: &Path) -> Result<Past, StoreError> {
    place::check(dir, place::Purpose::Look)?;
    let mut past = Past::default();
    let mut current = Vec::new();
    let mut checkpoint = None;
    let path = dir.join(JOURNAL);
    let mut file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(StoreError::Absent(dir.to_owned())),
        opened => BufReader::new(opened.map_err(StoreError::io("open", &path))?),
    };
    let read = journal::entries(&mut file, &mut |entry, _| {
        if let Event::Checkpoint(found) = &entry.event {
            checkpoint = Some(found.clone());
        }
        if !matches!(entry.event, Event::Restored { .. } | Event::RestoredFence { .. }) {
            current.push(entry.without_secrets());
        }
        Ok(())
    });
    if let Err(error) = read {
        past.gaps.push(error.to_string());
    }
    let mut earlier = Vec::new();
    let mut next = checkpoint;
    while let Some(Checkpoint { lost, history, after, .. }) = next.clone() {
        if let Some(lost @ 1..) = lost {
            let lost = counted(lost, "entry", "entries");
            past.gaps.push(format!("{lost} up to serial {} could not be read: the journal was damaged", after.serial));
        }
        let Some(History { file, sum }) = history else { break };
        match one(dir, &file, sum) {
            Ok((entries, before)) => {
                earlier.push(entries);
                next = before;
            }
            Err(why) => {
                past.gaps.push(format!("{DIR}/{file} {why}"));
                break;
            }
        }
    }
    let earlier = earlier.into_iter().rev().flatten().map(|line: Line| line.entry);
    let is_told = |entry: &Entry| !matches!(entry.event, Event::Restored { .. } | Event::RestoredFence { .. });
    past.entries = earlier.filter(is_told).chain(current).collect();
    Ok(past)
}

/// The hash of the entry `serial`, from before `checkpoint`, as far as the history has it whole. What a damaged journal went on
/// from proves nothing: an entry may be in the history whose effect was lost.
pub(super) fn hash_at(dir: &Path, checkpoint: &Checkpoint, serial: Serial) -> Option<Hash> {
    let mut next = Some(checkpoint.clone());
    loop {
        let checkpoint = next.filter(|checkpoint| checkpoint.lost.is_none())?;
        if checkpoint.after.serial == serial {
            return Some(checkpoint.after.hash);
        }
        let History { file, sum } = checkpoint.history?;
        let (lines, before) = one(dir, &file, sum).ok()?;
        if let Some(line) = lines.iter().find(|line| line.entry.serial == serial) {
            return Some(line.hash);
        }
        next = before;
    }
}

/// The state at the end of a file, without what it refers to; none: the file is not whole.
pub(super) fn state_of(dir: &Path, History { file, sum }: &History) -> Option<State> {
    let (lines, _) = one(dir, file, *sum).ok()?;
    let mut lines = lines.into_iter().map(|line| line.entry);
    let first = lines.next()?;
    let mut state = match &first.event {
        Event::Genesis { lineage, format } => State::new(lineage.clone(), first.serial, *format),
        Event::Checkpoint(checkpoint) => State::from_checkpoint(checkpoint, first.serial),
        _ => return None,
    };
    lines.try_for_each(|entry| state.apply(&entry)).ok()?;
    Some(state)
}

/// One file's lines, and the checkpoint that it began with.
fn one(dir: &Path, name: &str, sum: Hash) -> Result<(Vec<Line>, Option<Checkpoint>), String> {
    if name.contains('/') {
        return Err("is no name of a file".to_owned());
    }
    let mut bytes = Vec::new();
    let opened = File::open(dir.join(DIR).join(name));
    let read = opened.and_then(|file| file.take(FILE_MAX).read_to_end(&mut bytes));
    read.map_err(|error| format!("cannot be read: {error}"))?;
    if digest(&SHA256, &bytes).as_ref() != sum.0 {
        return Err("was changed".to_owned());
    }
    let mut entries = Vec::new();
    let mut checkpoint = None;
    for line in bytes.lines() {
        let line = line.map_err(|error| error.to_string())?;
        let line: Line = serde_json::from_str(&line).map_err(|error| format!("cannot be read: {error}"))?;
        if let Event::Checkpoint(found) = &line.entry.event {
            checkpoint = Some(found.clone());
        }
        entries.push(line);
    }
    Ok((entries, checkpoint))
}
