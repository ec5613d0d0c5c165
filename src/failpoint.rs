//! Points at which a test makes the real program die, fail or wait. Compiled in by the feature `failpoints` only; without it
//! every call here is empty, and the environment is not looked at.
//!
//! `CHATAPI_FAILPOINT=point=action[@n][,point=action[@n]…]`: at the `n`-th time (default 1) that `point` is reached. Actions:
//! `kill` (SIGKILL of oneself), `abort`, `panic`, `error` (an input/output error), `full` (no space), `pause:FILE` (makes `FILE` and
//! goes on when it is gone); and `sync=lie`, a seeded defect: no sync of the journal does anything. What is done is told on standard error first.
//!
//! The timeline of one create has 22 steps; a crash *after* step n is a crash at its point:
//!
//! | step | what | point |
//! |---|---|---|
//! | 1 | lock taken | `lock-taken` |
//! | 2 | input and state read and compared | `state-opened` |
//! | 3 | what is there already is listed | `listed`, `journal-written-listed`, `journal-after-listed` |
//! | 4 | guards passed | `guards-passed`; the lock file that names what is to come: `replace-*`, `lockfile-written` |
//! | 5 | space reserved | `space-reserved` |
//! | 6 | intent | `journal-before-intent`, `journal-written-intent`, `journal-after-intent` |
//! | 7 | intent in the index | as 6: the index is written at the end of a run only |
//! | 8, 9 | name found, connected | `connecting` (before both) |
//! | 10 | TLS done, no byte of the body gone | `connected` |
//! | 11 | sent | `journal-before-sent`, `journal-written-sent`, `journal-after-sent` |
//! | 12 | first byte handed over | `body-handed` |
//! | 13, 14 | last byte handed over; the server acts | seen from outside only: the kill campaign aims at the server's deeds |
//! | 15 | answer on the wire | `answer-begun` |
//! | 16 | answer in memory | `answer-read`, `journal-before-received` |
//! | 17 | received | `journal-written-received`, `journal-after-received` |
//! | 18 | judged | `judged`, `journal-before-created` |
//! | 19 | created in the index | `index-flushed`, `index-updated`, at the end of the run |
//! | 20 | recorded | `journal-written-created`, `journal-after-created` |
//! | 21 | outputs, where some are wanted | `outputs-owed` (before 4), `output-before`, `output-written` |
//! | 22 | lock file, lines | `lockfile-before`, `replace-written`, `replace-renamed`, `lockfile-written`, `closed`, `told` |

use std::io;

/// Where in the writing of a journal entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nothing of it is written.
    Before,
    /// Its bytes are in the page cache.
    Written,
}

#[cfg(not(feature = "failpoints"))]
pub(crate) use absent::{at, entries_synced, entry, lies, pass};
#[cfg(feature = "failpoints")]
pub use present::{DELETES, RECOVERY, REPLACEMENT, SETTLEMENTS, TIMELINE};
#[cfg(feature = "failpoints")]
pub(crate) use present::{at, entries_synced, entry, lies, pass};

/// Nothing.
#[cfg(not(feature = "failpoints"))]
#[expect(clippy::unnecessary_wraps, reason = "the same signatures as with the feature")]
mod absent {
    use super::{Stage, io};

    #[inline]
    pub(crate) const fn at(_: &'static str) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub(crate) const fn pass(_: &'static str) {}

    #[inline]
    pub(crate) const fn lies() -> bool {
        false
    }

    #[inline]
    pub(crate) const fn entry(_: Stage, _: &'static str) -> io::Result<()> {
        Ok(())
    }

    #[inline]
    pub(crate) const fn entries_synced() -> io::Result<()> {
        Ok(())
    }
}

#[cfg(feature = "failpoints")]
mod present {
    use std::io::Write as _;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{LazyLock, Mutex, PoisonError};
    use std::time::Duration;

    use super::{Stage, io};

    const VARIABLE: &str = "CHATAPI_FAILPOINT";

