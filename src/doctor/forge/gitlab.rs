//! `.gitlab-ci.yml`.

use serde_json::Value;

use super::gitlab_file::{File, Include};
use super::yaml::{at, is_true, shown, texts};
use super::{ARTIFACTS, Cancels, Files, Group, Job, Machine, Queue, Step, Uses, When, gitlab_group, script};

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

/// The jobs, and what the file takes from elsewhere.
pub(super) fn jobs(text: &str, include: Include<'_>) -> Option<(Vec<Job>, Vec<String>)> {
    let mut file = File::read(text, include)?;
    let is_job = |name: &str, value: &Value| value.is_object() && !name.starts_with('.') && !KEYWORDS.contains(&name);
    let named = file.entries().filter(|(name, value)| is_job(name, value));
    let named: Vec<(String, Value)> = named.map(|(name, job)| (name.clone(), job.clone())).collect();
    let mut jobs = Vec::new();
    for (name, job) in named {
        let definition = file.extended(&job);
        if at(&definition, &["trigger"]).is_some() {
            file.unfollowed.push(format!("the pipeline that `{name}` triggers"));
        }
        jobs.push(Reading { name: &name, definition: &definition, file: &file }.job());
    }
    file.unfollowed.sort();
    file.unfollowed.dedup();
    Some((jobs, file.unfollowed))
}

struct Reading<'f> {
    name: &'f str,
    definition: &'f Value,
    file: &'f File,
}

impl<'f> Reading<'f> {
    fn job(&self) -> Job {
        let variables = self.variables();
        let state = variables.iter().find(|(name, _)| name == "CHATAPI_STATE").map(|(_, value)| value.clone());
        let scripts = |keys: &[&str]| -> Vec<&str> { keys.iter().filter_map(|key| self.any(key)).flat_map(texts).collect() };
        let step = |script: &[&str], when| Step {
            commands: script::commands(&script.join("\n")),
            state: state.clone(),
            directory: None,
            uses: None,
            when,
        };
        let mut steps =
            vec![step(&scripts(&["before_script", "script"]), When::Success), step(&scripts(&["after_script"]), When::Always)];
        steps.extend(self.any("artifacts").map(artifacts));
        Job {
            name: self.name.to_owned(),
            queue: self.queue(&variables),
            steps,
            caches: self.any("cache").map_or_else(Vec::new, caches),
            image: self.any("image").and_then(|image| at(image, &["name"]).unwrap_or(image).as_str()).map(str::to_owned),
            machine: Machine::Unknown,
            variables,
        }
    }

    /// What a job does not say is said for all, in `default` or at the top, unless it inherits nothing.
    fn any(&self, key: &str) -> Option<&'f Value> {
        let general = || {
            let default = self.file.get("default").and_then(|default| at(default, &[key]));
            default.or_else(|| self.file.get(key)).filter(|_| self.inherits("default", key))
        };
        at(self.definition, &[key]).or_else(general)
    }

    fn inherits(&self, what: &str, key: &str) -> bool {
        match at(self.definition, &["inherit", what]) {
            Some(Value::Bool(is_inherited)) => *is_inherited,
            Some(list @ Value::Array(_)) => texts(list).contains(&key),
            _ => true,
        }
    }

    fn variables(&self) -> Vec<(String, String)> {
        let list = |variables: Option<&Value>| -> Vec<(String, String)> {
            let entries = variables.and_then(Value::as_object).into_iter().flatten();
            entries.filter_map(|(name, value)| Some((name.clone(), shown(at(value, &["value"]).unwrap_or(value))?))).collect()
        };
        let general = list(self.file.get("variables")).into_iter().filter(|(name, _)| self.inherits("variables", name));
        list(at(self.definition, &["variables"])).into_iter().chain(general).collect()
    }

    fn queue(&self, variables: &[(String, String)]) -> Queue {
        let (name, definition, workflow) = (self.name, self.definition, self.file.get("workflow"));
        let job = gitlab_group::Job { name, definition, workflow, variables };
        let text = at(definition, &["resource_group"]).and_then(shown).filter(|text| !text.is_empty());
        let group = text.map(|text| Group { name: gitlab_group::name(&text, &job), text });
        Queue { groups: group.into_iter().collect(), cancels: self.cancels(), is_called: false }
    }

    fn cancels(&self) -> Cancels {
        let workflow = self.file.get("workflow");
        let rules = workflow.and_then(|workflow| at(workflow, &["rules"])).and_then(Value::as_array).into_iter().flatten();
        let said: Vec<&Value> = workflow.into_iter().chain(rules).filter_map(|level| at(level, &["auto_cancel"])).collect();
        let says = |key: &str, word: &str| said.iter().any(|one| at(one, &[key]).and_then(Value::as_str) == Some(word));
        if says("on_job_failure", "all") {
            return Cancels::Yes("`auto_cancel: {on_job_failure: all}`");
        }
        let is_off =
            says("on_new_commit", "none") && !says("on_new_commit", "interruptible") && !says("on_new_commit", "conservative");
        match self.any("interruptible") {
            Some(said) if is_true(said) && !is_off => Cancels::Yes("`interruptible: true`"),
            Some(Value::String(text)) if text != "true" && text != "false" && !is_off => Cancels::Perhaps(text.clone()),
            _ => Cancels::Never,
        }
    }
}

/// What a job leaves behind, as its last step.
fn artifacts(artifacts: &Value) -> Step {
    let mut files = files(artifacts);
    files.paths.extend(at(artifacts, &["exclude"]).map(texts).unwrap_or_default().iter().map(|path| format!("!{path}")));
    let when = match at(artifacts, &["when"]).and_then(Value::as_str) {
        Some("always") => When::Always,
        None | Some("on_success") => When::Success,
        Some(other) => When::Condition(other.to_owned()),
    };
    let uses = Some(Uses { name: ARTIFACTS.to_owned(), files, is_of_earlier_run: false });
    Step { commands: Vec::new(), state: None, directory: None, uses, when }
}

fn files(value: &Value) -> Files {
    Files {
        paths: at(value, &["paths"]).map(texts).unwrap_or_default().into_iter().map(str::to_owned).collect(),
        is_untracked: at(value, &["untracked"]).is_some_and(is_true),
    }
}

/// One cache, or several.
fn caches(cache: &Value) -> Vec<Files> {
    cache.as_array().map_or_else(|| vec![files(cache)], |caches| caches.iter().map(files).collect())
}
