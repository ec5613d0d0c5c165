//! The journal's lines: how an entry becomes bytes, how the chain over them is computed, and how they are read back.
//!
//! A line is the entry's JSON with `"hash"` as its last member. The hash is SHA-256 over the previous hash and the line's bytes
//! before that member, so that a changed, missing, doubled or reordered line is seen. This module knows bytes, not files: the
//! file is behind [`Medium`].
//!
//! Only the last line may be incomplete: a write that a kill or a full disk cut short, which nobody was ever told is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead};

use ring::digest;
use serde::Deserialize;

use super::{Behind, StoreError};
use crate::state::{Checkpoint, Entry, Event, FORMAT, Hash, Head, Lineage, Serial, State};

/// Between the entry's JSON and the hash.
const BEFORE_HASH: &[u8] = b",\"hash\":\"";
/// After the hash.
const AFTER_HASH: &[u8] = b"\"}";
/// Longer than any line that was ever written: an answer of 1 MiB as base64, and room.
pub(super) const LINE_MAX: u64 = 4 * 1_024 * 1_024;

/// How a line begins that holds entries of an earlier journal: looked for before the line is read in full.
const RESTORED: &[u8] = b"\"event\":{\"restored\"";
/// Before it stand a serial and a time.
const RESTORED_WITHIN: usize = 128;

/// The journal's bytes, wherever they are. [`super::DiskMedium`] is the real one; tests have one that fails and forgets.
pub trait Medium: Send + std::fmt::Debug {
    /// Reads from the beginning.
    fn reader(&self) -> io::Result<Box<dyn BufRead + '_>>;

    /// Writes all of `bytes` at the end, or fails having written a part of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Shortens to `length` bytes and gives reserved space back.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Makes sure that `bytes` more can be written after `length`.
    fn reserve(&mut self, length: u64, bytes: u64) -> io::Result<()>;

    /// Writes the bytes from `from` up to `to` once more, as they are read, so that the next sync takes them to the disk
    /// whatever became of an earlier one: after a failed fsync the kernel may call pages clean that never got there.
    fn renew(&mut self, from: u64, to: u64) -> io::Result<()>;

    /// Everything appended survives a power cut once this returns.
    fn sync(&mut self) -> io::Result<()>;
}

/// A copy of a journal's head kept elsewhere: the journal must contain it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// What it is, for the error.
    pub name: &'static str,
    /// What it saw.
    pub head: Head,
    /// The lineage of what it saw, where it tells.
    pub lineage: Option<Lineage>,
}

impl Witness {
    fn contradicts(&self, head: Head, lineage: &Lineage) -> Result<(), StoreError> {
        if self.head.serial == head.serial && self.head.hash != head.hash {
            return Err(Behind::apart(lineage, self).into());
        }
        Ok(())
    }
}

/// What a journal holds.
#[derive(Debug)]
pub(super) struct Scan {
    pub(super) state: State,
    pub(super) head: Head,
    /// Bytes up to the end of the last intact line.
    pub(super) length: u64,
    /// Of those, bytes of the checkpoint that it begins with.
    pub(super) base: u64,
    /// The first entry, if it is a checkpoint.
    pub(super) checkpoint: Option<Checkpoint>,
    /// Bytes up to the newest entry that a witness has seen: they were durable then.
    pub(super) vouched: u64,
    /// Bytes after it that a cut-short write left.
    pub(super) torn: u64,
    /// The last line is intact but for its line feed.
    pub(super) lacks_newline: bool,
}

/// The next line's bytes, line feed included, and its hash.
pub(super) fn encode(entry: &Entry, before: Hash) -> Result<(Vec<u8>, Hash), serde_json::Error> {
    let mut line = serde_json::to_vec(entry)?;
    line.pop();
    let hash = chain(before, &line);
    line.extend_from_slice(BEFORE_HASH);
    line.extend_from_slice(hash.to_string().as_bytes());
    line.extend_from_slice(AFTER_HASH);
    line.push(b'\n');
    Ok((line, hash))
}

fn chain(before: Hash, payload: &[u8]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&before.0);
    context.update(payload);
    let mut hash = Hash::ZERO;
    hash.0.copy_from_slice(context.finish().as_ref());
    hash
}

