//! GitLab's runner, as far as the recipe needs it: rules, variables, one shell for a job's script, another one for what comes after.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::forge::{Event, Job, Kind, Pipeline, Repository};
use super::parts::{files, knows, parsed, recipe};
use crate::stage::Call;

type Texts = BTreeMap<String, String>;

/// Keys of the file that are no jobs.
const KEYWORDS: [&str; 4] = ["stages", "workflow", "variables", "default"];

struct Run<'r> {
    repository: &'r Repository,
    file: Value,
    event: Event,
    predefined: Texts,
    done: Pipeline,
}

pub(super) fn run(repository: &Repository, event: Event, commit: &str, number: u32, earlier: Option<&Pipeline>) -> Pipeline {
    let file = parsed(&fs::read_to_string(repository.path("clone/.gitlab-ci.yml")).unwrap());
    let origin = repository.path("origin.git");
    let project = origin.to_str().unwrap().strip_suffix(".git").unwrap();
    let mut predefined: Texts = [
        ("GITLAB_CI", "true"),
        ("CI_PIPELINE_SOURCE", if event == Event::PullRequest { "merge_request_event" } else { "push" }),
        ("CI_COMMIT_BRANCH", if event == Event::PullRequest { "" } else { "main" }),
        ("CI_COMMIT_REF_PROTECTED", if event == Event::PullRequest { "false" } else { "true" }),
        ("CI_DEFAULT_BRANCH", "main"),
        ("CI_COMMIT_SHA", commit),
        ("CI_PROJECT_URL", project),
        ("CI_PIPELINE_ID", &number.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    predefined.insert("CI_REPOSITORY_URL".to_owned(), origin.display().to_string());
    let mut run = Run { repository, file, event, predefined, done: Pipeline::default() };
    if let Some(earlier) = earlier {
        run.done.artifacts.clone_from(&earlier.artifacts);
        run.done.jobs =
            earlier.jobs.iter().filter(|(name, _)| *name == "plan").map(|(name, job)| (name.clone(), job.clone())).collect();
    }
    let starts = run.is_wanted(&run.file["workflow"]);
    assert!(starts, "there is a pipeline");
    run.all_jobs();
    run.done
}

/// `$A == "b" && $C == $D`, and nothing else.
fn is_true(condition: &str, variables: &Texts) -> bool {
    let term = |text: &str| match text.strip_prefix('$') {
        Some(name) => variables.get(name).cloned().unwrap_or_default(),
        None => text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).expect("a text or a variable").to_owned(),
    };
    condition.split(" && ").all(|part| {
        let (left, right) = part.split_once(" == ").unwrap_or_else(|| panic!("the runner of the tests does not know `{part}`"));
        term(left) == term(right)
    })
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

impl Run<'_> {
    /// Variables of a job: the file's, before them the project's, before them what the forge knows; and those of its environment.
    fn variables(&self, environment: Option<&str>) -> Texts {
        let own = self.file["variables"].as_object().unwrap().iter();
        let mut all: Texts = own.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned())).collect();
        // What is protected is not seen by what is not merged.
        let is_seen = |name: &str| self.event == Event::Merge || name != "CHATAPI_URL";
        all.extend(self.repository.variables().into_iter().filter(|(name, _)| is_seen(name)));
        if self.event == Event::Merge {
            all.extend(self.repository.secret(environment));
            let is_applying = environment == Some("chatapi");
            all.extend(is_applying.then(|| ("CHATAPI_PUSH_TOKEN".to_owned(), "glpat-of0the0tests".to_owned())));
        }
        all.extend(self.predefined.clone());
        all
    }

    fn is_wanted(&self, definition: &Value) -> bool {
        let rules = definition["rules"].as_array().expect("rules");
        rules.iter().any(|rule| {
            knows(rule, &["if"]);
            is_true(rule["if"].as_str().unwrap(), &self.variables(None))
        })
    }

    fn all_jobs(&mut self) {
        let file = self.file.clone();
        let jobs: BTreeMap<_, _> =
            file.as_object().unwrap().iter().filter(|(name, _)| !KEYWORDS.contains(&name.as_str())).collect();
        for stage in texts(&file["stages"]) {
            let of_stage = jobs.iter().filter(|(_, job)| job["stage"] == stage.as_str());
            for (name, definition) in of_stage {
                let is_done = self.done.jobs.contains_key(*name);
                if is_done || self.repository.is_lost() || !self.is_wanted(definition) {
                    continue;
                }
                let needs = texts(&definition["needs"]);
                let is_ready = needs.iter().all(|needed| self.done.jobs.get(needed).is_some_and(|job| job.result == "success"));
                let job =
                    if is_ready { self.one_job(name, definition, &needs) } else { Job { result: "skipped", ..Job::default() } };
                self.done.jobs.insert((*name).clone(), job);
            }
        }
    }

    fn one_job(&mut self, name: &str, definition: &Value, needs: &[String]) -> Job {
        let known = ["stage", "rules", "needs", "resource_group", "environment", "script", "after_script", "artifacts"];
        knows(definition, &known);
        let place = self.repository.fresh("runner");
        for directory in ["home", "work"] {
            fs::create_dir(place.join(directory)).unwrap();
        }
        let mut variables = self.variables(definition["environment"].as_str());
        variables.insert("CI_JOB_ID".to_owned(), format!("{}-{name}", variables["CI_PIPELINE_ID"]));
        variables.insert("CI_JOB_NAME".to_owned(), name.to_owned());
        variables.insert("CI_PROJECT_DIR".to_owned(), place.join("work").display().to_string());
        for ((_, path), bytes) in self.done.artifacts.iter().filter(|((of, _), _)| needs.contains(of)) {
            let path = place.join("work").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        for needed in needs {
            variables.extend(self.done.jobs[needed].outputs.clone());
        }
        let mut worker = Worker { run: self, place, variables, log: String::new() };
        let fetched = worker.shell("git init --quiet . 2>&1; git fetch --quiet \"$CI_REPOSITORY_URL\" \"$CI_COMMIT_SHA\"; git checkout --quiet FETCH_HEAD");
        assert_eq!(fetched, 0, "{}", worker.log);
        let script = [texts(&self.file["default"]["before_script"]), texts(&definition["script"])].concat().join("\n");
        let code = worker.shell(&script);
        if !self.repository.is_lost() && !definition["after_script"].is_null() {
            // Its end is nobody's business.
            let _ = worker.shell(&texts(&definition["after_script"]).join("\n"));
        }
        let (log, place) = (worker.log, worker.place);
        let mut job = Job { result: if code == 0 { "success" } else { "failure" }, code, log, ..Job::default() };
        if !self.repository.is_lost() {
            self.keep(name, &definition["artifacts"], &place.join("work"), &mut job);
        }
        job
    }

    fn keep(&mut self, name: &str, artifacts: &Value, work: &std::path::Path, job: &mut Job) {
        if artifacts.is_null() {
            return;
        }
        knows(artifacts, &["when", "expose_as", "paths", "reports"]);
        let is_kept = job.result == "success" || artifacts["when"] == "always";
        for path in texts(&artifacts["paths"]).iter().filter(|_| is_kept) {
            let found = files(work, path);
            assert!(job.result == "failure" || !found.is_empty(), "{name} left no {path}");
            self.done.artifacts.extend(found.into_iter().map(|(path, bytes)| ((name.to_owned(), path), bytes)));
        }
        for (kind, path) in artifacts["reports"].as_object().into_iter().flatten() {
            assert!(["junit", "terraform", "dotenv"].contains(&kind.as_str()), "{kind}");
            let text = fs::read_to_string(work.join(path.as_str().unwrap())).unwrap_or_default();
            assert!(job.result == "failure" || !text.is_empty(), "{name} left no {path}");
            if kind == "dotenv" {
                job.outputs =
                    text.lines().map(|line| line.split_once('=').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            } else {
                job.summary += &text;
            }
        }
        // What `expose_as` links.
        if let Some(bytes) = self.done.artifacts.get(&(name.to_owned(), "plan.md".to_owned())) {
            job.summary += &String::from_utf8_lossy(bytes);
        }
    }
}

struct Worker<'r> {
    run: &'r Run<'r>,
    place: PathBuf,
    variables: Texts,
    log: String,
}

