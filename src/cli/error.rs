//! The one place where an error becomes words: what failed, why, and what to type next.

use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;

use super::context::typed;
use super::exit::Exit;
use crate::diagnostic::Diagnostics;
use crate::manifest::ProviderKind;
use crate::store::{self, Behind, Hazard, LockFile, LockFileError, StoreError, has_state};
use crate::text::escape;

/// A command that failed.
#[derive(Debug)]
pub(super) struct CliError {
    pub(super) exit: Exit,
    pub(super) content: Content,
    pub(super) hints: Vec<String>,
    /// How the state is not what a copy of its head says.
    behind: Option<Box<Behind>>,
    /// The state is there, and not readable from end to end.
    is_damaged: bool,
}

/// What is to be shown.
#[derive(Debug)]
pub(super) enum Content {
    /// A chain of messages, the outermost first.
    Chain(Vec<String>),
    /// Problems with places.
    Problems(Diagnostics),
}

impl CliError {
    /// An error with its causes.
    pub(super) fn new(exit: Exit, error: &dyn Error) -> Self {
        let mut chain = vec![escape(&error.to_string()).into_owned()];
        let mut link = error.source();
        while let Some(cause) = link {
            chain.push(escape(&cause.to_string()).into_owned());
            link = cause.source();
        }
        Self { exit, content: Content::Chain(chain), hints: Vec::new(), behind: None, is_damaged: false }
    }

    /// An error without a cause behind it.
    pub(super) fn message(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, content: Content::Chain(vec![message.into()]), hints: Vec::new(), behind: None, is_damaged: false }
    }

    /// Its first message.
    pub(super) fn first(&self) -> &str {
        match &self.content {
            Content::Chain(chain) => chain.first().map_or("", String::as_str),
            Content::Problems(_) => "the manifest has problems",
        }
    }

    /// A lock file that cannot be written. Nothing is wrong with the state.
    pub(super) fn unwritten(error: &LockFileError) -> Self {
        Self::new(Exit::Error, error)
            .hint("it needs a directory that is there, writable and not full; `--lock-file PATH` names another")
    }

    /// Adds a line that says what to do or type.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the ways out of the state in `state_dir` that cannot be used.
    pub(super) fn on(self, provider: ProviderKind, (lock_path, is_guess): (&Path, bool), state_dir: &Path) -> Self {
        let beside = lock_path.with_file_name("state");
        let is_bare = self.behind.is_some() && records_nothing(state_dir);
        // An older copy of the same state was not begun after it.
        let has_none = is_bare && matches!(self.behind.as_deref(), Some(Behind::Missing { .. } | Behind::Other { .. }));
        let is_elsewhere = is_bare && beside != *state_dir && has_state(&beside);
        let mut shown = self;
        if is_guess && shown.behind.is_some() {
            let path = lock_path.display();
            shown = shown.hint(format!(
                "the lock file that says so is {path}, which was found and not named; if it belongs to another state, name this one's: `--lock-file PATH`"
            ));
        }
        if is_elsewhere {
            shown = shown.hint(format!("there is a state beside the lock file: `--state {}`", typed(&beside)));
        }
        if has_none && has_state(state_dir) {
            let dir = state_dir.display();
            shown = shown.hint(format!("the state in {dir} records nothing: it was begun after that one, and may be put aside"));
        }
        let (from_lock, from_journal) = ("state rebuild --from-lock", "state rebuild --from journal --lock-file");
        let way = match shown.behind.as_deref() {
            // What records nothing is in nobody's way.
            Some(_) if has_none && lock_path.exists() => Some((
                "if it is lost for good, this knows the ids again; the tokens are lost, and can be set again from a file",
                from_lock,
            )),
            // A rebuild takes over no other state's lock file.
            Some(Behind::Other { .. }) => None,
            Some(Behind::Older { .. }) => Some((
                "if no newer copy is left, this keeps what this one has, its tokens too, and takes what came later from the lock file, without tokens",
                from_journal,
            )),
            None if !shown.is_damaged => None,
            _ => Some((
                "if no better copy is left, this keeps what can be read, its tokens too, and what the lock file knows",
                from_journal,
            )),
        };
        if let Some((hint, rebuild)) = way {
            shown = shown.hint(format!("{hint}: `chatapi {rebuild} {}`", typed(lock_path)));
        }
        match (shown.exit, provider) {
            (Exit::State, ProviderKind::Emulator) if is_emulators(lock_path) => {
                let hint =
                    format!("on the emulator nothing costs money: to start over, delete the state and {}", lock_path.display());
                shown.hint(hint)
            }
            _ => shown,
        }
    }

    fn damaged(self) -> Self {
        Self { is_damaged: true, ..self }
    }

    /// Puts what was attempted before the error.
    pub(super) fn context(mut self, attempted: impl Into<String>) -> Self {
        if let Content::Chain(chain) = &mut self.content {
            chain.insert(0, attempted.into());
        }
        self
    }
}

