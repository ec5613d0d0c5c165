//! What pipelines do to a state: cache it, lose it, apply it twice at the same time, or keep an interrupt from the program.

use super::forge::covers;
use super::{Check, Command, Facts, Forge, Job, Pipeline, Queue, Status};

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let unread = facts.unread.iter().map(|file| Check::skipped("pipelines", format!("{file} could not be read as a pipeline")));
    let applying: Vec<_> =
        facts.pipelines.iter().flat_map(|pipeline| pipeline.applying().map(move |job| At { pipeline, job })).collect();
    let seen = if applying.is_empty() {
        let hint = "a job runs `exec chatapi apply instances.yaml`";
        Check::skipped("pipelines", "no job in .github/workflows or .gitlab-ci.yml runs `chatapi apply`").hint(hint)
    } else {
        let names: Vec<_> = applying.iter().map(ToString::to_string).collect();
        Check::ok("pipelines", format!("`chatapi apply` is run by {}", names.join(", ")))
    };
    let mut checks: Vec<_> = unread.chain([seen]).collect();
    if !applying.is_empty() {
        let cached = each("state-cache", &applying, "no cache has the state in it", |at| cached(facts, at));
        let is_cached = cached.iter().any(|check| check.status != Status::Ok);
        checks.extend(cached);
        checks.extend(super::or(applying.iter().flat_map(|at| kept(facts, at)).collect(), || {
            if is_cached {
                Check::skipped("state-kept", "see `state-cache`")
            } else {
                Check::ok("state-kept", "something keeps the state from run to run")
            }
        }));
        checks.extend(each("concurrency", &applying, "runs wait for each other", |at| queued(facts, at)));
        checks.extend(each("signals", &applying, "interrupts reach chatapi", signals));
    }
    let pins: Vec<_> =
        facts.pipelines.iter().flat_map(|pipeline| pipeline.jobs.iter().flat_map(|job| pins(&At { pipeline, job }))).collect();
    if !applying.is_empty() || !pins.is_empty() {
        checks.extend(super::or(pins, || Check::ok("version-pin", "no job takes whatever version is newest")));
    }
    checks
}

/// A job and where it stands.
struct At<'p> {
    pipeline: &'p Pipeline,
    job: &'p Job,
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "job `{}` of {}", self.job.name, self.pipeline.file)
    }
}

fn each<'p>(id: &'static str, jobs: &[At<'p>], good: &str, look: impl Fn(&At<'p>) -> Vec<Check>) -> Vec<Check> {
    super::or(jobs.iter().flat_map(look).collect(), || Check::ok(id, good))
}

/// The state as the job names it, and where it is here.
fn states(facts: &Facts, at: &At<'_>) -> Vec<String> {
    let mut states = at.job.states();
    states.extend(facts.place.in_repository.clone());
    states.dedup();
    states
}

fn cached(facts: &Facts, at: &At<'_>) -> Vec<Check> {
    let states = states(facts, at);
    let is_hit = |path: &&String| states.iter().any(|state| covers(path, state));
    let finding = |path: &String| {
        let why = match at.pipeline.forge {
            Forge::GitHub => "a cache is saved after a success only, so a failed apply is followed by an older state",
            Forge::GitLab => "a cache may be missing or older at any time",
        };
        facts
            .serious("state-cache", format!("{at} caches `{path}`, and the state with it: {why}"))
            .hint("take it out of the cache, and keep the state on a disk of its own or as an artifact of each run")
    };
    at.job.caches.iter().find(is_hit).map(finding).into_iter().collect()
}

/// A runner's work tree is gone with the job, so something has to carry the state away.
fn kept(facts: &Facts, at: &At<'_>) -> Vec<Check> {
    let at_risk = |state: &&String| !state.starts_with(['/', '~', '$']);
    let Some(state) = at.job.states().iter().find(at_risk).cloned() else { return Vec::new() };
    let is_named = |command: &Command| {
        let mentions = |word: &String| !word.starts_with('-') && covers(word, &state);
        !command.is("chatapi") && !command.is("cd") && command.words.iter().skip(1).any(mentions)
    };
    let by_command = at.job.steps.iter().flat_map(|step| &step.commands).any(is_named);
    if by_command || at.job.keeps.iter().chain(&at.job.caches).any(|path| covers(path, &state)) {
        return Vec::new();
    }
    let message = format!("{at}: nothing carries `{state}` away, and it is gone with the runner's work tree");
    let hint = "copy it to where it stays, also when the job fails; or, on a machine of your own, `--state /srv/chatapi/state`";
    let check = if at.job.is_own_machine { Check::warning("state-kept", message) } else { facts.serious("state-kept", message) };
    vec![check.hint(hint)]
}

