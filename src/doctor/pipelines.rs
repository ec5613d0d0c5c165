//! What pipelines do to a state: cache it, lose it, apply it twice at the same time, or keep an interrupt from the program.

use super::{Check, Command, Facts, Forge, Holds, Job, Pipeline, StateFacts, Status, guards, keeping, pins, queues};

/// Most of what was not followed that is named.
const NAMED_MAX: usize = 5;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let applying: Vec<_> =
        facts.pipelines.iter().flat_map(|pipeline| pipeline.applying().map(move |job| At { pipeline, job })).collect();
    let mut checks = unread(facts);
    checks.push(if applying.is_empty() {
        let hint = format!("a job runs `exec {} apply instances.yaml`", facts.command);
        Check::skipped("pipelines", "no job in .github/workflows or .gitlab-ci.yml runs `chatapi apply`, as far as it was read")
            .hint(hint)
    } else {
        let names: Vec<_> = applying.iter().map(ToString::to_string).collect();
        Check::ok("pipelines", format!("`chatapi apply` is run by {}", names.join(", ")))
    });
    if !applying.is_empty() {
        let cached = each("state-cache", &applying, "no cache has the state in it", |at| cached(facts, at));
        let is_cached = cached.iter().any(|check| check.status != Status::Ok);
        checks.extend(cached);
        checks.extend(keeping::checks(facts, &applying, is_cached));
        checks.extend(queues::checks(facts, &applying));
        checks.extend(each("signals", &applying, "interrupts reach chatapi", signals));
    }
    checks.extend(guards::checks(facts, &applying));
    checks.extend(guards::secrets(facts, &applying));
    checks.extend(pins::checks(facts, &applying));
    checks
}

/// A job and where it stands.
pub(super) struct At<'p> {
    pub(super) pipeline: &'p Pipeline,
    pub(super) job: &'p Job,
}

impl std::fmt::Display for At<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "job `{}` of {}", self.job.name, self.pipeline.file)
    }
}

pub(super) fn each<'p>(id: &'static str, jobs: &[At<'p>], good: &str, look: impl Fn(&At<'p>) -> Vec<Check>) -> Vec<Check> {
    super::or(jobs.iter().flat_map(look).collect(), || Check::ok(id, good))
}

/// What there is and was not looked at.
fn unread(facts: &Facts) -> Vec<Check> {
    let id = "pipelines";
    let look = "look there yourself whether a job runs `chatapi apply`, and how";
    let bad = facts.unread.iter().map(|file| Check::unsure(id, format!("{file} could not be read as a pipeline")).hint(look));
    let more = (facts.unread_more > 0).then(|| {
        Check::unsure(id, format!("{} more workflow files were not read: there are too many", facts.unread_more)).hint(look)
    });
    let elsewhere = facts.pipelines.iter().filter(|pipeline| !pipeline.unfollowed.is_empty()).map(|pipeline| {
        let named: Vec<_> = pipeline.unfollowed.iter().take(NAMED_MAX).map(|what| format!("`{what}`")).collect();
        let rest = pipeline.unfollowed.len().saturating_sub(NAMED_MAX);
        let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        Check::unsure(id, format!("not followed in {}: {}{rest}", pipeline.file, named.join(", "))).hint(look)
    });
    let jobs = facts.pipelines.iter().flat_map(|pipeline| pipeline.jobs.iter().map(move |job| At { pipeline, job }));
    let hidden = jobs.filter_map(|at| {
        let command = at.job.steps.iter().flat_map(|step| &step.commands).find(|command| command.may_apply())?;
        let by = command.words.first()?;
        Some(Check::unsure(id, format!("{at} may run `chatapi apply` by `{by}`, and how is not read")).hint(look))
    });
    bad.chain(more).chain(elsewhere).chain(hidden).collect()
}

/// The state as the job names it, and where it is here if there is one.
fn states(facts: &Facts, at: &At<'_>) -> Vec<String> {
    let mut states = at.job.states();
    if !matches!(facts.state, StateFacts::Absent) {
        states.extend(facts.place.in_repository.clone());
    }
    states
}

fn cached(facts: &Facts, at: &At<'_>) -> Vec<Check> {
    let states = states(facts, at);
    let held: Vec<Holds> = at.job.caches.iter().flat_map(|files| states.iter().map(|state| files.hold(state))).collect();
    let certain = held.iter().find_map(|held| if let Holds::Yes(path) = held { Some(path) } else { None });
    let possible = held.iter().find_map(|held| if let Holds::Perhaps(path) = held { Some(path) } else { None });
    let why = match at.pipeline.forge {
        Forge::GitHub => "a cache is saved after a success only, so a failed apply is followed by an older state",
        Forge::GitLab => "a cache may be missing or older at any time",
    };
    let check = match (certain, possible) {
        (Some(path), _) => facts.serious("state-cache", format!("{at} caches `{path}`, and the state with it: {why}")),
        (None, Some(path)) => Check::unsure("state-cache", format!("{at} caches `{path}`; if the state is in there: {why}")),
        (None, None) => return Vec::new(),
    };
    vec![check.hint("take it out of the cache, and keep the state on a disk of its own or on a branch of its own")]
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
