//! Looks at everything that a state consists of and says what is wrong with it. Changes nothing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufReader;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::file::{JOURNAL, check_lock, missing, witnesses};
use super::{LockFile, LockFileError, history, journal, place, read_entries, referred, sled};
use crate::seal::{KeyId, Recipient};
use crate::state::{Head, State};
use crate::text::counted;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Good,
    /// Works, and should be mended.
    Warning,
    /// Nothing may be created from it.
    Error,
}

/// What was seen of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The part: `journal`, `index`, `tokens`, `lock file`, `history`, `files`.
    pub part: &'static str,
    /// How bad.
    pub severity: Severity,
    /// In words.
    pub message: String,
}

/// Looks at the state in `dir`.
pub fn verify(dir: &Path, lock: Result<Option<&LockFile>, &LockFileError>) -> Vec<Finding> {
    if let Err(error) = place::check(dir, place::Purpose::Look) {
        return vec![error_of("files", error.to_string())];
    }
    let index = sled::load(dir);
    let mut findings = Vec::new();
    let unreadable = lock.err();
    let lock = lock.ok().flatten();
    let state = check_journal(dir, index.as_ref().map(|(_, head)| *head), lock, &mut findings);
    check_index(dir, index, state.as_ref(), &mut findings);
    if let Some((state, _)) = &state {
        check_tokens(dir, state, &mut findings);
    }
    match (lock, &state) {
        (None, _) if unreadable.is_some() => {
            findings.extend(unreadable.map(|error| error_of("lock file", with_causes(error))));
        }
        (None, _) => findings.push(warning("lock file", "there is none: a lost state would look like a first run")),
        (Some(_), None) => {}
        (Some(lock), Some((_, head))) if lock.head() == *head => findings.push(good("lock file", "stands at the journal's head")),
        (Some(lock), Some((_, head))) => {
            let message = format!("stands at serial {}, the journal at {}: the next apply writes it", lock.serial, head.serial);
            findings.push(good("lock file", message));
        }
    }
    check_history(dir, &mut findings);
    check_files(dir, &mut findings);
    findings.extend(old_journals(dir).into_iter().map(|name| {
        warning("files", format!("{name} holds what the journal held, tokens too: delete it when it is no longer needed"))
    }));
    findings
}

fn check_journal(dir: &Path, index: Option<Head>, lock: Option<&LockFile>, findings: &mut Vec<Finding>) -> Option<(State, Head)> {
    let witnesses = witnesses(index, lock);
    let scanned = match File::open(dir.join(JOURNAL)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(missing(dir, &witnesses)),
        Err(error) => {
            findings.push(error_of("journal", format!("cannot be opened: {error}")));
            return None;
        }
        Ok(file) => journal::scan(&mut BufReader::with_capacity(1 << 18, file), &witnesses)
            .and_then(|scan| scan.ok_or_else(|| missing(dir, &witnesses)))
            .and_then(|scan| check_lock(dir, &scan.state, scan.checkpoint.as_ref(), lock).map(|()| scan)),
    };
    match scanned {
        Ok(scan) => {
            let torn = if scan.torn > 0 { ", and a part of one that was never acknowledged" } else { "" };
            let message = format!("{} up to serial {}{torn}", counted(entries(&scan), "entry", "entries"), scan.head.serial);
            findings.push(good("journal", message));
            Some((scan.state, scan.head))
        }
        Err(error) => {
            findings.push(error_of("journal", error.to_string()));
            None
        }
    }
}

fn entries(scan: &journal::Scan) -> u64 {
    let before = scan.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.after.serial.0);
    scan.head.serial.0.saturating_sub(before)
}

fn check_index(dir: &Path, index: Option<(State, Head)>, state: Option<&(State, Head)>, findings: &mut Vec<Finding>) {
    findings.push(match (index, state) {
        (None, _) if !dir.join(sled::DIR).exists() => good("index", "there is none; the next change builds it"),
        (None, _) => warning("index", "cannot be used now; the journal is read instead, and the next change builds it anew"),
        (Some((_, head)), Some((_, journal))) if head.serial < journal.serial => {
            good("index", format!("stands at serial {}, behind the journal; the next change brings it up", head.serial))
        }
        (Some(index), Some(state)) if index == *state => good("index", "equals the journal"),
        (Some(_), Some(_)) => error_of("index", "differs from the journal: delete the folder `index`, it is rebuilt".to_owned()),
        (Some((_, head)), None) => warning("index", format!("is whole and stands at serial {}", head.serial)),
    });
}

