//! What a run stands on: manifest, state, lock file, the place of the state, the address, the clock.

use std::borrow::Cow;
use std::path::Path;

use jiff::Timestamp;

use super::{Check, Facts, HOSTED_WORK, LockFacts, ManifestFacts, StateFacts, Storage, Target};
use crate::text::counted;

/// When this version was made, in seconds since 1970: 2026-11-22. A clock before it is wrong.
const MADE: i64 = 1_795_305_600;
/// How far a clock may be behind the state before that is told, in seconds.
const SLACK: i64 = 300;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    [
        vec![manifest(facts), schema(facts), state(facts), lock_file(facts)],
        place(facts),
        vec![file_system(facts), url(facts), clock(facts)],
    ]
    .concat()
}

fn manifest(facts: &Facts) -> Check {
    let id = "manifest";
    let by = facts.manifest_by.as_ref().map(|by| format!(": {by}")).unwrap_or_default();
    match facts.manifest {
        ManifestFacts::Missing if facts.state_elsewhere().is_some() => {
            Check::skipped(id, "there is none here").hint("name that of the pipelines: `chatapi doctor FILE`")
        }
        ManifestFacts::Missing => Check::skipped(id, "there is none here").hint("`chatapi init` writes a first one"),
        ManifestFacts::Bad(count) => {
            let found = Check::error(id, format!("{} in it{by}", counted(count, "problem", "problems")));
            found.hint("`chatapi validate` shows each with its place")
        }
        ManifestFacts::Good { instances, is_paid, .. } => {
            let server = if is_paid { "a real server" } else { "the emulator" };
            Check::ok(id, format!("{} declared, on {server}{by}", counted(instances, "instance", "instances")))
        }
    }
}

fn schema(facts: &Facts) -> Check {
    let id = "schema";
    match facts.is_schema_current {
        None => Check::skipped(id, "no chatapi.schema.json beside the manifest: editors cannot check it"),
        Some(true) => Check::ok(id, "chatapi.schema.json is this version's"),
        Some(false) => {
            let renew = "renew it: `chatapi schema --out chatapi.schema.json`, beside the manifest";
            Check::warning(id, "chatapi.schema.json is another version's").hint(renew)
        }
    }
}

fn state(facts: &Facts) -> Check {
    let id = "state";
    match &facts.state {
        StateFacts::Absent => match facts.state_elsewhere() {
            None => {
                let hint = format!("`{} init` begins one", facts.command);
                Check::skipped(id, format!("none in {} yet", facts.place.shown)).hint(hint)
            }
            Some(theirs) => Check::skipped(id, format!("none in {}: the pipelines have theirs in `{theirs}`", facts.place.shown))
                .hint(format!("begin none here{}", at_hand(facts, &theirs))),
        },
        StateFacts::Broken { message, hint } => {
            let check = Check::error(id, message.clone());
            check.hint(hint.clone().unwrap_or_else(|| format!("`{} state verify` tells more", facts.command)))
        }
        StateFacts::Good { records, .. } => {
            let names = counted(*records, "name", "names");
            let message = format!("{} can be read and records {names}", facts.place.shown);
            let is_emulated = matches!(facts.state, StateFacts::Good { is_paid: Some(false), .. });
            match facts.other_state().filter(|theirs| !theirs.starts_with('$')) {
                None => Check::ok(id, message),
                Some(theirs) if is_emulated => Check::ok(id, format!("{message}; the pipelines have theirs in `{theirs}`")),
                Some(theirs) => {
                    let message = format!("{message}, but the pipelines have theirs in `{theirs}`: each creates what it misses");
                    Check::warning(id, message).hint(format!("apply nothing with this one{}", at_hand(facts, &theirs)))
                }
            }
        }
    }
}

/// How to look at the state of the pipelines.
fn at_hand(facts: &Facts, theirs: &str) -> String {
    let lock = facts.variable_of_pipelines("CHATAPI_LOCK_FILE");
    let lock = lock.map(|lock| format!(" --lock-file {lock}")).unwrap_or_default();
    let command = format!("chatapi --state {theirs} doctor{lock}");
    if is_plain(&command) { format!("; with theirs at hand: `{command}`") } else { String::new() }
}

