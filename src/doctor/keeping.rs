//! Whether something carries the state away before its machine is gone: a command or an action that does such a thing, after the
//! apply, and also when the apply has failed. A name that is merely mentioned is no evidence.

use super::forge::{covers, is_inside, joined};
use super::pipelines::At;
use super::{ARTIFACTS, Check, Command, Facts, Holds, Job, Machine, Step, Tracking, When};

const ID: &str = "state-kept";
/// Most words of one command that are looked at.
const OPERANDS_MAX: usize = 1_000;

/// What is known of a state's way to where it stays; the better comes later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Kept {
    Nowhere,
    /// Something may do it: why it is not sure.
    Perhaps(String),
    /// Nothing carries it away after a failure.
    AfterSuccess,
    Always,
}

/// How a command or action treats a state.
enum Carries {
    Yes,
    /// As an artifact of the run, which the next run has to fetch.
    AsArtifact,
    Perhaps(String),
    No,
}

pub(super) fn checks(facts: &Facts, applying: &[At<'_>], is_cached: bool) -> Vec<Check> {
    let findings = applying.iter().flat_map(|at| at.job.states().into_iter().filter_map(|state| finding(facts, at, &state)));
    super::or(findings.collect(), || {
        if is_cached {
            Check::skipped(ID, "see `state-cache`")
        } else {
            Check::ok(ID, "what is kept outlives the job, as far as can be seen")
        }
    })
}

fn finding(facts: &Facts, at: &At<'_>, state: &str) -> Option<Check> {
    let machine = at.job.machine;
    let is_relative = is_inside(state);
    let hint = "copy it to where it stays, also when the job fails (`if: always()`, `after_script`, `when: always`); or, on a \
                machine of your own, `--state /srv/chatapi/state`";
    if !is_relative && machine == Machine::Own && at.job.image.is_none() && !state.starts_with('$') {
        return None;
    }
    let at_risk =
        |message: String| if machine == Machine::Own { Check::warning(ID, message) } else { facts.serious(ID, message) };
    let check = match kept(facts, at.job, state) {
        Kept::Always => return None,
        Kept::Perhaps(why) => Check::unsure(ID, format!("{at}: whether `{state}` outlives the job is not known here: {why}")),
        Kept::AfterSuccess => {
            at_risk(format!("{at}: `{state}` is carried away after a success only, and a failed apply has created, too"))
        }
        Kept::Nowhere if at.job.caches.iter().any(|files| matches!(files.hold(state), Holds::Yes(_))) => return None,
        Kept::Nowhere if is_relative => {
            at_risk(format!("{at}: nothing carries `{state}` away, and it is gone with the runner's work tree"))
        }
        Kept::Nowhere if machine == Machine::Hosted && !state.starts_with('$') => {
            facts.serious(ID, format!("{at}: nothing carries `{state}` away, and the forge's machine is gone after the job"))
        }
        Kept::Nowhere => {
            Check::unsure(ID, format!("{at}: `{state}` stays only on a machine of your own, or on a volume of the container"))
        }
    };
    Some(check.hint(hint))
}

fn kept(facts: &Facts, job: &Job, state: &str) -> Kept {
    let tracking = facts.git.and_then(|git| git.state);
    let is_tracked = tracking.is_some_and(|Tracking { is_tracked, .. }| is_tracked);
    let Some((number, applying)) = job.steps.iter().enumerate().find(|(_, step)| step.commands.iter().any(Command::is_apply))
    else {
        return Kept::Nowhere;
    };
    let seen = Seen { job, state, is_tracked, is_added: is_added(job, state) };
    let position = applying.commands.iter().position(Command::is_apply).unwrap_or_default();
    let apply = applying.commands.get(position);
    let is_replaced = apply.is_some_and(|command| command.is_exec);
    let when = if apply.is_some_and(|command| command.is_guarded) { When::Always } else { When::Success };
    let behind = applying.commands.iter().skip(position + 1).filter(|_| !is_replaced);
    let behind = behind.map(|command| (seen.by_command(applying, command), &when));
    let later = job.steps.iter().skip(number + 1).flat_map(|step| {
        let by_commands = step.commands.iter().map(|command| seen.by_command(step, command));
        by_commands.chain([seen.by_action(step)]).map(|carries| (carries, &step.when))
    });
    let has_trap = applying.commands.iter().any(|command| command.is("trap"));
    let trap = has_trap.then(|| Kept::Perhaps("what a `trap` does is not read".to_owned()));
    behind.chain(later).map(|(carries, when)| seen.outcome(carries, when)).chain(trap).max().unwrap_or(Kept::Nowhere)
}

/// A job that applies to a state.
struct Seen<'s> {
    job: &'s Job,
    state: &'s str,
    /// Whether git has it, so that a plain commit takes its changes.
    is_tracked: bool,
    /// Whether git is told to take it.
    is_added: bool,
}

/// The state's own `.gitignore` leaves it out of commits, unless git is forced to take it.
fn is_added(job: &Job, state: &str) -> bool {
    let commands = job.steps.iter().flat_map(|step| step.commands.iter().map(move |command| (step, command)));
    commands.filter(|(_, command)| command.is("git") && command.words.iter().any(|word| word == "add")).any(|(step, add)| {
        let tree = tree(step, add);
        let is_named = |word: &String| covers(&joined(Some(&tree), word), state);
        let is_all = (add.has("--all") || add.has("-A")) && covers(&tree, state);
        (add.has("--force") || add.has("-f")) && (is_all || add.words.iter().skip(1).any(is_named))
    })
}

