//! GitHub's runner, as far as the recipe needs it: contexts, conditions, files that steps write to, and four actions.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::expression::{Scope, holds, interpolate};
use super::forge::{Event, Job, Kind, Pipeline, Repository};
use super::parts::{knows, parsed, recipe};
use crate::stage::Call;

type Texts = BTreeMap<String, String>;
/// Files by the name of their artifact and their path.
pub(super) type Uploads = Vec<((String, String), Vec<u8>)>;

/// One run of the workflow.
pub(super) struct Run<'r> {
    pub(super) repository: &'r Repository,
    workflow: Value,
    pub(super) github: Texts,
    vars: Texts,
    env: Texts,
    pub(super) done: Pipeline,
    is_lost: bool,
}

/// What a step left.
#[derive(Default)]
struct Step {
    outputs: Texts,
    outcome: &'static str,
}

/// One job on its runner.
pub(super) struct Runner<'r> {
    pub(super) run: &'r Run<'r>,
    name: &'r str,
    pub(super) definition: &'r Value,
    pub(super) place: PathBuf,
    secrets: Texts,
    env: Texts,
    steps: BTreeMap<String, Step>,
    job: Job,
    masks: Vec<String>,
    pub(super) uploads: Uploads,
}

pub(super) fn run(repository: &Repository, event: Event, commit: &str, number: u32, earlier: Option<&Pipeline>) -> Pipeline {
    let text = fs::read_to_string(repository.path("clone/.github/workflows/chatapi.yml")).unwrap();
    let workflow = parsed(&text);
    knows(&workflow, &["name", "on", "concurrency", "permissions", "defaults", "env", "jobs"]);
    assert_eq!(workflow["on"], parsed("{pull_request: null, push: {branches: [main]}}"), "what it runs for");
    assert_eq!(workflow["defaults"], parsed("{run: {shell: bash}}"));
    assert_eq!(workflow["permissions"], parsed("{contents: read}"));
    let (name, reference) = match event {
        Event::PullRequest => ("pull_request", "refs/pull/7/merge"),
        Event::Merge => ("push", "refs/heads/main"),
    };
    let github =
        [("event_name", name), ("ref", reference), ("sha", commit), ("run_id", &number.to_string()), ("run_attempt", "1")];
    let github: Texts = github.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    // A fork sees no variable and no secret.
    let vars = if event == Event::Merge { repository.variables() } else { Texts::new() };
    let mut run = Run {
        repository,
        workflow: workflow.clone(),
        github,
        vars,
        env: Texts::new(),
        done: Pipeline::default(),
        is_lost: false,
    };
    run.env = environment(&workflow, &run.context(None));
    run.waits(event);
    if let Some(earlier) = earlier {
        run.done.artifacts.clone_from(&earlier.artifacts);
        run.done.jobs =
            earlier.jobs.iter().filter(|(name, _)| *name == "plan").map(|(name, job)| (name.clone(), job.clone())).collect();
    }
    run.all_jobs();
    run.done
}