/// Whether a shell takes it as it stands: it may be a text of somebody else's.
fn is_plain(command: &str) -> bool {
    command.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ./_-".contains(&byte))
}

fn lock_file(facts: &Facts) -> Check {
    let id = "lock-file";
    let has_records = matches!(facts.state, StateFacts::Good { records: 1.., .. });
    let of_git = facts.git.and_then(|git| git.lock);
    match &facts.lock {
        LockFacts::Absent if has_records => {
            facts.serious(id, "there is none beside the manifest or the state: a lost state would look like a first run").hint(
                format!("an apply writes it (`chatapi apply`), or name it: {}; then commit it", facts.named("lock_file", "PATH")),
            )
        }
        LockFacts::Absent => match (facts.state_elsewhere(), facts.variable_of_pipelines("CHATAPI_LOCK_FILE")) {
            (Some(_), Some(theirs)) => Check::skipped(id, format!("none here: the pipelines have theirs in `{theirs}`")),
            _ => Check::skipped(id, "none yet; the first apply writes it, to be committed"),
        },
        LockFacts::Bad(why) => {
            Check::error(id, why.clone()).hint("bring it back from version control: `git checkout -- chatapi.lock`")
        }
        LockFacts::Good { is_of_state: Some(false), .. } => {
            Check::error(id, "it belongs to another state than this one").hint(wrong_lock(facts))
        }
        LockFacts::Good { shown, .. } => match of_git {
            Some(git) if git.is_tracked => Check::ok(id, format!("{shown} is there and known to git")),
            Some(git) if git.is_ignored => facts
                .serious(id, format!("{shown} is ignored by git, and a clean clone would not know what exists"))
                .hint(format!("`git check-ignore -v {shown}` names the line to remove; then `git add {shown}`")),
            Some(git) => {
                let (directory, file) = shown.rsplit_once('/').unwrap_or((".", shown));
                let is_apart = git.is_apart && is_plain(shown);
                let add = if is_apart { format!("git -C {directory} add {file}") } else { format!("git add {shown}") };
                Check::warning(id, format!("{shown} is not committed: a clean clone would not know what exists"))
                    .hint(format!("`{add}`, and commit it after each apply"))
            }
            None => Check::ok(id, format!("{shown} is there")),
        },
    }
}

fn place(facts: &Facts) -> Vec<Check> {
    let id = "state-place";
    let place = &facts.place;
    if let Some(theirs) = facts.state_elsewhere() {
        return vec![Check::skipped(id, format!("none here; how `{theirs}` is kept in the pipelines: see `state-kept`"))];
    }
    let keep = &kept_elsewhere(facts);
    let mut findings = Vec::new();
    let is_told_elsewhere = |why: &str| why == HOSTED_WORK && facts.is_state_of_pipeline();
    let below = place.thrown_away.iter().filter(|(path, why)| place.absolute.starts_with(path) && !is_told_elsewhere(why));
    if let Some((path, why)) = below.max_by_key(|(path, _)| path.as_os_str().len()) {
        findings.push(facts.serious(id, format!("{} is below {}: {why}", place.shown, path.display())).hint(keep));
    }
    match place.storage {
        Storage::Memory => {
            findings
                .push(facts.serious(id, format!("{} is kept in memory, and gone with the next start", place.shown)).hint(keep));
        }
        Storage::Container => {
            let message = format!("{} is in a container's own layer, and gone with the container", place.shown);
            findings.push(
                Check::warning(id, message).hint(format!("mount a volume there, or name one: {}", facts.named("state", "DIR"))),
            );
        }
        Storage::Disk => {}
    }
    if let Some(cache) = cache_above(&place.absolute) {
        let message = format!("{} is below `{cache}`: caches are emptied by whoever needs room", place.shown);
        findings.push(facts.serious(id, message).hint(keep));
    }
    super::or(findings, || Check::ok(id, format!("{} is on a disk that stays, as far as can be seen", place.shown)))
}

