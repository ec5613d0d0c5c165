//! What sets a workflow of GitHub's off, and what its concurrency groups come to in the runs that may be.

use serde_json::Value as Json;

use super::expression::{Run, Value, holds, interpolated};
use super::yaml::{at, is_true, texts};
use super::{Cancels, Group, Name};

/// Most kinds of runs that are tried.
const KINDS_MAX: usize = 50;
/// Longest text that is computed, in bytes.
const TEXT_MAX: usize = 1_000;

/// Runs of `job` that may be, two of each kind.
pub(super) fn runs(workflow: &Json, file: &str, name: &str, job: &Json) -> Vec<Run> {
    let Some(on) = at(workflow, &["on"]).or_else(|| at(workflow, &["true"])) else { return Vec::new() };
    let condition = at(job, &["if"]).filter(|said| said.as_str().is_none_or(|text| text.len() <= TEXT_MAX));
    let title = at(workflow, &["name"]).and_then(Json::as_str).unwrap_or(file);
    let kinds: Vec<(Option<String>, Option<String>)> =
        events(on).into_iter().flat_map(|(event, filter)| references(event, filter, on, condition)).collect();
    let run = |(event, reference): (Option<String>, Option<String>), number| {
        let by_number = |reference: String| reference.replace("{number}", if number == 1 { "1" } else { "2" });
        Run { event, reference: reference.map(by_number), number, workflow: title.to_owned(), job: name.to_owned() }
    };
    let all = kinds.into_iter().take(KINDS_MAX).flat_map(|kind| [run(kind.clone(), 1), run(kind, 2)]);
    let all: Vec<Run> = all.collect();
    let is_run = |run: &&Run| condition.is_none_or(|condition| holds(condition, run) != Some(false));
    let wanted: Vec<Run> = all.iter().filter(is_run).cloned().collect();
    // A condition that never holds is more likely one that was not understood.
    if wanted.is_empty() { all } else { wanted }
}

/// Events by name, each with what it is narrowed down by.
fn events(on: &Json) -> Vec<(&str, Option<&Json>)> {
    match on {
        Json::Object(events) => events.iter().map(|(name, filter)| (name.as_str(), Some(filter))).collect(),
        other => texts(other).into_iter().map(|name| (name, None)).collect(),
    }
}

/// The events and references that one event stands for.
fn references(event: &str, filter: Option<&Json>, on: &Json, condition: Option<&Json>) -> Vec<(Option<String>, Option<String>)> {
    let given = |references: Vec<String>| references.into_iter().map(|one| (Some(event.to_owned()), Some(one))).collect();
    match event {
        "workflow_call" => vec![(None, None)],
        event if event.starts_with("pull_request") && event != "pull_request_target" => {
            given(vec!["refs/pull/{number}/merge".to_owned()])
        }
        "push" => {
            let list = |key| filter.and_then(|filter| at(filter, &[key]));
            match (list("branches"), list("tags")) {
                (Some(branches), None) => given(branch_names(branches).unwrap_or_else(|| any(condition))),
                (None, Some(_)) => given(vec!["refs/tags/{number}".to_owned()]),
                (None, None) | (Some(_), Some(_)) => given(any(condition)),
            }
        }
        "schedule" | "pull_request_target" => given(vec![default_branch(on)]),
        _ => given(any(condition)),
    }
}

/// The branches, if none is a pattern.
fn branch_names(branches: &Json) -> Option<Vec<String>> {
    let names = texts(branches);
    let is_pattern = |name: &&str| name.contains(['*', '?', '+', '[', '!', '$']);
    (!names.is_empty() && !names.iter().any(is_pattern)).then(|| names.iter().map(|name| format!("refs/heads/{name}")).collect())
}

/// Two branches that may be, and those that a condition asks for.
fn any(condition: Option<&Json>) -> Vec<String> {
    let asked = condition.and_then(Json::as_str).unwrap_or_default().split('\'').skip(1).step_by(2);
    let named = asked.map(|name| if name.starts_with("refs/") { name.to_owned() } else { format!("refs/heads/{name}") });
    ["refs/heads/one", "refs/heads/other"].map(str::to_owned).into_iter().chain(named).collect()
}

/// Nobody says its name: it is taken for the one that pushes go to.
fn default_branch(on: &Json) -> String {
    let pushed = at(on, &["push", "branches"]).and_then(branch_names);
    pushed.and_then(|names| names.into_iter().next()).unwrap_or_else(|| "refs/heads/main".to_owned())
}

/// A `concurrency:`, if there is a group in it.
pub(super) fn group(concurrency: Option<&Json>, runs: &[Run]) -> Option<Group> {
    let concurrency = concurrency?;
    let text = concurrency.as_str().or_else(|| at(concurrency, &["group"])?.as_str())?;
    Some(Group { text: text.to_owned(), name: name(text, runs) })
}

fn name(text: &str, runs: &[Run]) -> Name {
    if !text.contains("${{") {
        return Name::Fixed(text.to_lowercase());
    }
    if text.len() > TEXT_MAX {
        return Name::Unknown;
    }
    let values: Vec<(&Run, Value)> = runs.iter().map(|run| (run, interpolated(text, run))).collect();
    let Some((_, first)) = values.first() else { return Name::Unknown };
    if values.iter().any(|(_, value)| *value == Value::Unknown) {
        return Name::Unknown;
    }
    if values.iter().any(|(_, value)| value != first) {
        let is_same = |one: &Run, other: &Run| one.event == other.event && one.reference == other.reference;
        let differ = |(one, value): &(&Run, Value)| values.iter().any(|(other, another)| is_same(one, other) && value != another);
        let is_by_run = values.iter().any(differ);
        return Name::Varies(if is_by_run {
            "each run has a group of its own"
        } else {
            "runs for other branches or events have other groups"
        });
    }
    match first {
        Value::Text(text) | Value::Steady(text) => Name::Fixed(text.to_lowercase()),
        Value::Bool(value) => Name::Fixed(value.to_string()),
        Value::Null | Value::Unknown => Name::Unknown,
    }
}

