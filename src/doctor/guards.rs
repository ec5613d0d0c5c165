//! What a pipeline switches off, or gives away: the guards of an apply, and secrets that stand in its file as they are.

use std::collections::BTreeSet;

use super::pipelines::At;
use super::{Check, Command, Facts};

/// From so many on, a limit on creates stops nothing that anybody would call a mistake.
const CREATES_LARGE: u64 = 1_000;
/// Variables whose values nobody but the job may know.
pub(super) const SECRETS: [&str; 2] = ["CHATAPI_API_KEY", "CHATAPI_IDENTITY"];

/// Guards that are off, in a job that applies or one that plans for it.
pub(super) fn checks(facts: &Facts, applying: &[At<'_>]) -> Vec<Check> {
    if applying.is_empty() {
        return Vec::new();
    }
    let findings = all(facts).flat_map(|at| [begins(facts, &at), lets_all_pass(facts, &at), has_no_limit(&at)]);
    super::or(findings.flatten().collect(), || Check::ok("guards", "no job switches one off, as far as its file says"))
}

fn all(facts: &Facts) -> impl Iterator<Item = At<'_>> {
    facts.pipelines.iter().flat_map(|pipeline| pipeline.jobs.iter().map(move |job| At { pipeline, job }))
}

/// What the job says of a limit, by a flag of `chatapi` or by a variable.
fn said<'p>(at: &At<'p>, flag: &str, variable: &str) -> Vec<&'p str> {
    let commands = at.job.steps.iter().flat_map(|step| &step.commands).filter(|command| command.is("chatapi"));
    let runs_it = commands.clone().any(|command| command.has("apply") || command.has("plan"));
    let by_variable = at.job.values_of(variable).into_iter().filter(|_| runs_it);
    commands.filter_map(|command| command.value_of(flag)).chain(by_variable).collect()
}

fn begins(facts: &Facts, at: &At<'_>) -> Option<Check> {
    let is_on = |value: &&str| !["", "0", "n", "no", "f", "false", "off"].contains(&value.to_ascii_lowercase().as_str());
    let by_flag = at.job.applies().any(|(_, apply)| apply.has("--init"));
    let by_variable = at.job.applies().next().is_some() && at.job.values_of("CHATAPI_INIT").iter().any(is_on);
    let how = if by_flag { "`--init`" } else { "`CHATAPI_INIT`" };
    (by_flag || by_variable).then(|| {
        let message = format!("{at} applies with {how}: a lost state looks like a first run, and all is created again");
        facts.serious("guards", message).hint("take it out; a state is begun once, by hand: `chatapi init`")
    })
}

fn lets_all_pass(facts: &Facts, at: &At<'_>) -> Option<Check> {
    said(at, "--allow-unknown", "CHATAPI_ALLOW_UNKNOWN").contains(&"all").then(|| {
        let message = format!("{at} allows all unknown instances: what a lost run has created is created a second time");
        let hint = "take it out, or write how many are somebody else's: `--allow-unknown N`";
        facts.serious("guards", message).hint(hint)
    })
}

fn has_no_limit(at: &At<'_>) -> Option<Check> {
    let limits = said(at, "--max-creates", "CHATAPI_MAX_CREATES");
    let most = limits.iter().filter_map(|limit| limit.parse().ok()).max().filter(|most: &u64| *most >= CREATES_LARGE)?;
    let message = format!("{at} may create {most} instances in one run, and each costs money: that is no limit");
    Some(Check::warning("guards", message).hint("write as many as one run is meant to create: `--max-creates 10`"))
}

/// Secrets that stand in a file that others read, once for each file. Their values are not shown.
pub(super) fn secrets(facts: &Facts, applying: &[At<'_>]) -> Vec<Check> {
    let id = "secrets";
    let jobs: Vec<_> = all(facts).collect();
    let open: BTreeSet<_> = jobs.iter().flat_map(open).collect();
    if open.is_empty() && applying.is_empty() {
        return Vec::new();
    }
    let finding = |(file, name, is_variable): (&str, &str, bool)| {
        let what = if is_variable { "comes from `vars`, which are shown in the log" } else { "stands there as it is" };
        let message = format!("{name} in {file} {what}: whoever reads it can use it");
        Check::error(id, message).hint(format!(
            "have it replaced where it was made, and keep the new one as a secret: `${{{{ secrets.{name} }}}}` on GitHub, a masked \
             and protected variable on GitLab"
        ))
    };
    super::or(open.into_iter().map(finding).collect(), || Check::ok(id, "none stands in a pipeline as it is"))
}

/// The file, the variable, and whether its value comes from one that is not masked.
fn open<'p>(at: &At<'p>) -> Vec<(&'p str, &'static str, bool)> {
    let of = |name: &'static str| {
        let values = at.job.values_of(name).into_iter().filter(|value| !value.trim().is_empty());
        let computed = |value: &str| value.starts_with('$') || ["${", "$(", "`"].iter().any(|part| value.contains(part));
        let (literal, file) = (move |value: &str| !computed(value), at.pipeline.file.as_str());
        let is_variable = |value: &str| value.contains("${{") && value.contains("vars.") && !value.contains("secrets.");
        let open = values.filter(move |value| literal(value) || is_variable(value));
        open.map(move |value| (file, name, !literal(value)))
    };
    SECRETS.into_iter().flat_map(of).collect()
}

impl Command {
    /// What it gives the variable `name`, for itself, for what comes after it, or in a container.
    fn value_for(&self, name: &str) -> Option<&str> {
        let words = self.settings.iter().chain(&self.words);
        words.filter_map(|word| word.strip_prefix(name)).find_map(|rest| rest.strip_prefix('='))
    }
}

impl super::Job {
    /// All that its file says of a variable, wherever in the job.
    fn values_of(&self, name: &str) -> Vec<&str> {
        let written = self.variables.iter().filter(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let commands = self.steps.iter().flat_map(|step| &step.commands);
        written.chain(commands.filter_map(|command| command.value_for(name))).collect()
    }
}