/// What to do about a state that `behind` is about; the way to rebuild it comes last.
fn out_of(shown: CliError, behind: &Behind) -> CliError {
    const NEWEST: &str = "bring the newest state directory back (a backup, a CI artifact), or name it with `--state PATH`";
    match behind {
        Behind::Missing { .. } => {
            shown.hint("nothing was sent: without it an apply would pay a second time for what already exists").hint(NEWEST)
        }
        Behind::Older { .. } => {
            shown.hint("nothing was sent: creating from an older state would pay a second time for what already exists").hint(NEWEST)
        }
        Behind::Other { expected, .. } => shown
            .hint("nothing was sent: what the other state has created would be paid for a second time")
            .hint(format!("bring the state of lineage {expected} back, or name it with `--state PATH`"))
            .hint("if this state is the right one, bring its own lock file back from version control, or name it: `--lock-file PATH`"),
        Behind::Apart { .. } => shown
            .hint("nothing was sent: two copies of one state were used, and each knows what the other does not")
            .hint("use the copy that the lock file was written by: `--state PATH`; `chatapi state verify` tells whether it is")
            .hint("if this copy is the right one, bring its own lock file back from version control"),
        Behind::Lacking { .. } => shown
            .hint("nothing was sent: creating from an older state would pay a second time for what already exists")
            .hint(NEWEST)
            .hint("if the lock file was merged by hand, bring one side of it back, whole, from version control"),
    }
}

/// Whether there is no state in `dir`, or one without a record: an `init` may have made it after the old one was lost.
fn records_nothing(dir: &Path) -> bool {
    !has_state(dir) || store::read(dir, None).is_ok_and(|reading| reading.state.records().is_empty())
}

/// Whether nothing that costs money is recorded beside the manifest: a manifest can say `emulator` of a state that is none.
fn is_emulators(lock_path: &Path) -> bool {
    let lock = LockFile::read(lock_path).ok().flatten();
    lock.is_some_and(|lock| lock.origin.is_some_and(|origin| origin.is_emulator()))
}