/// The hash that `line` (without line feed) carries, if it is the right one after `before`.
fn verify(line: &[u8], before: Hash) -> Option<Hash> {
    let rest = line.strip_suffix(AFTER_HASH)?;
    let (rest, digits) = rest.split_at_checked(rest.len().checked_sub(64)?)?;
    let payload = rest.strip_suffix(BEFORE_HASH)?;
    let carried = Hash::from_hex(digits)?;
    (chain(before, payload) == carried).then_some(carried)
}

/// The hash that `line` ends with, whether it is the right one or not.
pub(super) fn claimed_hash(line: &[u8]) -> Option<Hash> {
    let rest = line.strip_suffix(AFTER_HASH)?;
    Hash::from_hex(rest.get(rest.len().checked_sub(64)?..)?)
}

/// Whether `line` is what was written after an entry with the hash `before`.
pub(super) fn follows(line: &[u8], before: Hash) -> bool {
    verify(line, before).is_some()
}

/// What a line says of itself.
#[derive(Deserialize)]
struct Claim {
    serial: Serial,
    hash: Option<Hash>,
}

/// The head that the last complete line of `tail` claims, unverified.
pub(super) fn claimed_head(tail: &[u8]) -> Option<Head> {
    let complete = tail.strip_suffix(b"\n")?;
    let line = complete.rsplit(|byte| *byte == b'\n').next()?;
    let claim: Claim = serde_json::from_slice(line).ok()?;
    Some(Head { serial: claim.serial, hash: claim.hash? })
}

/// One line as it was read.
enum Line {
    End,
    Intact(Hash, u64),
    /// With the bytes that stand in the place of its line feed.
    LacksNewline(Hash, u64, u64),
    Torn(u64),
}

struct Lines<'a> {
    from: &'a mut dyn BufRead,
    buffer: Vec<u8>,
    head: Hash,
    number: u64,
}

impl Lines<'_> {
    fn next(&mut self) -> Result<Line, StoreError> {
        self.buffer.clear();
        let mut limited = io::Read::take(&mut *self.from, LINE_MAX);
        let read = limited.read_until(b'\n', &mut self.buffer).map_err(StoreError::io("read", "the journal"))?;
        self.number += 1;
        let length = read as u64;
        if read == 0 {
            return Ok(Line::End);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
            let hash = verify(&self.buffer, self.head).ok_or_else(|| self.damaged("its bytes do not match its hash"))?;
            return Ok(Line::Intact(hash, length));
        }
        if length == LINE_MAX {
            return Err(self.damaged("it has no end"));
        }
        if let Some(hash) = verify(&self.buffer, self.head) {
            return Ok(Line::LacksNewline(hash, length, 0));
        }
        if let Some((last, rest)) = self.buffer.split_last()
            && let Some(hash) = verify(rest, self.head)
        {
            // A power cut can leave a file's new length without its last byte, which is zero then.
            if *last != 0 {
                return Err(self.damaged("its line feed was changed"));
            }
            self.buffer.pop();
            return Ok(Line::LacksNewline(hash, length - 1, 1));
        }
        Ok(Line::Torn(length))
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::Damaged { line: self.number, why: why.to_owned() }
    }

    fn entry(&self) -> Result<Entry, StoreError> {
        serde_json::from_slice(&self.buffer).map_err(|error| self.damaged(&format!("it is no entry of format {FORMAT}: {error}")))
    }
}