impl Worker<'_> {
    /// A shell of its own, where the umask closes nothing: so it is in a container of GitLab's.
    fn shell(&mut self, script: &str) -> i32 {
        let file = self.place.join("script.sh");
        fs::write(&file, script).unwrap();
        let start = "umask 000; exec bash --noprofile --norc -eo pipefail \"$0\"";
        let call = Call::of("bash", self.place.join("work"), ["-c", start, file.to_str().unwrap()]);
        let mut call = call.envs(&self.run.repository.environment(&self.place.join("home")));
        for (name, value) in &self.variables {
            call = call.env(name, value);
        }
        let ran = call.run();
        self.log.extend([ran.stdout, ran.stderr]);
        ran.code
    }
}

#[test]
fn applies_wait_for_each_other_and_the_cache_has_the_program_only() {
    let file = parsed(&recipe(Kind::GitLab));
    knows(&file, &["stages", "workflow", "variables", "default", "review", "plan", "apply", "deploy"]);
    knows(&file["default"], &["image", "timeout", "cache", "before_script"]);
    assert_eq!(file["apply"]["resource_group"], "chatapi");
    let key = "chatapi-$CHATAPI_COMMIT-protected-$CI_COMMIT_REF_PROTECTED";
    assert_eq!(file["default"]["cache"], parsed(&format!("{{key: {key}, paths: [.chatapi/bin]}}")));
    for (condition, expected) in
        [("$A == \"1\"", true), ("$A == $B", false), ("$A == \"1\" && $B == \"2\"", true), ("$C == \"\"", true)]
    {
        let variables = Texts::from([("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
        assert_eq!(is_true(condition, &variables), expected, "{condition}");
    }
    let unknown = std::panic::catch_unwind(|| is_true("$A =~ /x/", &Texts::new()));
    assert!(unknown.is_err(), "what is not known is not passed over");
}