    /// The points on the way of one create, each with the steps of the timeline that it stands for.
    pub const TIMELINE: &[(&str, &str)] = &[
        ("lock-taken", "1"),
        ("state-opened", "2"),
        ("guards-passed", "4"),
        ("lockfile-before", "4, 22"),
        ("replace-written", "4, 22"),
        ("replace-renamed", "4, 22"),
        ("lockfile-written", "4, 22"),
        ("listed", "3"),
        ("journal-written-listed", "3"),
        ("journal-after-listed", "3"),
        ("space-reserved", "5"),
        ("journal-before-intent", "5"),
        ("journal-written-intent", "6"),
        ("journal-after-intent", "6, 7"),
        ("connecting", "8, 9"),
        ("connected", "10"),
        ("journal-before-sent", "10"),
        ("journal-written-sent", "11"),
        ("journal-after-sent", "11"),
        ("body-handed", "12"),
        ("answer-begun", "15"),
        ("answer-read", "16"),
        ("journal-before-received", "16"),
        ("journal-written-received", "17"),
        ("journal-after-received", "17"),
        ("judged", "18"),
        ("journal-before-created", "18"),
        ("journal-written-created", "20"),
        ("journal-after-created", "20"),
        ("closing", "20"),
        ("index-flushed", "19"),
        ("index-updated", "19"),
        ("closed", "21, 22"),
        ("told", "22"),
    ];

    /// The points on the way of a beginning and of a recovery.
    pub const RECOVERY: &[&str] = &[
        "state-dir-made",
        "ignore-written",
        "journal-before-genesis",
        "journal-written-genesis",
        "journal-after-genesis",
        "genesis-listed",
        "half-cleared",
        "torn-found",
        "torn-cut",
        "tail-renewed",
        "journal-written-run",
        "journal-after-run",
        "journal-written-unsent",
        "journal-after-unsent",
        "recover-left",
        "recover-settled",
        "index-removed",
    ];

    /// The points on the way of the outputs that an apply was told to write.
    const OUTPUTS: &[&str] = &["outputs-owed", "output-before", "output-written"];

    /// The points on the way of the commands that take care of names and tokens.
    const CARE: &[&str] = &[
        "journal-written-moved",
        "journal-after-moved",
        "journal-written-released",
        "journal-after-released",
        "journal-written-recipients",
        "journal-after-recipients",
        "journal-written-token_set",
        "journal-after-token_set",
        "between-lists",
        "journal-written-gone",
        "journal-after-gone",
    ];

    /// The points on the way of one delete.
    pub const DELETES: &[&str] = &[
        "journal-before-retiring",
        "journal-written-retiring",
        "journal-after-retiring",
        "delete-begun",
        "journal-before-retire_sent",
        "journal-written-retire_sent",
        "journal-after-retire_sent",
        "delete-sent",
        "delete-answered",
        "delete-judged",
        "journal-before-retired",
        "journal-written-retired",
        "journal-after-retired",
    ];

    /// The points on the way of what a manifest settles before anything is created.
    pub const SETTLEMENTS: &[&str] = &[
        "settle-begun",
        "journal-before-resolved",
        "journal-written-resolved",
        "journal-before-moved",
        "journal-written-moved",
        "journal-before-adopted",
        "journal-written-adopted",
        "settle-noted",
        "journal-after-resolved",
        "journal-after-moved",
        "journal-after-adopted",
        "settled",
    ];

    /// The points on the way of a replacement, beside those of a create and of a delete.
    pub const REPLACEMENT: &[&str] = &[
        "journal-before-replacing",
        "journal-written-replacing",
        "journal-after-replacing",
        "set-aside",
        "moving-back",
        "replaced",
    ];

    #[derive(Debug)]
    enum Action {
        Kill,
        Abort,
        Panic,
        Error(io::ErrorKind),
        Pause(PathBuf),
        Lie,
    }

    #[derive(Debug)]
    struct Rule {
        point: String,
        action: Action,
        nth: u32,
        hits: AtomicU32,
    }