/// How it comes to a place that stays. Where a lock file is, a new state would be refused: the old one has to go there.
fn kept_elsewhere(facts: &Facts) -> String {
    const HOME: &str = "/srv/chatapi";
    let place = format!("{HOME}/{}", facts.environment.as_ref().map_or("state", |(name, _)| name));
    let named = facts.named("state", &place);
    match (&facts.state, &facts.lock, &facts.environment) {
        (StateFacts::Absent, LockFacts::Absent, None) => {
            format!("begin it where it stays, for example `chatapi --state {place} init`")
        }
        (StateFacts::Absent, LockFacts::Absent, Some(_)) => {
            format!("begin it where it stays, for example {named}; then `{} init`", facts.command)
        }
        (StateFacts::Good { .. }, ..) => {
            let shown = &facts.place.shown;
            let then = if facts.environment.is_some() { named } else { format!("`export CHATAPI_STATE={place}`") };
            format!("while nothing runs, `mkdir -p {HOME} && mv {shown} {place}`, or to another place that stays; then {then}")
        }
        _ => format!("bring the state to a place that stays, and name it: {named}"),
    }
}

/// Which of the two is to be named, or brought back.
fn wrong_lock(facts: &Facts) -> String {
    let named = match &facts.environment {
        Some((name, file)) => format!("look at `state` and `lock_file` under `{name}` in {file}"),
        None => "name the state that it belongs to: `chatapi --state DIR doctor`".to_owned(),
    };
    format!("{named}; or bring the right lock file back")
}

/// The directory above it that is called a cache.
fn cache_above(path: &Path) -> Option<String> {
    let mut names = path.components().map(|part| part.as_os_str().to_string_lossy());
    names.find(|name| matches!(name.to_ascii_lowercase().as_str(), ".cache" | "cache" | "caches")).map(Cow::into_owned)
}

fn file_system(facts: &Facts) -> Check {
    let id = "file-system";
    match &facts.place.unsafe_locks {
        None => Check::ok(id, "its locks keep other processes out"),
        Some(why) => Check::error(id, why.clone()).hint(format!(
            "keep the state on a local disk: {}; if no other machine uses it: `--unsafe-fs`",
            facts.named("state", "DIR")
        )),
    }
}

fn url(facts: &Facts) -> Check {
    let id = "url";
    match &facts.url {
        Some(Ok(Target::Server)) => Check::ok(id, "CHATAPI_URL can be used"),
        Some(Ok(Target::ThisMachine)) if facts.is_ci => {
            Check::warning(id, "CHATAPI_URL points to the runner itself: what is created there is gone with the job")
                .hint("set CHATAPI_URL to the server's address in the settings of the repository")
        }
        Some(Ok(Target::ThisMachine)) => Check::ok(id, "CHATAPI_URL can be used; it points to this machine"),
        Some(Err(why)) => Check::error(id, format!("CHATAPI_URL is not usable: {why}")).hint("`export CHATAPI_URL=https://…/`"),
        None => Check::skipped(id, "CHATAPI_URL is not set here; only an apply to a real server needs it"),
    }
}

fn clock(facts: &Facts) -> Check {
    let id = "clock";
    let now = facts.now.as_second();
    let newest = if let StateFacts::Good { newest, .. } = facts.state { newest } else { None };
    let hint = "set it (`timedatectl set-ntp true`): times in the state would be wrong, and doubts settle by them";
    if now < MADE {
        return Check::error(id, format!("{} is before this program was made", shown(facts.now))).hint(hint);
    }
    match newest {
        Some(newest) if now + SLACK < newest.as_second() => {
            let message = format!("{} is before the newest entry of the state, {}", shown(facts.now), shown(newest));
            Check::error(id, message).hint(hint)
        }
        _ => Check::ok(id, "later than the program and the state"),
    }
}

fn shown(moment: Timestamp) -> Timestamp {
    moment.round(jiff::Unit::Second).unwrap_or(moment)
}
