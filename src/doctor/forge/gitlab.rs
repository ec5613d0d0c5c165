//! `.gitlab-ci.yml`.

use serde_json::Value;

use super::yaml::{at, is_true, texts};
use super::{Job, Queue, Step, script};

/// Keys of the file that are no jobs.
const KEYWORDS: [&str; 13] = [
    "default",
    "include",
    "stages",
    "variables",
    "workflow",
    "cache",
    "image",
    "services",
    "before_script",
    "after_script",
    "spec",
    "types",
    "inputs",
];
/// How many jobs are looked into for one key, along `extends`: it may go in circles.
const LOOKS_MAX: usize = 100;

pub(super) fn jobs(documents: &[Value]) -> Option<Vec<Job>> {
    // The first of two documents is a header.
    let file = documents.last()?;
    let entries = file.as_object()?;
    let is_job = |name: &str, value: &Value| value.is_object() && !name.starts_with('.') && !KEYWORDS.contains(&name);
    Some(entries.iter().filter(|(name, value)| is_job(name, value)).map(|(name, job)| read(name, job, file)).collect())
}

fn read(name: &str, job: &Value, file: &Value) -> Job {
    let own = |key: &str| found(job, key, file);
    // What a job does not say is said for all, in `default` or at the top.
    let any = |key: &str| own(key).or_else(|| at(file, &["default", key])).or_else(|| at(file, &[key]));
    let script: Vec<_> = ["before_script", "script"].into_iter().filter_map(any).flat_map(texts).collect();
    let variable = |variables: Option<&Value>| {
        let value = at(variables?, &["CHATAPI_STATE"])?;
        at(value, &["value"]).unwrap_or(value).as_str().map(str::to_owned)
    };
    let step = Step {
        commands: script::commands(&script.join("\n")),
        state: variable(own("variables")).or_else(|| variable(at(file, &["variables"]))),
        directory: None,
    };
    let queue = match own("resource_group") {
        None => Queue::Missing,
        Some(_) if own("interruptible").is_some_and(is_true) => Queue::Cancels,
        Some(_) => Queue::Waits,
    };
    let artifacts = any("artifacts").and_then(|artifacts| at(artifacts, &["paths"]));
    Job {
        name: name.to_owned(),
        queue,
        steps: vec![step],
        caches: any("cache").map_or_else(Vec::new, cached),
        keeps: artifacts.into_iter().flat_map(texts).map(str::to_owned).collect(),
        image: any("image").and_then(|image| at(image, &["name"]).unwrap_or(image).as_str()).map(str::to_owned),
        is_own_machine: false,
    }
}

/// What `job` says of `key`, itself or by what it extends; the last of several goes before the others.
fn found<'v>(job: &'v Value, key: &str, file: &'v Value) -> Option<&'v Value> {
    let mut open = vec![job];
    for _ in 0..LOOKS_MAX {
        let next = open.pop()?;
        if let Some(said) = at(next, &[key]) {
            return Some(said);
        }
        open.extend(at(next, &["extends"]).map(texts).unwrap_or_default().into_iter().filter_map(|name| file.get(name)));
    }
    None
}

/// The paths of one cache, or of several.
fn cached(cache: &Value) -> Vec<String> {
    let one =
        |cache: &Value| at(cache, &["paths"]).map(texts).unwrap_or_default().into_iter().map(str::to_owned).collect::<Vec<_>>();
    cache.as_array().map_or_else(|| one(cache), |caches| caches.iter().flat_map(one).collect())
}