impl Run<'_> {
    /// Runs for `main` wait for each other from the first job to the last, and none is cancelled.
    fn waits(&self, event: Event) {
        let concurrency = &self.workflow["concurrency"];
        assert_eq!(concurrency["cancel-in-progress"], false);
        let group = interpolate(concurrency["group"].as_str().unwrap(), &self.context(None));
        assert_eq!(group == "chatapi-apply", event == Event::Merge, "{group}");
    }

    fn all_jobs(&mut self) {
        let workflow = self.workflow.clone();
        let jobs = workflow["jobs"].as_object().unwrap();
        while self.done.jobs.len() < jobs.len() && !self.is_lost {
            let is_next = |name: &&String| {
                let is_ready = needs(&jobs[*name]).iter().all(|needed| self.done.jobs.contains_key(needed));
                !self.done.jobs.contains_key(*name) && is_ready
            };
            let name = jobs.keys().find(is_next).expect("a job whose needs are met");
            let (job, uploads) = self.one_job(name, &jobs[name]);
            self.is_lost = self.repository.is_lost();
            self.done.jobs.insert(name.clone(), job);
            self.done.artifacts.extend(uploads);
        }
    }

    fn one_job(&self, name: &str, definition: &Value) -> (Job, Uploads) {
        let known = ["needs", "if", "runs-on", "timeout-minutes", "environment", "permissions", "outputs", "steps"];
        knows(definition, &known);
        assert_eq!(definition["runs-on"], "ubuntu-24.04");
        assert!(definition["timeout-minutes"].is_u64());
        if !holds(definition["if"].as_str(), &self.context(Some(definition))) {
            return (Job { result: "skipped", ..Job::default() }, Vec::new());
        }
        let place = self.repository.fresh("runner");
        for directory in ["home", "work", "temp"] {
            fs::create_dir(place.join(directory)).unwrap();
        }
        let secrets = self.repository.secret(definition["environment"].as_str());
        let job = Job { result: "success", ..Job::default() };
        let (env, steps, masks, uploads) = (self.env.clone(), BTreeMap::new(), Vec::new(), Vec::new());
        let mut runner = Runner { run: self, name, definition, place, secrets, env, steps, job, masks, uploads };
        runner.all_steps();
        (runner.job, runner.uploads)
    }

    /// What stands outside of a job: only statuses of what it needs are known.
    fn context<'c>(&'c self, definition: Option<&'c Value>) -> Outside<'c> {
        Outside { run: self, needs: definition.map(needs).unwrap_or_default() }
    }

    /// A name that has the same value everywhere in the run.
    fn name(&self, path: &str, needs: &[String]) -> String {
        let parts: Vec<_> = path.split('.').collect();
        match parts[..] {
            ["github", name] => self.github.get(name).unwrap_or_else(|| panic!("github.{name}")).clone(),
            ["vars", name] => self.vars.get(name).cloned().unwrap_or_default(),
            ["runner", "os"] => "Linux".to_owned(),
            ["runner", "arch"] => "X64".to_owned(),
            ["needs", job, "outputs", name] if needs.iter().any(|needed| needed == job) => {
                let is_said = !self.workflow["jobs"][job]["outputs"][name].is_null();
                assert!(is_said, "the job {job} has no output {name}");
                self.done.jobs[job].outputs.get(name).cloned().unwrap_or_default()
            }
            _ => panic!("the runner of the tests does not know `{path}`"),
        }
    }
}

fn environment(level: &Value, scope: &dyn Scope) -> Texts {
    let entries = level["env"].as_object().into_iter().flatten();
    entries.map(|(name, value)| (name.clone(), interpolate(value.as_str().expect("a text, in quotes"), scope))).collect()
}

fn needs(definition: &Value) -> Vec<String> {
    let listed = definition["needs"].as_array().into_iter().flatten();
    listed.chain(definition.get("needs").filter(|one| one.is_string())).map(|name| name.as_str().unwrap().to_owned()).collect()
}

struct Outside<'c> {
    run: &'c Run<'c>,
    needs: Vec<String>,
}

impl Scope for Outside<'_> {
    fn name(&self, path: &str) -> String {
        self.run.name(path, &self.needs)
    }

    fn status(&self, function: &str) -> bool {
        let mut results = self.needs.iter().map(|name| self.run.done.jobs[name].result);
        match function {
            "always" => true,
            "success" => results.all(|result| result == "success"),
            "failure" => results.any(|result| result == "failure"),
            "cancelled" => false,
            _ => panic!("the runner of the tests does not know `{function}()`"),
        }
    }
}

impl Scope for Runner<'_> {
    fn name(&self, path: &str) -> String {
        let parts: Vec<_> = path.split('.').collect();
        let step = |id: &str| self.steps.get(id).unwrap_or_else(|| panic!("no step `{id}` before this one"));
        match parts[..] {
            ["secrets", name] => self.secrets.get(name).cloned().unwrap_or_default(),
            ["env", name] => self.env[name].clone(),
            ["steps", id, "outcome"] => step(id).outcome.to_owned(),
            ["steps", id, "outputs", name] => step(id).outputs.get(name).cloned().unwrap_or_default(),
            _ => self.run.name(path, &needs(self.definition)),
        }
    }

    fn status(&self, function: &str) -> bool {
        match function {
            "always" => true,
            "success" => self.job.result == "success",
            "failure" => self.job.result == "failure",
            "cancelled" => false,
            _ => panic!("the runner of the tests does not know `{function}()`"),
        }
    }
}

