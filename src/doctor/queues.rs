//! Whether runs that apply to one state wait for each other, and whether one that has begun may go on to its end.

use super::pipelines::At;
use super::{Cancels, Check, Facts, Forge, Group, Name};

const ID: &str = "concurrency";
/// Most jobs that are held against each other.
const COMPARED_MAX: usize = 200;

pub(super) fn checks(facts: &Facts, applying: &[At<'_>]) -> Vec<Check> {
    let mut findings: Vec<Check> = applying.iter().flat_map(|at| [waits(facts, at), cancels(at)]).flatten().collect();
    findings.extend(strangers(facts, applying));
    super::or(findings, || Check::ok(ID, "runs wait for each other"))
}

/// What to type for one group.
const fn one_group(forge: Forge) -> &'static str {
    match forge {
        Forge::GitHub => "`concurrency: {group: chatapi-apply, cancel-in-progress: false}` at each job that applies",
        Forge::GitLab => "`resource_group: chatapi-apply` at each job that applies, and no `interruptible: true`",
    }
}

/// The groups that hold all runs of the job back.
fn fixed<'p>(at: &At<'p>) -> Vec<&'p str> {
    let groups = at.job.queue.groups.iter();
    groups.filter_map(|group| if let Name::Fixed(name) = &group.name { Some(name.as_str()) } else { None }).collect()
}

fn waits(facts: &Facts, at: &At<'_>) -> Option<Check> {
    let queue = &at.job.queue;
    let key = if at.pipeline.forge == Forge::GitHub { "concurrency:" } else { "resource_group:" };
    if !fixed(at).is_empty() {
        return None;
    }
    let varies = |group: &&Group| matches!(group.name, Name::Varies(_));
    let check = if let Some(group) = queue.groups.iter().find(|group| group.name == Name::Unknown) {
        let message =
            format!("{at} waits in the group `{}`, and whether that is one group for all runs is not known here", group.text);
        Check::unsure(ID, message)
    } else if queue.is_called {
        Check::unsure(ID, format!("{at} is called by another workflow, and whether that one waits is not known here"))
    } else if let Some(Group { text, name: Name::Varies(why) }) = queue.groups.iter().find(varies) {
        let message =
            format!("{at} waits in the group `{text}`, but {why}: two of them run at once, and each creates what it misses");
        facts.serious(ID, message)
    } else {
        let message = format!("{at} has no `{key}`: two runs at once are two writers, and each creates what it misses");
        facts.serious(ID, message)
    };
    Some(check.hint(one_group(at.pipeline.forge)))
}

fn cancels(at: &At<'_>) -> Option<Check> {
    let check = match &at.job.queue.cancels {
        Cancels::Never => return None,
        Cancels::Yes(by) => Check::warning(ID, format!("{at} may be cancelled by {by}, in the middle of an apply")),
        Cancels::Perhaps(text) => {
            Check::unsure(ID, format!("{at} is cancelled in the middle of an apply if `{text}` is true in a run"))
        }
    };
    let hint = match at.pipeline.forge {
        Forge::GitHub => "`cancel-in-progress: false`, or a workflow of its own for what applies",
        Forge::GitLab => "`interruptible: false` at the job, and `on_job_failure: none`",
    };
    Some(check.hint(hint))
}

/// Jobs that apply to one state and have no group in common.
fn strangers(facts: &Facts, applying: &[At<'_>]) -> Vec<Check> {
    let mut findings = Vec::new();
    let known: Vec<_> = applying.iter().take(COMPARED_MAX).map(|at| (at, fixed(at), at.job.states())).collect();
    if applying.len() > COMPARED_MAX {
        let message = format!("of {} jobs that apply the first {COMPARED_MAX} are compared", applying.len());
        findings.push(Check::unsure(ID, message).hint("look yourself whether the others wait in the same groups"));
    }
    for (number, (at, ours, states)) in known.iter().enumerate().filter(|(_, (_, ours, _))| !ours.is_empty()) {
        let stranger = known.iter().take(number).find_map(|(other, theirs, others)| {
            let is_apart = at.pipeline.forge != other.pipeline.forge || !ours.iter().any(|name| theirs.contains(name));
            let state = states.iter().find(|state| others.contains(state))?;
            (is_apart && !theirs.is_empty()).then_some((other, state))
        });
        let Some((other, state)) = stranger else { continue };
        let message = format!("{at} and {other} both apply to `{state}`, and wait in different groups: they may run at once");
        let is_one_forge = at.pipeline.forge == other.pipeline.forge;
        let hint = if is_one_forge { one_group(at.pipeline.forge) } else { "let one forge apply: no group holds on both" };
        findings.push(facts.serious(ID, message).hint(hint));
    }
    findings
}