fn queued(facts: &Facts, at: &At<'_>) -> Vec<Check> {
    let (missing, waits) = match at.pipeline.forge {
        Forge::GitHub => ("`concurrency:`", "add to the job: `concurrency: {group: chatapi-apply, cancel-in-progress: false}`"),
        Forge::GitLab => ("`resource_group:`", "add to the job: `resource_group: chatapi-apply`, and no `interruptible: true`"),
    };
    let check = match at.job.queue {
        Queue::Waits => return Vec::new(),
        Queue::Missing => {
            let message = format!("{at} has no {missing}: two runs at once are two writers, and each creates what it misses");
            facts.serious("concurrency", message)
        }
        Queue::Cancels => {
            Check::warning("concurrency", format!("{at} may be cancelled by a later run, in the middle of an apply"))
        }
    };
    vec![check.hint(waits)]
}

fn signals(at: &At<'_>) -> Vec<Check> {
    if at.pipeline.forge != Forge::GitHub {
        return Vec::new();
    }
    let finding = |command: &Command| {
        let message = format!("{at}: a cancelled run interrupts the step's shell, and the shell does not pass it on");
        let hint = if command.is_last {
            "write `exec chatapi apply …`"
        } else {
            "give it a step of its own, and there `exec chatapi apply …`: what comes after goes into the next step"
        };
        Check::warning("signals", message).hint(hint)
    };
    at.job.applies().map(|(_, command)| command).find(|command| !command.is_exec).map(finding).into_iter().collect()
}

fn pins(at: &At<'_>) -> Vec<Check> {
    let commands = at.job.steps.iter().flat_map(|step| &step.commands);
    let loose = commands.filter_map(loose).chain(at.job.image.as_deref().and_then(loose_image));
    let finding = |(what, hint): (&str, &str)| Check::warning("version-pin", format!("{at} {what}")).hint(hint);
    loose.map(finding).collect()
}

/// What a command installs without saying which.
fn loose(command: &Command) -> Option<(&'static str, &'static str)> {
    let names = |text: &str| command.words.iter().any(|word| word.contains(text));
    if names("releases/latest") && names("chatapi") {
        return Some(("downloads whatever release is the latest", "name the version in the address, and check its SHA-256"));
    }
    let is_install = (command.is("cargo") && command.has("install")) || command.is("cargo-binstall") || command.has("binstall");
    if !is_install || !names("chatapi") || command.has("--path") {
        return None;
    }
    if command.has("--git") {
        let is_fixed = command.has("--rev") || command.has("--tag");
        return (!is_fixed).then_some((
            "installs chatapi from a branch that moves",
            "name the commit: `cargo install --locked --git … --rev COMMIT`",
        ));
    }
    let is_fixed = command.has("--version") || command.has("--vers") || names("chatapi@");
    match (is_fixed, command.has("--locked") || !command.is("cargo") || command.has("binstall")) {
        (true, true) => None,
        (true, false) => {
            Some(("installs chatapi with whatever dependencies are newest", "`cargo install --locked chatapi --version …`"))
        }
        (false, _) => Some(("installs whatever version of chatapi is newest", "`cargo install --locked chatapi --version …`")),
    }
}

fn loose_image(image: &str) -> Option<(&'static str, &'static str)> {
    let name = image.rsplit('/').next().unwrap_or(image);
    let is_fixed = name.contains('@') || name.split_once(':').is_some_and(|(_, tag)| tag != "latest");
    let loose = name.starts_with("chatapi") && !is_fixed;
    loose.then_some(("takes whatever image of chatapi is newest", "name its version, or better its digest: `image: …@sha256:…`"))
}