/// Reads a journal from its beginning, verifying each line and each step, and that it contains what `witnesses` saw.
///
/// `None`: it holds no entry at all, whatever they saw.
pub(super) fn scan(from: &mut dyn BufRead, witnesses: &[Witness]) -> Result<Option<Scan>, StoreError> {
    let mut lines = Lines { from, buffer: Vec::new(), head: Hash::ZERO, number: 0 };
    let mut scan: Option<Scan> = None;
    let mut torn = 0;
    loop {
        let (hash, length, lacks_newline) = match lines.next()? {
            Line::End => break,
            Line::Torn(length) => {
                torn = length;
                break;
            }
            Line::Intact(hash, length) => (hash, length, false),
            Line::LacksNewline(hash, length, instead) => {
                torn = instead;
                (hash, length, true)
            }
        };
        let entry = lines.entry()?;
        lines.head = hash;
        scan = Some(extend(scan, &entry, lines.number, Head { serial: entry.serial, hash }, length)?);
        if let Some(scan) = &mut scan {
            scan.lacks_newline = lacks_newline;
            if witnesses.iter().any(|witness| witness.head == scan.head) {
                scan.vouched = scan.length;
            }
            if let Some(Checkpoint { after, .. }) = &scan.checkpoint {
                witnesses.iter().try_for_each(|witness| witness.contradicts(*after, &scan.state.lineage))?;
            }
            witnesses.iter().try_for_each(|witness| witness.contradicts(scan.head, &scan.state.lineage))?;
        }
    }
    if let Some(scan) = &mut scan {
        scan.torn = torn;
        if scan.checkpoint.is_some() {
            // It was synced before it was put in the old journal's place.
            scan.vouched = scan.vouched.max(scan.base);
        }
        if scan.state.is_incomplete() {
            return Err(lines.damaged("the checkpoint that it begins with is not complete"));
        }
    }
    if let Some(Scan { head: Head { serial: end, .. }, state, .. }) = &scan
        && let Some(ahead) = witnesses.iter().find(|witness| witness.head.serial > *end)
    {
        return Err(Behind::older(&state.lineage, *end, ahead).into());
    }
    Ok(scan)
}

fn extend(scan: Option<Scan>, entry: &Entry, line: u64, head: Head, length: u64) -> Result<Scan, StoreError> {
    if let Some(found) = entry.event.format().filter(|format| *format > FORMAT) {
        return Err(StoreError::Newer { found, known: FORMAT });
    }
    if let Some(mut scan) = scan {
        scan.state.apply(entry).map_err(|source| StoreError::Inconsistent { line, source })?;
        scan.head = head;
        scan.length += length;
        if matches!(entry.event, Event::Restored { .. } | Event::RestoredFence { .. }) {
            scan.base = scan.length;
        }
        return Ok(scan);
    }
    let (state, checkpoint) = match &entry.event {
        Event::Genesis { format, lineage } if entry.serial == Serial(1) => {
            (State::new(lineage.clone(), entry.serial, *format), None)
        }
        Event::Checkpoint(checkpoint) if entry.serial == checkpoint.after.serial.next() => {
            (State::from_checkpoint(checkpoint, entry.serial), Some(checkpoint.clone()))
        }
        _ => return Err(StoreError::Damaged { line, why: "it does not begin a state".to_owned() }),
    };
    Ok(Scan { state, head, length, base: length, checkpoint, vouched: 0, torn: 0, lacks_newline: false })
}

/// The entries with these serials, wherever they are: as lines, or kept in a checkpoint. Everything read is verified.
pub(super) fn find(from: &mut dyn BufRead, wanted: &BTreeSet<Serial>) -> Result<BTreeMap<Serial, Entry>, StoreError> {
    let mut lines = Lines { from, buffer: Vec::new(), head: Hash::ZERO, number: 0 };
    let mut found = BTreeMap::new();
    while found.len() < wanted.len() {
        match lines.next()? {
            Line::End | Line::Torn(_) => break,
            Line::Intact(hash, _) | Line::LacksNewline(hash, ..) => lines.head = hash,
        }
        let claim: Claim = serde_json::from_slice(&lines.buffer).map_err(|error| lines.damaged(&error.to_string()))?;
        if wanted.contains(&claim.serial) {
            found.insert(claim.serial, lines.entry()?);
        } else if lines.buffer.windows(RESTORED.len()).take(RESTORED_WITHIN).any(|window| window == RESTORED)
            && let Event::Restored { kept, .. } = lines.entry()?.event
        {
            found.extend(kept.into_iter().filter(|entry| wanted.contains(&entry.serial)).map(|entry| (entry.serial, entry)));
        }
    }
    match wanted.iter().find(|serial| !found.contains_key(serial)) {
        Some(missing) => Err(StoreError::NoEntry(*missing)),
        None => Ok(found),
    }
}

/// Every entry with its hash, as far as the file is intact; and what is wrong behind that.
pub(super) fn entries(
    from: &mut dyn BufRead,
    each: &mut dyn FnMut(Entry, Hash) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut lines = Lines { from, buffer: Vec::new(), head: Hash::ZERO, number: 0 };
    loop {
        let hash = match lines.next()? {
            Line::End | Line::Torn(_) => return Ok(()),
            Line::Intact(hash, _) | Line::LacksNewline(hash, ..) => hash,
        };
        lines.head = hash;
        each(lines.entry()?, hash)?;
    }
}