impl Seen<'_> {
    fn outcome(&self, carries: Carries, when: &When) -> Kept {
        match (carries, when) {
            (Carries::No, _) => Kept::Nowhere,
            (Carries::Perhaps(why), _) => Kept::Perhaps(why),
            (_, When::Success) => Kept::AfterSuccess,
            (_, When::Condition(condition)) => Kept::Perhaps(format!("that is done under the condition `{condition}`")),
            (Carries::AsArtifact, When::Always) if !self.is_brought_back() => {
                Kept::Perhaps("it becomes an artifact, and nothing is seen that fetches it for the next run".to_owned())
            }
            (_, When::Always) => Kept::Always,
        }
    }

    /// Whether something fetches artifacts of earlier runs.
    fn is_brought_back(&self) -> bool {
        let by_action = |step: &Step| step.uses.as_ref().is_some_and(|uses| uses.is_of_earlier_run);
        let by_command = |command: &Command| {
            let is_download = command.is("gh") && command.has("run") && command.has("download");
            is_download || command.words.iter().any(|word| word.contains("/artifacts"))
        };
        self.job.steps.iter().any(|step| by_action(step) || step.commands.iter().any(by_command))
    }

    fn names(&self, step: &Step, command: &Command, word: &str) -> bool {
        let word = word.rsplit(['@', '=']).next().unwrap_or(word);
        let path = joined(step.place_of(command).as_deref(), word);
        !word.starts_with('-') && !word.contains("://") && covers(&path, self.state)
    }

    fn by_command(&self, step: &Step, command: &Command) -> Carries {
        const TRANSFERS: [&str; 12] =
            ["aws", "gsutil", "gcloud", "s3cmd", "s5cmd", "azcopy", "rclone", "rsync", "scp", "mc", "az", "oci"];
        const SCRIPTS: [&str; 8] = ["make", "just", "task", "npm", "bash", "sh", "python", "python3"];
        let program = command.words.first().map(|word| word.rsplit('/').next().unwrap_or(word)).unwrap_or_default();
        let operands: Vec<&str> = command.words.iter().skip(1).take(OPERANDS_MAX).map(String::as_str).collect();
        let at = operands.iter().position(|word| self.names(step, command, word));
        let behind = at.map(|at| operands.get(at + 1..).unwrap_or_default()).unwrap_or_default();
        let has = |words: &[&str]| operands.iter().any(|word| words.contains(word));
        match program {
            "git" if has(&["push"]) => self.by_push(step, command),
            "az" | "gh" if at.is_some() && has(&["upload", "upload-batch", "sync"]) => Carries::Yes,
            "restic" | "borg" if at.is_some() && has(&["backup", "create"]) => Carries::Yes,
            "curl" if at.is_some() && has(&["-T", "--upload-file", "-F", "--form", "--data-binary"]) => Carries::Yes,
            _ if TRANSFERS.contains(&program) && at.is_some() => {
                let is_far = |word: &&str| word.contains("://") || (word.contains(':') && !word.starts_with('-'));
                match behind {
                    [] => Carries::No,
                    words if words.iter().any(is_far) => Carries::Yes,
                    _ => Carries::Perhaps(format!("where `{program}` takes it is not known")),
                }
            }
            "cp" | "tar" | "zip" | "mv" | "ssh" | "docker" | "kubectl" if at.is_some() => {
                Carries::Perhaps(format!("where `{program}` takes it is not known"))
            }
            _ if SCRIPTS.contains(&program) || command.words.first().is_some_and(|word| word.starts_with("./")) => {
                Carries::Perhaps(format!("what `{program}` does is not read"))
            }
            _ => Carries::No,
        }
    }

    fn by_push(&self, step: &Step, push: &Command) -> Carries {
        if !covers(&tree(step, push), self.state) {
            Carries::No
        } else if self.is_tracked || self.is_added {
            Carries::Yes
        } else {
            Carries::Perhaps("its own `.gitignore` leaves it out of commits: `git add --force` takes it".to_owned())
        }
    }

    fn by_action(&self, step: &Step) -> Carries {
        const CARRIERS: [&str; 7] = ["upload", "s3", "sync", "scp", "storage", "backup", "rclone"];
        let Some(uses) = &step.uses else { return Carries::No };
        let name = uses.name.rsplit('/').next().unwrap_or_default();
        let has = |parts: &[&str]| parts.iter().any(|part| uses.name.contains(part));
        let is_held = uses.files.hold(self.state);
        if has(&["checkout", "setup-", "download"]) || super::forge::is_cache(&uses.name) {
            return Carries::No;
        }
        match is_held {
            _ if uses.name.starts_with("./") => Carries::Perhaps(format!("what `{}` does is not read", uses.name)),
            _ if has(&["commit", "push"]) && self.is_tracked => Carries::Yes,
            _ if has(&["commit", "push"]) => {
                Carries::Perhaps("its own `.gitignore` leaves it out of commits, unless git has it already".to_owned())
            }
            Holds::Yes(_) if uses.name == ARTIFACTS || has(&["upload-artifact"]) => Carries::AsArtifact,
            Holds::Yes(_) if has(&CARRIERS) => Carries::Yes,
            Holds::Yes(_) => Carries::Perhaps(format!("what `{name}` does with it is not known")),
            Holds::Perhaps(path) => Carries::Perhaps(format!("what `{path}` is, only the run knows")),
            Holds::No => Carries::No,
        }
    }
}

/// The work tree of a git command.
fn tree(step: &Step, git: &Command) -> String {
    let place = step.place_of(git);
    let named = git.words.iter().skip_while(|word| *word != "-C").nth(1);
    joined(place.as_deref(), named.map_or(".", String::as_str))
}
