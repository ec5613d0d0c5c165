//! Workflows of GitHub Actions.

use serde_json::Value;

use super::yaml::{at, text, texts};
use super::{Cancels, Command, Files, Job, Machine, Queue, Step, Uses, When, script, trigger};

/// The jobs, and what the workflow takes from elsewhere.
pub(super) fn jobs(workflow: &Value, file: &str) -> Option<(Vec<Job>, Vec<String>)> {
    let jobs = at(workflow, &["jobs"])?.as_object()?;
    let unfollowed = jobs.values().flat_map(elsewhere).collect();
    Some((jobs.iter().map(|(name, job)| read(name, job, workflow, file)).collect(), unfollowed))
}

/// Workflows of others, and actions of the repository's own: either may run `chatapi apply`. Its own workflows are read as files.
fn elsewhere(job: &Value) -> Vec<String> {
    let called = text(job, &["uses"]).filter(|called| !called.starts_with("./.github/workflows/"));
    let actions = steps(job).iter().filter_map(|step| text(step, &["uses"])).filter(|action| action.starts_with("./"));
    called.into_iter().chain(actions).map(|uses| format!("uses: {uses}")).collect()
}

fn steps(job: &Value) -> &[Value] {
    at(job, &["steps"]).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn read(name: &str, job: &Value, workflow: &Value, file: &str) -> Job {
    // What it waits for is worth the work only where it matters.
    let all = read_steps(job, workflow);
    let is_applying = all.iter().flat_map(|step| &step.commands).any(Command::is_apply);
    let caches = steps(job).iter().filter_map(uses).filter(|uses| is_cache(&uses.name)).map(|uses| uses.files);
    Job {
        name: name.to_owned(),
        queue: if is_applying { queue(name, job, workflow, file) } else { Queue::default() },
        steps: all,
        caches: caches.collect(),
        image: text(job, &["container", "image"]).or_else(|| text(job, &["container"])).map(str::to_owned),
        machine: at(job, &["runs-on"]).map_or(Machine::Unknown, machine),
        variables: steps(job).iter().chain([job, workflow]).flat_map(variables).collect(),
    }
}

fn queue(name: &str, job: &Value, workflow: &Value, file: &str) -> Queue {
    let runs = trigger::runs(workflow, file, name, job);
    let both = [at(workflow, &["concurrency"]), at(job, &["concurrency"])];
    let cancels = both.map(|concurrency| trigger::cancels(concurrency, &runs));
    let worst = |wanted: fn(&Cancels) -> bool| cancels.iter().find(|one| wanted(one)).cloned();
    Queue {
        groups: both.into_iter().filter_map(|concurrency| trigger::group(concurrency, &runs)).collect(),
        cancels: worst(|one| matches!(one, Cancels::Yes(_)))
            .or_else(|| worst(|one| matches!(one, Cancels::Perhaps(_))))
            .unwrap_or_default(),
        is_called: runs.iter().any(|run| run.event.is_none()),
    }
}

fn variables(level: &Value) -> Vec<(String, String)> {
    let env = at(level, &["env"]).and_then(Value::as_object);
    env.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), super::yaml::shown(value)?))).collect()
}

/// `actions/cache`, its parts, and what others have made like it.
pub(in crate::doctor) fn is_cache(action: &str) -> bool {
    action.split('/').skip(1).any(|part| part.contains("cache"))
}

/// The action of a step, and the files that it is given.
fn uses(step: &Value) -> Option<Uses> {
    let name = text(step, &["uses"])?.split('@').next().unwrap_or_default().to_owned();
    let with = at(step, &["with"]).and_then(Value::as_object);
    let names_no_file = |key: &str| matches!(key, "ref" | "token" | "name" | "key" | "repository" | "restore-keys");
    let values = with.into_iter().flatten().filter(|(key, _)| !names_no_file(key));
    let paths = values.flat_map(|(_, value)| value.as_str().into_iter().flat_map(str::lines)).map(|line| line.trim().to_owned());
    let files = Files { paths: paths.filter(|path| !path.is_empty()).collect(), is_untracked: false };
    let is_elsewheres = name.contains("download-artifact") && !name.starts_with("actions/");
    let is_of_earlier_run = is_elsewheres || (name.contains("download-artifact") && at(step, &["with", "run-id"]).is_some());
    Some(Uses { name, files, is_of_earlier_run })
}

/// The steps; `CHATAPI_STATE=…` that one of them prints, into `$GITHUB_ENV` most likely, is what those after it have.
fn read_steps(job: &Value, workflow: &Value) -> Vec<Step> {
    let (mut printed, mut all, mut is_after_failure) = (None, Vec::new(), false);
    for step in steps(job) {
        let mut read = read_step(step, job, workflow);
        if at(step, &["env", "CHATAPI_STATE"]).is_none() {
            read.state = printed.clone().or(read.state);
        }
        if is_after_failure && read.when == When::Success {
            read.when = When::Condition("continue-on-error".to_owned());
        }
        let prints = read.commands.iter().filter(|command| command.is("echo") || command.is("printf"));
        let said = prints.flat_map(|command| &command.words).find_map(|word| word.strip_prefix("CHATAPI_STATE="));
        printed = said.map(str::to_owned).or(printed);
        let is_forgiven = at(step, &["continue-on-error"]).is_some_and(super::yaml::is_true);
        is_after_failure |= is_forgiven && read.commands.iter().any(Command::is_apply);
        all.push(read);
    }
    all
}

fn read_step(step: &Value, job: &Value, workflow: &Value) -> Step {
    let nearest = |keys: &[&str]| [step, job, workflow].into_iter().find_map(|level| text(level, keys)).map(str::to_owned);
    let directory = text(step, &["working-directory"]).map(str::to_owned);
    Step {
        commands: text(step, &["run"]).map_or_else(Vec::new, script::commands),
        state: nearest(&["env", "CHATAPI_STATE"]),
        directory: directory.or_else(|| nearest(&["defaults", "run", "working-directory"])),
        uses: uses(step),
        when: when(at(step, &["if"])),
    }
}

fn when(condition: Option<&Value>) -> When {
    let Some(condition) = condition else { return When::Success };
    let said = super::yaml::shown(condition).unwrap_or_default();
    let bare: String = said.chars().filter(|character| !character.is_whitespace() && !"${}".contains(*character)).collect();
    match bare.as_str() {
        "always()" => When::Always,
        "success()" | "true" => When::Success,
        _ => When::Condition(said),
    }
}

fn machine(runs_on: &Value) -> Machine {
    let labels = texts(at(runs_on, &["labels"]).unwrap_or(runs_on));
    let is_forges = |label: &&str| ["ubuntu-", "macos-", "windows-"].iter().any(|start| label.starts_with(start));
    if labels.contains(&"self-hosted") || at(runs_on, &["group"]).is_some() {
        Machine::Own
    } else if !labels.is_empty() && labels.iter().all(is_forges) {
        Machine::Hosted
    } else {
        Machine::Unknown
    }
}
