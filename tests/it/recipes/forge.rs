//! What both forges have: a repository that somebody set up by the README alone, runners that are new for each job, and a gateway.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::parts::{BEGIN, BRANCH, GIT, executable, instructions, recipe, system_path};
use super::{github, gitlab};
use crate::stage::{Call, Gateway, KEY, Run, is_free_of};

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    GitHub,
    GitLab,
}

/// What a pipeline runs for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    PullRequest,
    Merge,
}

/// How a job went.
#[derive(Debug, Clone, Default)]
pub(super) struct Job {
    /// `success`, `failure` or `skipped`.
    pub(super) result: &'static str,
    /// The exit code of the step or script that failed, else 0.
    pub(super) code: i32,
    /// All that its log shows.
    pub(super) log: String,
    /// The job's summary, or what else it shows to people.
    pub(super) summary: String,
    /// What it says to later jobs.
    pub(super) outputs: BTreeMap<String, String>,
}

/// A run of the pipeline.
#[derive(Debug, Clone, Default)]
pub(super) struct Pipeline {
    pub(super) jobs: BTreeMap<String, Job>,
    /// Files by the name of the artifact and their path.
    pub(super) artifacts: BTreeMap<(String, String), Vec<u8>>,
}

/// The repository, its forge and its gateway.
pub(super) struct Repository {
    pub(super) kind: Kind,
    pub(super) gateway: Gateway,
    place: TempDir,
    public: RefCell<String>,
    runs: Cell<u32>,
    variables: RefCell<BTreeMap<String, String>>,
}

