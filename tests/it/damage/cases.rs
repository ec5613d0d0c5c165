//! Every damage that is done, and to which copies.

use super::intact::{Files, Intact, LOCK};

pub(super) const JOURNAL: &str = "state/journal.jsonl";
/// The newest part of a file, of which every bit is changed.
const NEWEST: usize = 4_096;
/// Bits further up, drawn by the dice.
const ELSEWHERE: usize = 10_000;

/// Which copies are there besides the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copies {
    All,
    NoLockFile,
    NoIndex,
    Neither,
}

/// Whose files are put in the place of the right ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Older,
    Foreign,
}

/// Which files are replaced or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece {
    Journal,
    Index,
    State,
}

/// One damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Damage {
    Flip { file: String, bit: usize },
    Cut { file: String, length: usize },
    Zero { file: String, at: usize, length: usize },
    Replace(Piece, From),
    Missing(Piece),
    MissingFile(String),
    Stray(String),
}

impl Damage {
    /// Does it to `files`.
    pub(super) fn strike(&self, files: &mut Files, intact: &Intact) {
        match self {
            Self::Flip { file, bit } => files.get_mut(file).unwrap()[bit / 8] ^= 1 << (bit % 8),
            Self::Cut { file, length } => files.get_mut(file).unwrap().truncate(*length),
            Self::Zero { file, at, length } => {
                let bytes = files.get_mut(file).unwrap();
                let end = bytes.len().min(at + length);
                bytes[*at..end].fill(0);
            }
            Self::Replace(piece, from) => {
                let other = if *from == From::Older { &intact.older } else { &intact.foreign };
                files.retain(|path, _| !piece.has(path));
                files.extend(other.iter().filter(|(path, _)| piece.has(path)).map(|(path, bytes)| (path.clone(), bytes.clone())));
            }
            Self::Missing(piece) => files.retain(|path, _| !piece.has(path)),
            Self::MissingFile(file) => drop(files.remove(file)),
            Self::Stray(file) => drop(files.insert(file.clone(), b"half of something".to_vec())),
        }
    }

    pub(super) fn hits_journal(&self) -> bool {
        match self {
            Self::Flip { file, .. } | Self::Cut { file, .. } | Self::Zero { file, .. } | Self::MissingFile(file) => {
                file == JOURNAL
            }
            Self::Replace(piece, _) | Self::Missing(piece) => *piece != Piece::Index,
            Self::Stray(_) => false,
        }
    }

    pub(super) fn hits_index(&self) -> bool {
        match self {
            Self::Flip { file, .. } | Self::Cut { file, .. } | Self::Zero { file, .. } | Self::MissingFile(file) => {
                Piece::Index.has(file)
            }
            Self::Replace(piece, _) | Self::Missing(piece) => *piece != Piece::Journal,
            Self::Stray(file) => Piece::Index.has(file),
        }
    }

    pub(super) fn hits_lock_file(&self) -> bool {
        match self {
            Self::Flip { file, .. } | Self::Cut { file, .. } | Self::Zero { file, .. } | Self::MissingFile(file) => file == LOCK,
            _ => false,
        }
    }
}

impl Piece {
    fn has(self, path: &str) -> bool {
        match self {
            Self::Journal => path == JOURNAL,
            Self::Index => path.starts_with("state/index/"),
            Self::State => path.starts_with("state/"),
        }
    }
}

/// Every case there is.
pub(super) fn all(intact: &Intact, dice: &mut fastrand::Rng) -> Vec<(Copies, Damage)> {
    let mut cases = Vec::new();
    for (file, bytes) in &intact.files {
        let copies: &[Copies] = match file.as_str() {
            JOURNAL => &[Copies::All, Copies::NoLockFile, Copies::NoIndex, Copies::Neither],
            LOCK => &[Copies::All, Copies::NoIndex],
            _ => &[Copies::All, Copies::NoLockFile],
        };
        for copies in copies {
            cases.extend(of_file(file, bytes, dice).into_iter().map(|damage| (*copies, damage)));
        }
    }
    for copies in [Copies::All, Copies::NoLockFile, Copies::NoIndex, Copies::Neither] {
        for piece in [Piece::Journal, Piece::Index, Piece::State] {
            let replaced = [From::Older, From::Foreign].map(|from| Damage::Replace(piece, from));
            cases.extend(replaced.into_iter().chain([Damage::Missing(piece)]).map(|damage| (copies, damage)));
        }
        let strays =
            ["index/snap.0000000000000000.generating", "index/snap.00000000FFFFFFFF", "index/snap.", "journal.jsonl.new"];
        cases.extend(strays.map(|stray| (copies, Damage::Stray(format!("state/{stray}")))));
        cases.push((copies, Damage::Stray(format!("{LOCK}.new"))));
    }
    cases.retain(|(copies, damage)| {
        let has_index = matches!(copies, Copies::All | Copies::NoLockFile);
        has_index || !matches!(damage, Damage::Stray(file) if file.contains("index")) && *damage != Damage::Missing(Piece::Index)
    });
    cases
}

fn of_file(file: &str, bytes: &[u8], dice: &mut fastrand::Rng) -> Vec<Damage> {
    // sled's file is zero from its last record on.
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let newest = used.saturating_sub(NEWEST);
    let elsewhere = bytes.len() - (used - newest);
    let mut bits: Vec<usize> = (newest * 8..used * 8).collect();
    bits.extend((0..ELSEWHERE.min(elsewhere * 8)).map(|_| match dice.usize(0..elsewhere * 8) {
        bit if bit < newest * 8 => bit,
        bit => bit + (used - newest) * 8,
    }));
    let file = || file.to_owned();
    let mut all: Vec<Damage> = bits.into_iter().map(|bit| Damage::Flip { file: file(), bit }).collect();
    all.extend((0..used.min(bytes.len())).map(|length| Damage::Cut { file: file(), length }));
    for length in [16, 512, 4_096] {
        all.extend((0..used).step_by(length).map(|at| Damage::Zero { file: file(), at, length }));
    }
    all.push(Damage::MissingFile(file()));
    all
}