/// Whether the keys that the state seals to are the ones that open what it keeps.
fn check_tokens(dir: &Path, state: &State, findings: &mut Vec<Finding>) {
    let Ok(entries) = read_entries(dir, &referred(state)) else { return };
    let wanted: BTreeSet<KeyId> = state.recipients.iter().map(Recipient::id).collect();
    let (mut kept, mut clear, mut foreign, mut other) = (0_usize, Vec::new(), Vec::new(), Vec::new());
    for record in state.records().values() {
        for entry in record.entries().filter_map(|serial| entries.get(&serial)) {
            kept += 1;
            let name = record.name.as_str();
            match entry.event.sealed().map(|sealed| sealed.keys().cloned().collect::<BTreeSet<_>>()) {
                None if entry.event.holds_secret_in_clear() => clear.push(name),
                Some(keys) if keys.is_disjoint(&wanted) => foreign.push(name),
                Some(keys) if keys != wanted => other.push(name),
                _ => {}
            }
        }
    }
    let to = &state.recipients;
    if !clear.is_empty() && !to.is_empty() {
        let message =
            format!("{} stand in the clear, and the state seals to {to}: {}; `chatapi state rekey`", clear.len(), some(&clear));
        findings.push(warning("tokens", message));
    }
    if !foreign.is_empty() {
        let message = format!("{} are sealed to keys that the state does not name: {}", foreign.len(), some(&foreign));
        findings.push(warning(
            "tokens",
            format!("{message}; `chatapi state rekey`, or `chatapi token set NAME --replace` if such a key is lost"),
        ));
    }
    if !other.is_empty() {
        let message = format!("{} are sealed to some of the state's keys only, or to more: {}", other.len(), some(&other));
        findings.push(warning("tokens", format!("{message}; `chatapi state rekey`")));
    }
    if foreign.is_empty() && other.is_empty() && (clear.is_empty() || to.is_empty()) {
        let how = if to.is_empty() { "in the clear".to_owned() } else { format!("sealed to {to}") };
        findings.push(good("tokens", format!("{kept} kept, {how}")));
    }
}

/// The first of the names.
fn some(names: &[&str]) -> String {
    let more = if names.len() > 10 { ", …" } else { "" };
    names.iter().copied().take(10).collect::<Vec<_>>().join(", ") + more
}

/// An error and why it came to it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

fn check_history(dir: &Path, findings: &mut Vec<Finding>) {
    match history::history(dir) {
        Ok(past) if past.gaps.is_empty() => {
            findings.push(good("history", format!("{}, none missing", counted(past.entries.len(), "entry", "entries"))));
        }
        Ok(past) => findings.extend(past.gaps.into_iter().map(|gap| warning("history", gap))),
        // The journal's own finding says why.
        Err(_) => {}
    }
}

/// Copies of damaged journals that rebuilding has left.
pub fn old_journals(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().filter_map(|file| file.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| name.starts_with("journal.jsonl.damaged-")).collect();
    names.sort();
    names
}

/// Everything below the state directory is its owner's alone.
fn check_files(dir: &Path, findings: &mut Vec<Finding>) {
    let me = rustix::process::geteuid().as_raw();
    let mut wrong = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(files) = fs::read_dir(&folder) else {
            wrong.push(format!("{} cannot be listed", folder.display()));
            continue;
        };
        for path in files.flatten().map(|file| file.path()).chain([folder.clone()]) {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let name = path.file_name().unwrap_or_default();
            let is_public = name == "README.md" || name == ".gitignore";
            if metadata.is_symlink() {
                wrong.push(format!("{} is a link", path.display()));
            } else if metadata.uid() != me {
                wrong.push(format!("{} belongs to user {}", path.display(), metadata.uid()));
            } else if metadata.permissions().mode() & 0o077 != 0 && !is_public {
                wrong.push(format!("{} has mode {:04o}", path.display(), metadata.permissions().mode() & 0o7777));
            }
            if metadata.is_dir() && path != folder {
                folders.push(path);
            }
        }
    }
    if wrong.is_empty() {
        findings.push(good("files", "all are yours alone"));
    }
    findings.extend(wrong.into_iter().map(|message| warning("files", message)));
}

fn good(part: &'static str, message: impl Into<String>) -> Finding {
    Finding { part, severity: Severity::Good, message: message.into() }
}

fn warning(part: &'static str, message: impl Into<String>) -> Finding {
    Finding { part, severity: Severity::Warning, message: message.into() }
}

fn error_of(part: &'static str, message: String) -> Finding {
    Finding { part, severity: Severity::Error, message }
}
