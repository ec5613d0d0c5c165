//! Workflows of GitHub Actions.

use serde_json::Value;

use super::yaml::{at, is_true, text, texts};
use super::{Job, Queue, Step, script};

pub(super) fn jobs(workflow: &Value) -> Option<Vec<Job>> {
    let jobs = at(workflow, &["jobs"])?.as_object()?;
    Some(jobs.iter().map(|(name, job)| read(name, job, workflow)).collect())
}

fn read(name: &str, job: &Value, workflow: &Value) -> Job {
    let steps = at(job, &["steps"]).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let uses = |step: &Value| text(step, &["uses"]).unwrap_or_default().split('@').next().unwrap_or_default().to_owned();
    let caches = steps.iter().filter(|step| is_cache(&uses(step))).flat_map(|step| lines(text(step, &["with", "path"])));
    let keepers = steps.iter().filter(|step| !uses(step).is_empty() && !is_cache(&uses(step)));
    Job {
        name: name.to_owned(),
        queue: queue(at(job, &["concurrency"]).or_else(|| at(workflow, &["concurrency"]))),
        steps: steps.iter().map(|step| commands(step, job, workflow)).collect(),
        caches: caches.collect(),
        keeps: keepers.flat_map(|step| kept(&uses(step), step)).collect(),
        image: text(job, &["container", "image"]).or_else(|| text(job, &["container"])).map(str::to_owned),
        is_own_machine: at(job, &["runs-on"]).is_some_and(is_own),
    }
}

/// `actions/cache`, its parts, and what others have made like it.
fn is_cache(action: &str) -> bool {
    action.split('/').skip(1).any(|part| part == "cache")
}

/// What a step that is no cache says of files: an upload names a path, and a commit takes what has changed.
fn kept(action: &str, step: &Value) -> Vec<String> {
    let with = at(step, &["with"]).and_then(Value::as_object);
    let values = with.into_iter().flatten().filter(|(key, _)| !matches!(key.as_str(), "ref" | "token" | "name" | "key"));
    let paths = values.flat_map(|(_, value)| lines(value.as_str())).filter(|path| !path.is_empty());
    let all = action.contains("commit").then(|| ".".to_owned());
    if action.starts_with("actions/checkout") { Vec::new() } else { paths.chain(all).collect() }
}

fn lines(text: Option<&str>) -> Vec<String> {
    text.into_iter().flat_map(str::lines).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn queue(concurrency: Option<&Value>) -> Queue {
    match concurrency {
        Some(Value::String(_)) => Queue::Waits,
        Some(group @ Value::Object(_)) if at(group, &["cancel-in-progress"]).is_some_and(is_true) => Queue::Cancels,
        Some(group @ Value::Object(_)) if at(group, &["group"]).is_some() => Queue::Waits,
        _ => Queue::Missing,
    }
}

fn commands(step: &Value, job: &Value, workflow: &Value) -> Step {
    let nearest = |keys: &[&str]| [step, job, workflow].into_iter().find_map(|level| text(level, keys)).map(str::to_owned);
    let directory = text(step, &["working-directory"]).map(str::to_owned);
    Step {
        commands: text(step, &["run"]).map_or_else(Vec::new, script::commands),
        state: nearest(&["env", "CHATAPI_STATE"]),
        directory: directory.or_else(|| nearest(&["defaults", "run", "working-directory"])),
    }
}

fn is_own(runs_on: &Value) -> bool {
    let labels = at(runs_on, &["labels"]).unwrap_or(runs_on);
    texts(labels).contains(&"self-hosted") || at(runs_on, &["group"]).is_some()
}