impl From<Diagnostics> for CliError {
    fn from(problems: Diagnostics) -> Self {
        Self { exit: Exit::Error, content: Content::Problems(problems), hints: Vec::new(), behind: None, is_damaged: false }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&StoreError> for CliError {
    fn from(error: &StoreError) -> Self {
        let exit = match error {
            StoreError::Locked { .. } => Exit::Locked,
            error if error.is_untrustworthy() => Exit::State,
            _ => Exit::Error,
        };
        let shown = Self::new(exit, error);
        match error {
            StoreError::Unsafe { path, why } => {
                let remedy = remedy(path, *why);
                remedy.into_iter().fold(shown.hint("nothing was sent"), Self::hint)
            }
            StoreError::Locked { .. } => shown
                .hint("wait for it, or let this run wait: `--lock-timeout 10m`; nothing was sent")
                .hint("a lock needs no removal: the system frees it when its holder ends"),
            StoreError::Absent(_) => shown
                .hint("if it is elsewhere, name its directory: `--state PATH`, or CHATAPI_STATE")
                .hint("only a first apply begins one; where something was created already, that would be paid for again"),
            StoreError::Behind(behind) => Self { behind: Some(Box::new(behind.clone())), ..out_of(shown, behind) },
            StoreError::Damaged { .. } | StoreError::Inconsistent { .. } => {
                shown.hint("nothing was sent; bring the newest intact copy of the state directory back").damaged()
            }
            StoreError::Receipts { path, .. } => shown
                .hint(format!("look at it, then remove it: `rm -r {}`; no token is in it", typed(path)))
                .hint("`chatapi apply --write-outputs FORMAT=FILE` then writes the outputs again"),
            StoreError::Newer { .. } => shown.hint("the state was left as it is; use that version of chatapi"),
            StoreError::Io { source, .. }
                if matches!(source.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied) =>
            {
                shown.hint("make it writable for this user, or name another state: `--state PATH`")
            }
            error if error.is_full() => shown.hint("make room on the disk (or raise the quota or limit) and run it again"),
            StoreError::Io { .. } | StoreError::Broken => {
                shown.hint("mend what the system complains of, then run it again: whatever was created before is recorded")
            }
            _ => shown,
        }
    }
}

/// Another place is named only where nothing is recorded in this one: what it has created would be created again.
fn or_elsewhere(path: &Path, remedy: String, elsewhere: &str) -> Vec<String> {
    let is_in_use = has_state(path) || path.parent().is_some_and(has_state);
    if is_in_use { vec![remedy] } else { vec![remedy, elsewhere.to_owned()] }
}

/// What to type when `path` is not safe.
fn remedy(place: &Path, why: Hazard) -> Vec<String> {
    let path = typed(place);
    match why {
        Hazard::Writable(_) => or_elsewhere(
            place,
            format!("see that its files are the ones you know, then close it: `chmod -R go-rwx {path}`"),
            "or name a directory inside it, which chatapi makes for itself: `--state DIR/state`",
        ),
        Hazard::Foreign(user) => or_elsewhere(
            place,
            format!("run it as that user (`sudo -u '#{user}' …`), or take the state over: `chown -R \"$(id -u)\" {path}`"),
            "or name a state of your own: `--state PATH`",
        ),
        Hazard::Link => {
            vec![format!("a state's files stand in its directory: look where it leads (`ls -l {path}`), then remove it")]
        }
        Hazard::Names(_) => vec![format!("make it a file of its own: `cp -p {path} {path}.own && mv {path}.own {path}`")],
        Hazard::Kind => vec![format!("look what it is (`ls -l {path}`), then remove it")],
        Hazard::FileSystem(_) => vec![
            "keep the state on a local disk: `--state PATH`".to_owned(),
            "if no other machine and no other container uses it: `--unsafe-fs`".to_owned(),
        ],
    }
}

impl From<LockFileError> for CliError {
    fn from(error: LockFileError) -> Self {
        if matches!(error, LockFileError::Two { .. }) {
            return Self::new(Exit::Error, &error)
                .hint("say one of the two; `lock_file:` in chatapi.yaml says which one an environment has");
        }
        if matches!(error, LockFileError::InState(_)) {
            return Self::new(Exit::Error, &error)
                .hint("nothing was sent and nothing was written: it would take the place of what the state keeps")
                .hint(
                    "a lock file is committed, beside the manifest: `--lock-file chatapi.lock`, or `lock_file:` in chatapi.yaml",
                );
        }
        let shown = Self::new(Exit::State, &error);
        if matches!(error, LockFileError::Absent(_)) {
            return shown
                .hint("see how its name is written (`--lock-file`, CHATAPI_LOCK_FILE), or bring it back from version control")
                .hint("an apply writes it anew, and without it nothing tells whether this state is the newest");
        }
        shown
            .hint("restore the lock file from version control; it tells a lost state from a first run")
            .hint("after a merge: take the side with the higher `serial`, whole; no line of the other belongs into it")
    }
}