    static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| {
        let text = std::env::var(VARIABLE).unwrap_or_default();
        text.split(',').filter(|rule| !rule.is_empty()).map(|rule| Rule::parse(rule).unwrap_or_else(|| refuse(rule))).collect()
    });
    /// Entries that the next sync makes durable.
    static UNSYNCED: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());

    /// A campaign with a misspelt rule would prove nothing.
    fn refuse(rule: &str) -> ! {
        tell(format_args!("{VARIABLE} has no rule `{rule}`"));
        std::process::abort()
    }

    fn tell(line: std::fmt::Arguments<'_>) {
        // Nobody is left to tell.
        let _ = writeln!(io::stderr(), "failpoint: {line}");
    }

    impl Rule {
        fn parse(text: &str) -> Option<Self> {
            let (point, rest) = text.split_once('=')?;
            let (action, nth) = match rest.rsplit_once('@') {
                Some((action, nth)) => (action, nth.parse().ok()?),
                None => (rest, 1),
            };
            let action = match action {
                "kill" => Action::Kill,
                "abort" => Action::Abort,
                "panic" => Action::Panic,
                "error" => Action::Error(io::ErrorKind::Other),
                "lie" => Action::Lie,
                "full" => Action::Error(io::ErrorKind::StorageFull),
                other => Action::Pause(PathBuf::from(other.strip_prefix("pause:")?)),
            };
            let known = TIMELINE
                .iter()
                .map(|(name, _)| name)
                .chain(RECOVERY)
                .chain(OUTPUTS)
                .chain(CARE)
                .chain(DELETES)
                .chain(SETTLEMENTS)
                .chain(REPLACEMENT);
            let is_known = known.chain([&"sync"]).any(|name| *name == point);
            is_known.then(|| Self { point: point.to_owned(), action, nth, hits: AtomicU32::new(0) })
        }

        fn hit(&self) -> io::Result<()> {
            if self.hits.fetch_add(1, Ordering::SeqCst) + 1 != self.nth {
                return Ok(());
            }
            tell(format_args!("{}: {:?}", self.point, self.action));
            match &self.action {
                Action::Kill => kill(),
                Action::Abort => std::process::abort(),
                Action::Panic => std::panic::panic_any(format!("BUG: wanted at the failpoint {}", self.point)),
                Action::Error(kind) => Err(io::Error::new(*kind, format!("wanted at the failpoint {}", self.point))),
                Action::Pause(file) => pause(file),
                Action::Lie => Ok(()),
            }
        }
    }

    fn kill() -> ! {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        std::process::abort()
    }

    fn pause(file: &Path) -> io::Result<()> {
        std::fs::write(file, [])?;
        while file.exists() {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        Ok(())
    }

    fn reach(point: &str) -> io::Result<()> {
        RULES.iter().filter(|rule| rule.point == point).try_for_each(Rule::hit)
    }

    /// The point `point` is reached; an error is to be taken for one of what was done just before.
    pub(crate) fn at(point: &'static str) -> io::Result<()> {
        reach(point)
    }

    /// [`at`] where nothing can fail.
    pub(crate) fn pass(point: &'static str) {
        // An error has no place here.
        let _ = reach(point);
    }

    /// Whether a sync of the journal is to do nothing and say that it did: the rule `sync=lie`, a seeded defect.
    pub(crate) fn lies() -> bool {
        RULES.iter().any(|rule| matches!(rule.action, Action::Lie))
    }

    /// An entry of the journal is at `stage`.
    pub(crate) fn entry(stage: Stage, word: &'static str) -> io::Result<()> {
        if RULES.is_empty() {
            return Ok(());
        }
        match stage {
            Stage::Before => reach(&format!("journal-before-{word}")),
            Stage::Written => {
                UNSYNCED.lock().unwrap_or_else(PoisonError::into_inner).push(word);
                reach(&format!("journal-written-{word}"))
            }
        }
    }

    /// All entries that were written are durable: `journal-after-…` for each.
    pub(crate) fn entries_synced() -> io::Result<()> {
        let words = std::mem::take(&mut *UNSYNCED.lock().unwrap_or_else(PoisonError::into_inner));
        words.iter().try_for_each(|word| reach(&format!("journal-after-{word}")))
    }
}