impl Runner<'_> {
    fn all_steps(&mut self) {
        for step in self.definition["steps"].as_array().unwrap() {
            knows(step, &["name", "id", "if", "env", "run", "uses", "with"]);
            let outcome = if self.run.repository.is_lost() {
                return;
            } else if holds(step["if"].as_str(), self) {
                self.one_step(step)
            } else {
                ("skipped", Texts::new())
            };
            if let Some(id) = step["id"].as_str() {
                self.steps.insert(id.to_owned(), Step { outcome: outcome.0, outputs: outcome.1 });
            }
        }
        let outputs = self.definition["outputs"].as_object().into_iter().flatten();
        let outputs: Texts = outputs.map(|(name, value)| (name.clone(), interpolate(value.as_str().unwrap(), self))).collect();
        self.job.outputs = outputs;
    }

    fn one_step(&mut self, step: &Value) -> (&'static str, Texts) {
        let (code, outputs) = match (step["run"].as_str(), step["uses"].as_str()) {
            (Some(script), None) => self.shell(script, step),
            (None, Some(action)) => (self.action(action, &step["with"]), Texts::new()),
            _ => panic!("a step runs or uses something: {step}"),
        };
        if code == 0 {
            return ("success", outputs);
        }
        // The first failure is the job's.
        if self.job.result == "success" {
            (self.job.result, self.job.code) = ("failure", code);
        }
        ("failure", outputs)
    }

    fn shell(&mut self, script: &str, step: &Value) -> (i32, Texts) {
        assert!(!script.contains("${{"), "what is replaced in a script may be anybody's text: {script}");
        let (work, temp) = (self.place.join("work"), self.place.join("temp"));
        let file = |name: &str| temp.join(name);
        fs::write(file("script.sh"), script).unwrap();
        for name in ["output", "env", "summary"] {
            fs::write(file(name), "").unwrap();
        }
        let own = environment(step, self);
        let mut call = Call::of(
            "bash",
            work.clone(),
            ["-c", "umask 022; exec bash --noprofile --norc -eo pipefail \"$0\"", file("script.sh").to_str().unwrap()],
        );
        call = call.envs(&self.run.repository.environment(&self.place.join("home")));
        for (name, value) in &self.run.github {
            call = call.env(format!("GITHUB_{}", name.to_uppercase()), value);
        }
        call = call.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", &work).env("GITHUB_JOB", self.name);
        call = call.env("GITHUB_SERVER_URL", "https://github.example").env("GITHUB_REPOSITORY", "us/instances");
        call = call.env("RUNNER_OS", "Linux").env("RUNNER_ENVIRONMENT", "github-hosted").env("RUNNER_TEMP", &temp);
        call =
            call.env("GITHUB_OUTPUT", file("output")).env("GITHUB_ENV", file("env")).env("GITHUB_STEP_SUMMARY", file("summary"));
        for (name, value) in self.env.iter().chain(&own) {
            call = call.env(name, value);
        }
        let ran = call.run();
        self.logs(&format!("{}{}", ran.stdout, ran.stderr));
        self.job.summary += &fs::read_to_string(file("summary")).unwrap();
        self.env.extend(assignments(&fs::read_to_string(file("env")).unwrap()));
        (ran.code, assignments(&fs::read_to_string(file("output")).unwrap()))
    }

    /// The log as people see it: what was masked is stars from then on.
    pub(super) fn logs(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(mask) = line.strip_prefix("::add-mask::") {
                self.masks.push(mask.to_owned());
                continue;
            }
            let shown = self.masks.iter().fold(line.to_owned(), |line, mask| line.replace(mask, "***"));
            self.job.log += &(shown + "\n");
        }
    }
}

/// `name=value` lines and blocks, as in the files that a step writes to.
fn assignments(text: &str) -> Texts {
    let mut found = Texts::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some((name, end)) = line.split_once("<<") {
            let value: Vec<_> = lines.by_ref().take_while(|line| *line != end).collect();
            found.insert(name.to_owned(), value.join("\n"));
        } else {
            let (name, value) = line.split_once('=').unwrap_or_else(|| panic!("neither a block nor an assignment: {line}"));
            found.insert(name.to_owned(), value.to_owned());
        }
    }
    found
}

/// What the runner takes from the workflow without carrying it out.
#[test]
fn the_workflow_asks_for_no_more_rights_than_it_needs() {
    let workflow = parsed(&recipe(Kind::GitHub));
    let jobs = workflow["jobs"].as_object().unwrap();
    for (name, job) in jobs {
        let expected = if name == "apply" { parsed("{contents: write}") } else { Value::Null };
        assert_eq!(job["permissions"], expected, "{name}");
        let text = job.to_string();
        assert_eq!(text.contains("secrets."), matches!(name.as_str(), "apply" | "deploy"), "{name}");
        assert_eq!(job["environment"].is_string(), text.contains("secrets."), "{name}: a secret is an environment's");
    }
}