/// Whether a `concurrency:` stops a run that has begun.
pub(super) fn cancels(concurrency: Option<&Json>, runs: &[Run]) -> Cancels {
    let Some(said) = concurrency.and_then(|concurrency| at(concurrency, &["cancel-in-progress"])) else { return Cancels::Never };
    let yes = Cancels::Yes("`cancel-in-progress`");
    match said {
        Json::String(text) if text.len() > TEXT_MAX => Cancels::Perhaps("cancel-in-progress".to_owned()),
        Json::String(text) if text.contains("${{") => {
            let truths: Vec<Option<bool>> = runs
                .iter()
                .map(|run| match interpolated(text, run) {
                    Value::Bool(value) => Some(value),
                    Value::Text(text) => Some(text == "true"),
                    Value::Null => Some(false),
                    Value::Steady(_) | Value::Unknown => None,
                })
                .collect();
            if truths.contains(&Some(true)) {
                yes
            } else if truths.is_empty() || truths.contains(&None) {
                Cancels::Perhaps(text.clone())
            } else {
                Cancels::Never
            }
        }
        said if is_true(said) => yes,
        _ => Cancels::Never,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Name, Cancels) {
        let workflow = super::super::yaml::documents(text).unwrap().remove(0);
        let job = at(&workflow, &["jobs", "apply"]).unwrap();
        let runs = runs(&workflow, "f.yml", "apply", job);
        let concurrency = at(&workflow, &["concurrency"]);
        (group(concurrency, &runs).unwrap().name, cancels(concurrency, &runs))
    }

    #[test]
    fn a_group_is_what_it_comes_to_in_the_runs_of_the_job() {
        let fixed = |text: &str| Name::Fixed(text.to_owned());
        let by_run = Name::Varies("each run has a group of its own");
        let by_branch = Name::Varies("runs for other branches or events have other groups");
        let main = "{push: {branches: [main]}}";
        for (on, condition, group, expected) in [
            ("push", "true", "Apply", fixed("apply")),
            ("push", "true", "a-${{ github.run_id }}", by_run.clone()),
            (main, "true", "a-${{ github.run_number }}", by_run.clone()),
            (main, "true", "a-${{ github.run_attempt }}", by_run.clone()),
            (main, "true", "a-${{ github.sha }}", by_run.clone()),
            (main, "true", "a-${{ github.head_ref || github.run_id }}", by_run),
            ("push", "true", "a-${{ github.ref }}", by_branch.clone()),
            (main, "true", "a-${{ github.ref }}", fixed("a-refs/heads/main")),
            ("{push: {branches: [main, next]}}", "true", "a-${{ github.ref_name }}", by_branch.clone()),
            ("{push: {branches: [main]}, workflow_dispatch: null}", "true", "${{ github.ref }}", by_branch.clone()),
            ("{push: {branches: [main]}, schedule: []}", "true", "${{ github.ref }}", fixed("refs/heads/main")),
            ("push", "github.ref == 'refs/heads/main'", "a-${{ github.ref }}", fixed("a-refs/heads/main")),
            ("push", "github.ref_name == 'main'", "${{ github.workflow }}-${{ github.ref_name }}", fixed("w-main")),
            ("[push, pull_request]", "github.event_name == 'push'", "a", fixed("a")),
            ("pull_request", "true", "a-${{ github.event.pull_request.number }}", by_branch),
            (main, "true", "a-${{ vars.PLACE }}", fixed("a-<vars.place>")),
            (main, "true", "a-${{ inputs.place }}", Name::Unknown),
            (main, "true", "a-${{ matrix.place }}", Name::Unknown),
            ("workflow_call", "true", "a-${{ github.ref }}", Name::Unknown),
        ] {
            let text =
                format!("name: w\non: {on}\nconcurrency: {{group: \"{group}\"}}\njobs: {{apply: {{if: \"{condition}\"}}}}\n");
            assert_eq!(read(&text).0, expected, "{text}");
        }
    }

    #[test]
    fn a_cancellation_is_what_it_comes_to_in_the_runs_of_the_job() {
        let yes = || Cancels::Yes("`cancel-in-progress`");
        for (on, condition, cancel, expected) in [
            ("push", "true", "true", yes()),
            ("push", "true", "false", Cancels::Never),
            ("[push, pull_request]", "true", "${{ github.event_name == 'pull_request' }}", yes()),
            ("[push, pull_request]", "github.event_name == 'push'", "${{ github.event_name == 'pull_request' }}", Cancels::Never),
            ("push", "true", "${{ github.ref != 'refs/heads/main' }}", yes()),
            ("{push: {branches: [main]}}", "true", "${{ github.ref != 'refs/heads/main' }}", Cancels::Never),
            ("push", "true", "${{ inputs.cancel }}", Cancels::Perhaps("${{ inputs.cancel }}".to_owned())),
        ] {
            let text = format!(
                "on: {on}\nconcurrency: {{group: a, cancel-in-progress: \"{cancel}\"}}\njobs: {{apply: {{if: \"{condition}\"}}}}\n"
            );
            assert_eq!(read(&text).1, expected, "{text}");
        }
    }
}