impl Repository {
    /// Set up on a clean clone by the README's own commands; nothing is pushed to `main` yet but a first commit.
    pub(super) fn new(kind: Kind, names: &[&str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let (runs, public, variables) = (Cell::new(0), RefCell::default(), RefCell::default());
        let this = Self { kind, gateway: Gateway::start(&[]), place, public, runs, variables };
        for directory in ["home", "tools", "bin"] {
            fs::create_dir(this.path(directory)).unwrap();
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_chatapi"), this.path("bin/chatapi")).unwrap();
        this.trouble("");
        let git = |line: &str| this.shell(this.place.path(), line).done();
        git("git init --quiet --bare --initial-branch=main origin.git");
        git("git clone --quiet origin.git clone 2>&1; git -C clone switch --quiet --orphan main");
        git("git -C clone commit --quiet --allow-empty --message first && git -C clone push --quiet origin main");

        let begun = this.follow(BEGIN);
        let public = begun.stdout.lines().find(|line| line.starts_with("chatapi-pub1-")).expect("the public half").to_owned();
        *this.public.borrow_mut() = public;
        this.declare(names);
        this.follow(BRANCH).done();
        let (from, to) = match kind {
            Kind::GitHub => ("https://git.example/chatapi.git", ".github/workflows/chatapi.yml"),
            Kind::GitLab => ("https://git.example/chatapi.git", ".gitlab-ci.yml"),
        };
        let text = recipe(kind).replace(from, "https://trusted.test/c.git").replace(&"0".repeat(40), &"1".repeat(40));
        let to = this.path("clone").join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::write(to, text).unwrap();
        this
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A setting of the forge, on top of those that the README names.
    pub(super) fn set(&self, name: &str, value: &str) {
        self.variables.borrow_mut().insert(name.to_owned(), value.to_owned());
    }

    /// What the README lets people set for everybody.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([("CHATAPI_URL".to_owned(), self.gateway.url())]);
        all.extend(self.variables.borrow().clone());
        all
    }

    /// The secret that an environment of the forge has.
    pub(super) fn secret(&self, environment: Option<&str>) -> BTreeMap<String, String> {
        let secret = match environment {
            None => return BTreeMap::new(),
            Some("chatapi") => ("CHATAPI_API_KEY", KEY.to_owned()),
            Some("chatapi-deploy") => ("CHATAPI_IDENTITY", self.identity()),
            Some(other) => panic!("the README says nothing of the environment {other}"),
        };
        BTreeMap::from([(secret.0.to_owned(), secret.1)])
    }

    /// The last line of the key's file.
    fn identity(&self) -> String {
        let text = fs::read_to_string(self.path("home/.config/chatapi/key.txt")).unwrap();
        text.lines().last().unwrap().to_owned()
    }

    pub(super) fn declare(&self, names: &[&str]) {
        let mut text = format!("provider: {{kind: chatapi}}\nseal_to: [{}]\ninstances:\n", self.public.borrow());
        text.extend(names.iter().map(|name| format!("  - {{name: {name}, type: whatsapp}}\n")));
        fs::write(self.path("clone/instances.yaml"), text).unwrap();
    }

    /// What the person at their own machine types.
    #[must_use = "look at what came out"]
    pub(super) fn shell(&self, directory: &Path, script: &str) -> Run {
        let path = format!("{}:{}", self.path("bin").display(), system_path());
        let call = Call::of("bash", directory.to_owned(), ["--noprofile", "--norc", "-eo", "pipefail", "-c", script]);
        let call = call.envs(&GIT.map(|(name, value)| (name.into(), value.into())));
        let call = call.env("PATH", path).env("HOME", self.path("home"));
        let call = call.env("GIT_AUTHOR_NAME", "a").env("GIT_AUTHOR_EMAIL", "a@b.example");
        let call = call.env("GIT_COMMITTER_NAME", "a").env("GIT_COMMITTER_EMAIL", "a@b.example");
        call.env("CHATAPI_URL", self.gateway.url()).env("CHATAPI_API_KEY", KEY).run().exits(0)
    }

    /// Types a block of the README in the clone.
    pub(super) fn follow(&self, block: usize) -> Run {
        // The doctor does not like the place of these tests: the system throws away what is there. Doubts end with 3.
        let script = instructions()[block].replace("chatapi doctor\n", "chatapi doctor || [ $? -eq 1 ]\n");
        let script = script.replace("chatapi doubts\n", "chatapi doubts || [ $? -eq 3 ]\n");
        self.shell(&self.path("clone"), &script)
    }

    /// From now on `chatapi apply` in a job meets this: shell commands after it, or a failpoint in it. A new job knows no old one.
    pub(super) fn trouble(&self, after: &str) {
        self.meets("", after);
    }

    /// `chatapi apply` dies or waits at a point.
    #[cfg(feature = "failpoints")]
    pub(super) fn failpoint(&self, rule: &str) {
        self.meets(&format!("export CHATAPI_PARALLELISM=1 CHATAPI_FAILPOINT={rule}"), "");
    }

    fn meets(&self, before: &str, after: &str) {
        let lost = self.path("lost");
        let real = env!("CARGO_BIN_EXE_chatapi");
        let program = format!(
            "#!/usr/bin/env bash\n[ \"$1\" = apply ] || exec {real} \"$@\"\n{before}\n{real} \"$@\"\ncode=$?\nlost={}\n{after}\nexit $code\n",
            lost.display()
        );
        executable(&self.path("tools/chatapi.sh"), &program);
        // Installs what it is told to, if that is one version and no other.
        let install = format!(
            "#!/usr/bin/env bash\nset -e\nroot=\"$HOME/.cargo\"\nif [ \"$3\" = --root ]; then root=\"$4\"; set -- \"$1\" \"$2\" \"${{@:5}}\"; fi\n\
             [ \"$*\" = 'install --locked --git https://trusted.test/c.git --rev {} chatapi' ]\n\
             mkdir -p \"$root/bin\"; cp {} \"$root/bin/chatapi\"\n",
            "1".repeat(40),
            self.path("tools/chatapi.sh").display()
        );
        executable(&self.path("tools/cargo"), &install);
    }

    /// Whether the runner is gone, and with it all that it had.
    pub(super) fn is_lost(&self) -> bool {
        self.path("lost").exists()
    }

    /// A directory that no job has seen.
    pub(super) fn fresh(&self, what: &str) -> PathBuf {
        let mut number = 0;
        loop {
            let path = self.path(&format!("{what}-{number}"));
            if !path.exists() {
                fs::create_dir(&path).unwrap();
                return path;
            }
            number += 1;
        }
    }

    /// The environment that every job of every forge has.
    pub(super) fn environment(&self, home: &Path) -> Vec<(OsString, OsString)> {
        let path = format!("{}/.cargo/bin:{}:{}", home.display(), self.path("tools").display(), system_path());
        let mut all: Vec<(OsString, OsString)> = GIT.map(|(name, value)| (name.into(), value.into())).to_vec();
        all.extend([("PATH".into(), path.into()), ("HOME".into(), home.into()), ("CI".into(), "true".into())]);
        all
    }

    /// Commits `names` and pushes them to `branch`; gives the commit.
    fn push(&self, names: &[&str], branch: &str) -> String {
        self.declare(names);
        let line = format!(
            "git add --all && git commit --quiet --allow-empty --message next && git push --quiet --force origin HEAD:{branch}; git rev-parse HEAD"
        );
        self.shell(&self.path("clone"), &line).stdout.trim().to_owned()
    }

    /// A pull request that declares `names`.
    pub(super) fn pull_request(&self, names: &[&str]) -> Pipeline {
        let commit = self.push(names, "request");
        let seen = self.gateway.requests();
        let pipeline = self.pipeline(Event::PullRequest, &commit, None);
        assert_eq!(self.gateway.requests(), seen, "a pull request asks the server nothing");
        self.shell(&self.path("clone"), "git reset --quiet --hard origin/main").done();
        pipeline
    }

    /// A merge that declares `names`.
    pub(super) fn merge(&self, names: &[&str]) -> Pipeline {
        let commit = self.push(names, "main");
        self.pipeline(Event::Merge, &commit, None)
    }

    /// Merges that come before the first of their runs; gives the runs, one after the other.
    pub(super) fn merges(&self, each: &[&[&str]]) -> Vec<Pipeline> {
        let commits: Vec<_> = each.iter().map(|names| self.push(names, "main")).collect();
        commits.iter().map(|commit| self.pipeline(Event::Merge, commit, None)).collect()
    }

    /// The runner of the next apply is gone before it has begun.
    pub(super) fn gone_before_apply(&self, kind: Kind) {
        let shells = if kind == Kind::GitHub { "$$" } else { "$PPID $$" };
        self.meets(&format!("touch {}; kill -KILL {shells}", self.path("lost").display()), "");
    }

    /// All jobs of `main` once more.
    pub(super) fn again(&self) -> Pipeline {
        let commit = self.shell(&self.path("origin.git"), "git rev-parse main").stdout.trim().to_owned();
        self.pipeline(Event::Merge, &commit, None)
    }

    /// The job `apply` of `earlier` once more, with the artifacts of then.
    pub(super) fn apply_again(&self, earlier: &Pipeline) -> Pipeline {
        let commit = self.shell(&self.path("origin.git"), "git rev-parse main").stdout.trim().to_owned();
        self.pipeline(Event::Merge, &commit, Some(earlier))
    }

    fn pipeline(&self, event: Event, commit: &str, earlier: Option<&Pipeline>) -> Pipeline {
        self.runs.set(self.runs.get() + 1);
        let number = self.runs.get();
        let _ = fs::remove_file(self.path("lost"));
        let ran = match self.kind {
            Kind::GitHub => github::run(self, event, commit, number, earlier),
            Kind::GitLab => gitlab::run(self, event, commit, number, earlier),
        };
        self.is_discreet(&ran);
        ran
    }

    /// Neither log nor summary, output, artifact or branch shows a secret.
    fn is_discreet(&self, pipeline: &Pipeline) {
        let mut secrets: Vec<_> = self.gateway.tokens().into_values().collect();
        secrets.extend([KEY.to_owned(), self.identity()]);
        for (name, job) in &pipeline.jobs {
            is_free_of(&secrets, &job.log, &format!("the log of {name}"));
            is_free_of(&secrets, &job.summary, &format!("the summary of {name}"));
            is_free_of(&secrets, &format!("{:?}", job.outputs), &format!("the outputs of {name}"));
        }
        for (name, bytes) in &pipeline.artifacts {
            is_free_of(&secrets, &String::from_utf8_lossy(bytes), &format!("the artifact {name:?}"));
        }
        let branches = self.shell(&self.path("origin.git"), "git log --all --patch --text");
        is_free_of(&secrets, &branches.stdout, "a branch");
    }

    /// The kept state in a new directory, and what `line` says of it.
    pub(super) fn kept(&self, line: &str) -> Run {
        let place = self.fresh("look");
        let fetch = "git clone --quiet --branch chatapi-state ../origin.git kept && chmod -R go-rwx kept/state";
        self.shell(&place, fetch).done();
        self.shell(&place, &format!("export CHATAPI_STATE=kept/state CHATAPI_LOCK_FILE=kept/chatapi.lock; {line}"))
    }

    /// Every name is created once and has its token, and the state is whole.
    #[track_caller]
    pub(super) fn is_complete(&self, names: &[&str]) {
        let listed = self.kept("chatapi state list --format json").json();
        let items = listed.as_array().unwrap();
        let created: Vec<_> =
            items.iter().map(|item| (item["name"].as_str().unwrap(), item["status"].as_str().unwrap())).collect();
        let expected: Vec<_> = names.iter().map(|name| (*name, "created")).collect();
        assert_eq!(created, expected);
        assert_eq!(self.gateway.tokens().len(), names.len(), "one for each name");
        self.kept("chatapi state verify").done();
        for item in items {
            let shown =
                self.kept(&format!("chatapi token get {} --identity ~/.config/chatapi/key.txt", item["name"].as_str().unwrap()));
            assert_eq!(shown.stdout.trim(), self.gateway.tokens()[item["id"].as_str().unwrap()]);
        }
    }

    /// The branches of the repository.
    pub(super) fn branches(&self) -> Vec<String> {
        let listed = self.shell(&self.path("origin.git"), "git for-each-ref --format='%(refname:short)' refs/heads");
        listed.stdout.lines().map(str::to_owned).collect()
    }
}

impl Pipeline {
    #[track_caller]
    pub(super) fn job(&self, name: &str) -> &Job {
        self.jobs.get(name).unwrap_or_else(|| panic!("no job {name} in {:?}", self.jobs.keys()))
    }

    /// The job `name` ended with `code`, and says `text`.
    #[track_caller]
    pub(super) fn ends(&self, name: &str, code: i32, text: &str) {
        let job = self.job(name);
        assert_eq!(job.code, code, "{name}: {}", job.log);
        assert_eq!(job.result, if code == 0 { "success" } else { "failure" }, "{name}: {}", job.log);
        assert!(job.log.contains(text), "`{text}` is not in the log of {name}: {}", job.log);
    }
}
